"""The loop: what it computes, when it stops, and that it leaves everything else alone."""

import itertools
import random
import signal
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from tests.quick import quick
from textrnn.callbacks import Callback, EarlyStopping, LambdaCallback, TerminateOnNaN
from textrnn.errors import DataError, NonFiniteError
from textrnn.evaluation import evaluate
from textrnn.models import LSTMModel, NGramModel, RNNModel
from textrnn.models.base import LanguageModel, detach
from textrnn.models.registry import MODELS
from textrnn.text.batching import ContiguousBatcher
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.schedules import SCHEDULES
from textrnn.training.trainer import Trainer

V = 7
IDS = np.random.default_rng(0).integers(0, V, 417).astype(np.uint8)
"""Four rows of 104: with seq_len 26 or 16, four or seven batches an epoch."""
SIZES = {"batch_size": 4, "seq_len": 26}
NEURAL = [family for family in MODELS if family != "ngram"]
HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class Sums(LanguageModel):
    """Scores by the sum of the embeddings so far, (B, E), which is its state; notes all it gets."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)
        self.table, self.head = nn.Embedding(vocab_size, 3), nn.Linear(3, vocab_size)
        self.ids, self.received, self.given = [], [], []

    def forward(self, ids, state=None):
        """Score the token after each of ids."""
        self.ids.append(ids)
        self.received.append(state)
        sums = self.table(ids).cumsum(1) + (0 if state is None else state[:, None])
        self.given.append(sums[:, -1])
        return self.head(sums.tanh()), sums[:, -1]

    def layer_groups(self):
        """Return table and head."""
        return {"table": list(self.table.parameters()), "head": list(self.head.parameters())}


class Faulty(Sums):
    """Breaks in some of the batches it is trained on, the third if not told otherwise."""

    def __init__(self, fault, batches=(3,)):
        super().__init__(V)
        self.fault, self.batches = fault, batches

    def forward(self, ids, state=None):
        """Score, and spoil the scores of those batches."""
        logits, state = super().forward(ids, state)
        if len(self.ids) in self.batches:
            logits = self.fault(logits)
        return logits, state


FAULTS = {
    "the loss is NaN": lambda logits: logits * np.nan,
    "the loss is infinite, its gradient finite": lambda logits: logits.index_fill(
        2, torch.tensor([0]), -np.inf
    ),
    "the gradient is NaN, the loss finite": lambda logits: logits + (logits.sum() * 0).sqrt(),
}


def small(family, dropout=0.0, hidden_size=8, seed=1):
    """Return a small model with fixed weights."""
    model = MODELS[family](V, embedding_dim=4, hidden_size=hidden_size, dropout=dropout)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model


def weights(model):
    """Return a copy of a model's weights as one vector."""
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def plain(**settings):
    """Return settings for SGD and nothing else, as exact as a CPU is."""
    usual = {"clip_norm": None, "schedule": "constant", "weight_decay": 0.0, "precision": "float32"}
    return OptimizerConfig(optimizer="sgd", **{**usual, **settings})


def each_batch(function):
    """Return a callback that calls a function with the logs after every batch."""
    return LambdaCallback(on_train_batch_end=lambda batch, logs: function(logs))


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


# Numbers that are not finite


@pytest.mark.parametrize("clip_norm", [1.0, None])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_that_is_not_finite_is_refused(fault, clip_norm):
    """The weights are those before it, the rate a quarter; the second time it is an error."""
    model = Faulty(FAULTS[fault], batches=(3, 6))
    before = []
    note = LambdaCallback(on_train_batch_begin=lambda batch, logs: before.append(weights(model)))
    trainer = Trainer(model, plain(learning_rate=0.5, clip_norm=clip_norm))
    error = (
        r"not finite at epoch 2, batch 2; the step was refused.*learning rate 0\.125 at its peak"
    )
    with (
        pytest.warns(
            UserWarning, match=r"at epoch 1, batch 3.*continues with 0\.125\. Received.*0\.5 at"
        ),
        pytest.raises(NonFiniteError, match=error),
    ):
        trainer.fit(IDS, Plan(epochs=2, **SIZES), callbacks=[note])
    assert len(before) == 6
    assert [bool(torch.equal(*pair)) for pair in itertools.pairwise(before)] == [
        False, False, True, False, False,
    ]  # fmt: skip
    assert torch.equal(weights(model), before[-1])


