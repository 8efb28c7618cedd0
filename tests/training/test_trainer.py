"""The loop: what it computes, when it stops, and that it leaves everything else alone."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.quick import quick
from tests.training.small_models import (
    IDS,
    NEURAL,
    SIZES,
    Sums,
    V,
    each_batch,
    plain,
    small,
    weights,
)
from textrnn.callbacks import LambdaCallback
from textrnn.evaluation import evaluate
from textrnn.models import NGramModel
from textrnn.models.base import detach
from textrnn.models.registry import MODELS
from textrnn.text.batching import ContiguousBatcher
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.schedules import SCHEDULES
from textrnn.training.trainer import Trainer

# What is learned


@pytest.mark.slow
@pytest.mark.parametrize("family", NEURAL)
def test_one_batch_can_be_learnt_by_heart(family):
    """Thirty random tokens are learned to a loss below 0.05."""
    model = small(family, hidden_size=32)
    trainer = Trainer(model, OptimizerConfig(learning_rate=0.05))
    history = trainer.fit(IDS[:33], Plan(epochs=150, batch_size=2, seq_len=16))
    assert history.history["loss"][-1] < 0.05
    assert history.history["loss"][0] > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("family", NEURAL)
def test_training_equals_a_plain_loop(family):
    """Weights and losses after two epochs are those of truncated back-propagation by hand."""
    model, twin = small(family), small(family)
    history = Trainer(model, plain(learning_rate=0.5)).fit(IDS, Plan(epochs=2, **SIZES))

    batcher = ContiguousBatcher(torch.from_numpy(IDS).long(), **SIZES)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.5)
    k, total, losses = 0, 2 * len(batcher), []
    for _ in range(2):
        state, summed = None, 0.0
        for x, y in batcher:
            if 4 * k / total in (1.0, 2.0, 3.0):  # a quarter of the training begins
                state = None
            logits, state = twin(x, detach(state))
            loss = F.cross_entropy(logits.reshape(-1, V), y.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            k, summed = k + 1, summed + loss.item() * x.numel()
        losses.append(summed / batcher.tokens)
    assert k == 8
    torch.testing.assert_close(weights(model), weights(twin), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)


def test_the_state_is_carried_and_detached():
    """A batch gets the state the one before gave, but none where an epoch or a quarter begins."""
    model = Sums(V)
    Trainer(model, plain(learning_rate=0.1)).fit(IDS, Plan(epochs=3, **SIZES))
    assert len(model.received) == 12
    fresh = [k for k, state in enumerate(model.received) if state is None]
    assert fresh == [0, 3, 4, 6, 8, 9]  # epochs begin at 0, 4, 8, quarters at 3, 6, 9
    for k in set(range(12)) - set(fresh):
        assert not model.received[k].requires_grad
        assert torch.equal(model.received[k], model.given[k - 1])


@pytest.mark.parametrize("initial_epoch", [0, 3])
def test_batches_are_those_of_the_batcher(initial_epoch):
    """The model reads the windows that ContiguousBatcher cuts for the epochs' numbers."""
    model = Sums(V)
    epochs = initial_epoch + 2
    trainer = Trainer(model, plain(learning_rate=0.1))
    history = trainer.fit(IDS, Plan(epochs=epochs, initial_epoch=initial_epoch, **SIZES))
    batcher = ContiguousBatcher(torch.from_numpy(IDS).long(), **SIZES)
    batcher.epoch = initial_epoch
    expected = [x for _ in range(2) for x, _ in batcher]
    assert all(map(torch.equal, model.ids, expected))
    assert len(model.ids) == len(expected) == 8
    assert history.epoch == [initial_epoch, initial_epoch + 1]


