"""How training ends: by numbers, signals, callbacks and time; and what its arguments may be."""

import itertools
import signal
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.quick import quick
from tests.training.small_models import (
    FAULTS,
    HOOKS,
    IDS,
    SIZES,
    Faulty,
    Sums,
    V,
    each_batch,
    plain,
    small,
    weights,
)
from textrnn.callbacks import Callback, EarlyStopping, LambdaCallback, TerminateOnNaN
from textrnn.errors import DataError, NonFiniteError
from textrnn.evaluation import evaluate
from textrnn.models import LSTMModel, NGramModel, RNNModel
from textrnn.models.registry import MODELS
from textrnn.text.batching import ContiguousBatcher
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.schedules import SCHEDULES
from textrnn.training.trainer import Trainer

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