@pytest.mark.parametrize("fault", FAULTS)
def test_training_goes_on_after_one_refused_step(fault):
    """The losses of the epoch are those of the other steps, and the state begins afresh."""
    model = Faulty(FAULTS[fault])
    losses = []
    with pytest.warns(UserWarning, match="the step was refused"):
        history = Trainer(model, plain(learning_rate=0.5)).fit(
            IDS,
            Plan(epochs=5, **SIZES),
            callbacks=[each_batch(lambda logs: losses.append(logs["loss"]))],
        )
    assert [i for i, loss in enumerate(losses) if not np.isfinite(loss)] == [2]
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(history.history["gradient_norm"]).all()
    assert model.received[3] is None
    assert history.stopped_by is None


@pytest.mark.parametrize("clip_norm", [1.0, None])
def test_a_learning_rate_that_explodes_leaves_finite_weights(clip_norm):
    """With an absurd learning rate training raises before any weight is infinite or NaN."""
    model = RNNModel(V, embedding_dim=4, hidden_size=8, nonlinearity="relu")
    model.reset_parameters(torch.Generator().manual_seed(1))
    trainer = Trainer(model, plain(learning_rate=1e8, clip_norm=clip_norm))
    with (
        pytest.warns(UserWarning, match="the step was refused"),
        pytest.raises(NonFiniteError, match="Lower the learning rate or clip_norm"),
    ):
        trainer.fit(IDS, Plan(epochs=9, **SIZES))
    assert weights(model).isfinite().all()


def test_the_gradient_s_norm_is_logged():
    """It is that before clipping, of each batch, and its mean in the history."""
    norms, model = [], Sums(V)
    twin = Sums(V)
    twin.load_state_dict(model.state_dict())
    history = Trainer(model, plain(learning_rate=1e-9, clip_norm=1e-6)).fit(
        IDS,
        Plan(epochs=1, **SIZES),
        callbacks=[each_batch(lambda logs: norms.append(logs["gradient_norm"]))],
    )
    x, y = (part.long() for part in next(iter(ContiguousBatcher(torch.from_numpy(IDS), **SIZES))))
    nn.functional.cross_entropy(twin(x)[0].flatten(0, 1), y.flatten()).backward()
    expected = sum(float(p.grad.square().sum()) for p in twin.parameters()) ** 0.5
    assert norms[0] == pytest.approx(expected, rel=1e-5)
    assert history.history["gradient_norm"] == [pytest.approx(np.mean(norms))]


def test_terminate_on_nan_ends_quietly():
    """With TerminateOnNaN training returns, the weights and validation those before the step."""
    model = Faulty(FAULTS["the loss is NaN"])
    before = []
    note = LambdaCallback(on_train_batch_begin=lambda batch, logs: before.append(weights(model)))
    callbacks = [note, TerminateOnNaN()]
    history = Trainer(model).fit(Corpus(IDS, IDS), Plan(epochs=2, **SIZES), callbacks=callbacks)
    assert history.stopped_by == "callback"
    assert history.epoch == [0]
    assert np.isfinite(history.history["loss"][0])
    assert history.history["val_loss"] == [evaluate(model, IDS)["loss"]]
    assert torch.equal(weights(model), before[-1])


def test_terminate_on_nan_may_raise():
    """TerminateOnNaN(raise_error=True) raises NonFiniteError itself."""
    model = Faulty(FAULTS["the loss is NaN"])
    callbacks = [TerminateOnNaN(raise_error=True)]
    with pytest.raises(NonFiniteError, match="The loss is not finite at batch 2"):
        Trainer(model).fit(IDS, Plan(epochs=2, **SIZES), callbacks=callbacks)


# How training ends


def test_stop_training_ends_after_the_batch():
    """A callback that sets ``stop_training`` ends training after its batch; logs are written."""
    model = Sums(V)
    trainer = Trainer(model)

    def stop(logs):
        trainer.stop_training = len(model.ids) == 6

    history = trainer.fit(IDS, Plan(epochs=3, **SIZES), callbacks=[each_batch(stop)])
    assert len(model.ids) == 6
    assert history.epoch == [0, 1]
    assert history.stopped_by == "callback"
    again = trainer.fit(IDS, Plan(epochs=1, **SIZES))
    assert again.stopped_by is None
    assert len(model.ids) == 10