@pytest.mark.parametrize("clip_norm", [0.05, 1e6])
def test_gradients_are_clipped_as_torch_clips_them(clip_norm):
    """One step moves the weights by the gradient that torch's clip_grad_norm_ leaves."""
    model, twin = small("lstm"), small("lstm")
    trainer = Trainer(model, plain(learning_rate=1.0, clip_norm=clip_norm))
    trainer.fit(IDS, Plan(epochs=1, batch_size=1, seq_len=416))

    batches = ContiguousBatcher(torch.from_numpy(IDS).long(), batch_size=1, seq_len=416)
    ((x, y),) = batches
    F.cross_entropy(twin(x)[0][0], y[0]).backward()
    norm = nn.utils.clip_grad_norm_(twin.parameters(), clip_norm)
    torch.optim.SGD(twin.parameters(), lr=1.0).step()
    assert 0.05 < norm < 1e6
    torch.testing.assert_close(weights(model), weights(twin), rtol=1e-5, atol=1e-6)


def test_a_counting_model_counts_once(ids, vocab):
    """An n-gram model makes one epoch without a training loss, whatever ``epochs`` says."""
    model, twin = NGramModel(len(vocab), order=3), NGramModel(len(vocab), order=3)
    history = Trainer(model).fit(Corpus(ids[:1000], ids[1000:]), Plan(epochs=5, initial_epoch=2))
    twin.count(ids[:1000])
    for name, tensor in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert history.epoch == [2]
    names = {f"val_{name}" for name in ("loss", "bits_per_char", "perplexity", "accuracy")}
    assert set(history.history) == names | {"seconds"}
    assert history.history["val_loss"] == [evaluate(twin, ids[1000:])["loss"]]


@pytest.mark.parametrize("family", quick(MODELS))
def test_validation_is_evaluate(family, ids, vocab):
    """The last epoch's val_ quantities are what evaluate says about the trained model."""
    args = {"order": 3} if family == "ngram" else {"hidden_size": 8, "dropout": 0.5}
    model = MODELS[family](len(vocab), **args)
    plan = Plan(epochs=2, batch_size=8, seq_len=32)
    corpus = Corpus(ids[:1000], ids[1000:], chars_per_token=(2.0, 2.5))
    history = Trainer(model).fit(corpus, plan)
    for name, value in evaluate(model, ids[1000:], chars_per_token=2.5).items():
        assert history.history[f"val_{name}"][-1] == value
    if family != "ngram":
        bits = history.history["loss"][-1] / np.log(2) / 2.0
        np.testing.assert_allclose(history.history["bits_per_char"][-1], bits)


def test_without_validation_text_nothing_is_validated():
    """Without validation ids there are no val_ quantities, and no validation hooks are run."""
    never = LambdaCallback(on_test_begin=pytest.fail, on_test_end=pytest.fail)
    history = Trainer(small("rnn")).fit(IDS, Plan(epochs=1, **SIZES), callbacks=[never])
    names = {"loss", "bits_per_char", "perplexity", "gradient_norm", "learning_rate", "seconds"}
    assert set(history.history) == names


# Chance