def test_ctrl_c_ends_after_the_batch():
    """The first SIGINT lets the batch end, validates, returns History and restores the handler."""
    handler = signal.getsignal(signal.SIGINT)
    model = Sums(V)
    steps = []

    def interrupt(logs):
        steps.append(logs)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)

    trainer = Trainer(model)
    history = trainer.fit(
        Corpus(IDS, IDS), Plan(epochs=3, **SIZES), callbacks=[each_batch(interrupt)]
    )
    assert len(steps) == 2
    assert history.epoch == [0]
    assert history.stopped_by == "interrupt"
    assert history.history["val_loss"] == [evaluate(model, IDS)["loss"]]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_interrupts_at_once():
    """The second SIGINT raises KeyboardInterrupt; on_train_end is run, the handler restored."""
    handler = signal.getsignal(signal.SIGINT)
    steps, ends = [], []

    def interrupt(logs):
        signal.raise_signal(signal.SIGINT)
        steps.append("after the first")
        signal.raise_signal(signal.SIGINT)
        steps.append("after the second")

    callbacks = [each_batch(interrupt), LambdaCallback(on_train_end=ends.append)]
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        Trainer(Sums(V)).fit(IDS, Plan(epochs=3, **SIZES), callbacks=callbacks)
    assert steps == ["after the first"]
    assert ends == [{}]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("family", quick(MODELS))
def test_ctrl_c_is_noted_whatever_is_trained(family):
    """History says "interrupt" for a SIGINT in the first epoch of a counting model as well."""
    model = NGramModel(V) if family == "ngram" else small(family)
    interrupt = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: signal.raise_signal(signal.SIGINT)
    )
    history = Trainer(model).fit(IDS, Plan(epochs=2, **SIZES), callbacks=[interrupt])
    assert history.epoch == [0]
    assert history.stopped_by == "interrupt"