@pytest.mark.slow
@pytest.mark.parametrize("family", NEURAL)
def test_the_seed_decides_about_dropout(family):
    """Training with dropout gives bit-equal weights for one seed, and others for another."""
    models = [small(family, dropout=0.5) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        Trainer(model, seed=seed).fit(IDS, Plan(epochs=1, **SIZES))
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert not torch.equal(weights(models[0]), weights(models[2]))


def test_without_a_seed_training_differs():
    """Two trainers without a seed drop other features."""
    models = [small("lstm", dropout=0.5) for _ in range(2)]
    for model in models:
        Trainer(model).fit(IDS, Plan(epochs=1, **SIZES))
    assert not torch.equal(*map(weights, models))


def test_what_callbacks_do_does_not_change_the_course():
    """Evaluating and drawing random numbers after every batch leaves the weights bit-equal."""
    quiet, disturbed = (small("lstm", dropout=0.5) for _ in range(2))
    disturb = each_batch(
        lambda logs: (
            evaluate(disturbed, IDS),
            torch.rand(3),
            torch.manual_seed(5),
            np.random.rand(3),  # noqa: NPY002 - the global generator is what it is about
            random.random(),
        )
    )
    Trainer(quiet, seed=1).fit(IDS, Plan(epochs=2, **SIZES))
    Trainer(disturbed, seed=1).fit(IDS, Plan(epochs=2, **SIZES), callbacks=[disturb])
    assert torch.equal(weights(quiet), weights(disturbed))


def test_global_random_numbers_are_left_alone():
    """Training with dropout and validation draws nothing from any global generator."""
    model = small("lstm", dropout=0.5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    Trainer(model, seed=1).fit(Corpus(IDS, IDS), Plan(epochs=1, **SIZES))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_dropout_is_given_back():
    """In training dropout is on; after it, it is off and draws from torch's generator again."""
    model = small("lstm", dropout=0.5)
    modes = []
    look = each_batch(lambda logs: modes.append(model.training))
    Trainer(model, seed=1).fit(Corpus(IDS, IDS), Plan(epochs=2, **SIZES), callbacks=[look])
    assert modes == [True] * 8
    assert not model.training
    assert all(dropout.generator is None for dropout in model.dropouts)


# The learning rate


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [*SCHEDULES, lambda progress: 1 + progress])
def test_rates_follow_the_schedule(schedule):
    """Step k of N learns with the peak times the schedule's factor at k / N."""
    rates = []
    trainer = Trainer(Sums(V), plain(learning_rate=0.25, schedule=schedule))
    batches = each_batch(lambda logs: rates.append(logs["learning_rate"]))
    trainer.fit(IDS, Plan(epochs=10, **SIZES), callbacks=[batches])
    factor = schedule if callable(schedule) else SCHEDULES[schedule]
    np.testing.assert_allclose(rates, [0.25 * factor(k / 40) for k in range(40)], rtol=1e-12)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_last_step_is_small(schedule):
    """At the end of training the learning rate is near 0, and History holds that rate."""
    trainer = Trainer(Sums(V), plain(learning_rate=0.5, schedule=schedule))
    history = trainer.fit(IDS, Plan(epochs=10, **SIZES))
    assert 0 < history.history["learning_rate"][-1] < 0.01 * 0.5


def test_rates_of_layer_groups_keep_their_ratios():
    """Neither the schedule nor setting ``learning_rate`` changes the ratios between groups."""
    model = small("lstm")
    trainer = Trainer(model, OptimizerConfig(learning_rate=slice(1e-4, 1e-2)))
    rates = []

    def note(logs):
        rates.append({g["name"]: g["lr"] for g in trainer.train_step.optimizer.param_groups})
        if len(rates) == 5:
            trainer.learning_rate = 0.02

    trainer.fit(IDS, Plan(epochs=2, **SIZES), callbacks=[each_batch(note)])
    assert list(rates[0]) == ["embedding", "layer0", "head"]
    for rate in rates:
        np.testing.assert_allclose(rate["layer0"] / rate["embedding"], 10, rtol=1e-9)
        np.testing.assert_allclose(rate["head"] / rate["layer0"], 10, rtol=1e-9)
    one_cycle = SCHEDULES["one_cycle"]
    heads = [peak * one_cycle(k / 8) for k, peak in enumerate([0.01] * 5 + [0.02] * 3)]
    np.testing.assert_allclose([rate["head"] for rate in rates], heads, rtol=1e-9)
    np.testing.assert_allclose(trainer.learning_rate, 0.02)


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        (0.0, ValueError),
        (-1.0, ValueError),
        (np.nan, ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
def test_learning_rate_is_a_positive_number(rate, error):
    """Setting a rate that is no positive number is refused, and changes nothing."""
    trainer = Trainer(small("rnn"), plain(learning_rate=0.5))
    with pytest.raises(error, match="`learning_rate` must be a number above 0"):
        trainer.learning_rate = rate
    assert trainer.learning_rate == 0.5


def test_rates_must_fit_the_layer_groups():
    """Rates for layer groups that the model does not have are refused at once."""
    with pytest.raises(ValueError, match=r"Did you mean 'head'\?"):
        Trainer(small("rnn"), OptimizerConfig(learning_rate={"heat": 0.1}))