def test_training_in_a_thread_leaves_signals_alone():
    """In a thread that is not the main one training works, and Ctrl-C stays what it was."""
    handler = signal.getsignal(signal.SIGINT)
    handlers, results = [], []
    look = each_batch(lambda logs: handlers.append(signal.getsignal(signal.SIGINT)))
    trainer = Trainer(small("rnn"))

    def work():
        results.append(trainer.fit(IDS, Plan(epochs=1, **SIZES), callbacks=[look]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results[0].epoch == [0]
    assert handlers == [handler] * 4


@pytest.mark.parametrize("hook", HOOKS)
def test_an_error_in_a_callback_comes_out(hook):
    """It reaches the caller, every other on_train_end is run, and training can begin again."""
    handler = signal.getsignal(signal.SIGINT)
    ends = []

    def fail(*args):
        raise RuntimeError("my own mistake")

    callbacks = [
        LambdaCallback(on_train_end=lambda logs: ends.append("before")),
        LambdaCallback(**{hook: fail}),
        LambdaCallback(on_train_end=lambda logs: ends.append("after")),
    ]
    model = small("lstm", dropout=0.5)
    trainer = Trainer(model)
    with pytest.raises(RuntimeError, match="my own mistake"):
        trainer.fit(Corpus(IDS, IDS), Plan(epochs=2, **SIZES), callbacks=callbacks)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not model.training
    assert all(dropout.generator is None for dropout in model.dropouts)
    assert trainer.fit(IDS, Plan(epochs=1, **SIZES)).epoch == [0]
    assert ends == ["before", "after"]


# A time instead of epochs


@pytest.fixture
def second_hand(monkeypatch):
    """Make every look at the clock a second later than the one before."""
    seconds = itertools.count()
    fake = SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    monkeypatch.setattr("textrnn.training.progress.time", fake)
    monkeypatch.setattr("textrnn.training.trainer.time", fake)


@pytest.mark.slow
@pytest.mark.usefixtures("second_hand")
@pytest.mark.parametrize("valid_ids", [None, IDS])
def test_a_time_budget_is_used_to_its_end(valid_ids):
    """Progress rises with the clock to exactly 1, and the schedule falls with it to near 0."""
    rows = []
    trainer = Trainer(Sums(V), plain(learning_rate=1.0, schedule="one_cycle"))
    callbacks = [each_batch(rows.append)]
    history = trainer.fit(
        Corpus(IDS, valid_ids), Plan(minutes=200 / 60, **SIZES), callbacks=callbacks
    )
    progress = [row["progress"] for row in rows]
    assert progress == sorted(progress)
    assert progress[0] < 0.1
    assert progress[-2] < progress[-1] == 1.0
    one_cycle = SCHEDULES["one_cycle"]
    rates = [one_cycle(p) for p in [0.0, *progress[:-1]]]
    np.testing.assert_allclose([row["learning_rate"] for row in rows], rates, rtol=1e-12)
    assert rates[-1] < 0.01
    assert history.epoch == list(range(len(history)))
    assert (len(history) - 1) * 4 < len(rows) <= len(history) * 4
    assert history.stopped_by is None


@pytest.mark.usefixtures("second_hand")
def test_a_time_too_short_for_a_step_makes_one():
    """Even a budget that is over at once gives one batch, one epoch and its validation."""
    model = Sums(V)
    history = Trainer(model).fit(Corpus(IDS, IDS), Plan(minutes=1e-6 / 60, **SIZES))
    assert history.epoch == [0]
    assert history.history["val_loss"] == [evaluate(model, IDS)["loss"]]
    x, _ = next(iter(ContiguousBatcher(torch.from_numpy(IDS).long(), **SIZES)))
    assert torch.equal(model.ids[0], x)
    assert [len(ids) for ids in model.ids].count(4) == 1  # evaluate reads one row


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1. Received: 0"),
        ({"epochs": -3}, ValueError, "`epochs` must be at least 1. Received: -3"),
        ({"epochs": True}, TypeError, "`epochs` must be a whole number"),
        ({"epochs": 1.5}, TypeError, "`epochs` must be a whole number"),
        ({"epochs": "2"}, TypeError, "`epochs` must be a whole number"),
        ({}, ValueError, "either `epochs` or `minutes`, not both. Received: epochs=None"),
        ({"epochs": 1, "minutes": 1.0}, ValueError, "either `epochs` or `minutes`"),
        ({"minutes": 0}, ValueError, "must be a number above 0. Received: 0"),
        ({"minutes": np.nan}, ValueError, "must be a number above 0. Received: nan"),
        ({"minutes": np.inf}, ValueError, "must be a number above 0. Received: inf"),
        ({"minutes": True}, TypeError, "must be a number above 0. Received: True"),
        ({"epochs": 1, "batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"epochs": 1, "batch_size": 2.0}, TypeError, "`batch_size` must be a whole number"),
        ({"epochs": 1, "seq_len": 0}, ValueError, "`seq_len` must be at least 1"),
        ({"epochs": 2, "initial_epoch": 2}, ValueError, "`initial_epoch` must be at least 0 and"),
        ({"epochs": 2, "initial_epoch": -1}, ValueError, "`initial_epoch` must be at least 0"),
        ({"minutes": 2, "initial_epoch": -1}, ValueError, "`initial_epoch` must be at least 0"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments, error, message):
    """They are refused by name before anything is done."""
    model = small("rnn")
    before = weights(model)
    with pytest.raises(error, match=message):
        Trainer(model).fit(IDS, Plan(**arguments))
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize("callbacks", [[EarlyStopping], [print], EarlyStopping()])
def test_callbacks_that_are_none(callbacks):
    """Classes, functions and a callback without its list are refused."""
    with pytest.raises(TypeError, match="`callbacks` must be a list of Callback"):
        Trainer(small("rnn")).fit(IDS, Plan(epochs=1), callbacks)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[0, 1], [1, 0]], TypeError, r"`ids` must be a flat array of whole numbers"),
        ([0.5, 1.0], TypeError, r"`ids` must be a flat array of whole numbers"),
        ("abc", TypeError, r"`ids` must be a flat array of whole numbers"),
        ([0, 1, V], ValueError, rf"below the model's vocab_size, {V}. Received: ids from 0 to {V}"),
        ([0, -1, 2], ValueError, r"Received: ids from -1 to 2"),
    ],
)
def test_ids_that_cannot_be_trained_on(ids, error, message):
    """They are refused with their shape or their range."""
    with pytest.raises(error, match=message):
        Trainer(small("rnn")).fit(ids, Plan(epochs=1))


@pytest.mark.parametrize("make", [list, torch.from_numpy, np.asarray], ids=str)
def test_ids_may_be_a_list_a_tensor_or_an_array(make):
    """They train to the same weights."""
    models = [small("rnn"), small("rnn")]
    Trainer(models[0], plain(), seed=0).fit(IDS, Plan(epochs=1, **SIZES))
    Trainer(models[1], plain(), seed=0).fit(make(IDS.astype(np.int64)), Plan(epochs=1, **SIZES))
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_one_token_is_too_short():
    """A text of one token is refused."""
    with pytest.raises(DataError, match="at least 2 tokens"):
        Trainer(RNNModel(V)).fit(IDS[:1], Plan(epochs=1))


def test_callbacks_see_the_owner():
    """Callbacks see who owns the training: the trainer itself if nobody else does."""
    callback: Any = Callback()
    trainer: Any = Trainer(LSTMModel(V, hidden_size=4))
    trainer.fit(IDS, Plan(epochs=3, **SIZES), callbacks=[callback])
    assert callback.model is trainer
    metrics = ["loss", "bits_per_char", "perplexity", "gradient_norm", "learning_rate", "seconds"]
    assert callback.params == {"epochs": 3, "steps": 4, "metrics": metrics}
    assert callback.trainer is trainer
    owner = SimpleNamespace(stop_training=True)
    history = trainer.fit(IDS, Plan(epochs=1, **SIZES), callbacks=[callback], callback_model=owner)
    assert callback.model is owner
    assert owner.stop_training is False
    assert len(history) == 1


# State, and growing


def test_without_state_every_window_begins_anew():
    """``stateful=False`` hands no state on; the losses are those of windows as texts."""
    model = Sums(V)
    Trainer(model, plain()).fit(IDS, Plan(epochs=3, stateful=False, **SIZES))
    assert model.received == [None] * len(model.received)
    carrying = Sums(V)
    Trainer(carrying, plain()).fit(IDS, Plan(epochs=3, **SIZES))
    assert any(state is not None for state in carrying.received)


def test_a_step_is_the_loop_written_by_hand():
    """A train step returns the loss and the state; the rate is the peak times the factor."""
    model, twin = small("rnn"), small("rnn")
    trainer = Trainer(model, plain(learning_rate=0.5))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.125)
    state = twin_state = None
    for start in (0, 10):
        x, y = (torch.from_numpy(IDS[None, start + i : start + i + 10]).long() for i in (0, 1))
        loss, state = trainer.train_step(x, y, state, 0.25)
        logits, twin_state = twin(x, None if twin_state is None else (twin_state[0].detach(),))
        expected = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert_close(loss, expected.detach())
    assert_close(weights(model), weights(twin))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_moments_follow_a_grown_model(optimizer):
    """Known tokens keep their moments, new ones start with those of similar ones; peaks stay."""
    trainer = Trainer(small("lstm"), OptimizerConfig(optimizer=optimizer, learning_rate=0.01))
    trainer.fit(IDS, Plan(epochs=1, **SIZES))
    trainer.learning_rate = 0.002
    old = trainer.train_step.optimizer.state
    before = {n: old[p] for n, p in trainer.model.named_parameters()}
    origins = np.array([*range(V), 1])
    trainer.replace_model(trainer.model.extend(V + 1, origins), origins)
    assert trainer.learning_rate == pytest.approx(0.002)
    for name, p in trainer.model.named_parameters():
        state = trainer.train_step.optimizer.state[p]
        assert state.keys() == before[name].keys()
        for key in state.keys() - {"step"}:
            moment = before[name][key]
            rows = V in moment.shape and name != "layers.0.weight_hh_l0"
            expected = moment[origins] if rows else moment
            assert torch.equal(state[key], expected), (name, key)
        if "step" in state:
            assert float(state["step"]) == float(before[name]["step"]) > 0
    trainer.fit(IDS, Plan(epochs=1, **SIZES))


def test_a_grown_training_goes_on_as_the_old_one_would():
    """With tokens added that never occur, the known weights take nearly the same course."""
    trainers = [Trainer(small("gru"), plain(learning_rate=0.1)) for _ in range(2)]
    for trainer in trainers:
        trainer.fit(IDS, Plan(epochs=1, **SIZES))
    origins = np.array([*range(V), -1])
    model = trainers[1].model.extend(V + 1, origins)
    nn.init.constant_(model.head.bias[V:].data, -30)  # so that it takes no part
    trainers[1].replace_model(model, origins)
    for trainer in trainers:
        trainer.fit(IDS, Plan(epochs=1, **SIZES))
    assert_close(model.head.weight[:V], trainers[0].model.head.weight, rtol=1e-3, atol=1e-5)
    assert_close(model.embedding.weight[:V], trainers[0].model.embedding.weight)


@pytest.mark.parametrize(
    ("seed", "plan", "adapts"),
    [
        (None, {"epochs": 1}, True),
        (None, {"minutes": 1e-4}, True),
        (0, {"epochs": 1}, False),
        (0, {"minutes": 1e-4}, True),
    ],
)
def test_threads_follow_the_free_cores_unless_it_must_be_repeatable(
    monkeypatch, seed, plan, adapts
):
    """A seed and a number of epochs promise the same weights, so the threads stay the same."""
    asked, looks = [], []

    @contextmanager
    def spy(adapts):
        asked.append(adapts)
        yield lambda: looks.append(1)

    monkeypatch.setattr("textrnn.training.trainer.adaptive_threads", spy)
    monkeypatch.setattr("textrnn.training.trainer.INTERVAL", 0.0)
    Trainer(LSTMModel(V, hidden_size=4), seed=seed).fit(IDS, Plan(**plan, **SIZES))
    assert asked == [adapts]
    assert len(looks) >= 1
