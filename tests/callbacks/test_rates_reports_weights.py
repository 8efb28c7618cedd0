"""Callbacks that change the learning rate, report, and choose weights."""

import copy
import csv
import math
import re

import numpy as np
import pytest
import torch

from tests.callbacks.acting import FIT, IDS, NAN, SIZES, act
from textrnn import TextGenerator
from textrnn.callbacks import (
    Callback,
    CSVLogger,
    KeepBestWeights,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    SampleText,
    SwapEMAWeights,
    TerminateOnNaN,
)
from textrnn.errors import NonFiniteError
from textrnn.evaluation import evaluate
from textrnn.models import GRUModel
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.trainer import Trainer

# The learning rate


@pytest.mark.parametrize(
    ("settings", "losses", "rates"),
    [
        ({"patience": 2}, [3, 3, 3, 3, 3], [0.5, 0.5, 0.25, 0.25, 0.125]),
        ({"patience": 2}, [3, 3, 2, 2, 1], [0.5, 0.5, 0.5, 0.5, 0.5]),
        ({"patience": 1, "cooldown": 2}, [3] * 6, [0.5, 0.25, 0.25, 0.25, 0.125, 0.125]),
        ({"patience": 1, "min_lr": 0.2}, [3] * 4, [0.5, 0.25, 0.2, 0.2]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.75, 2.25], [0.5, 0.25, 0.25]),
        ({"patience": 1, "mode": "max"}, [1, 2, 1], [0.5, 0.5, 0.25]),
        ({"patience": 1}, [3, NAN, 2], [0.5, 0.25, 0.25]),
        ({"patience": 1, "factor": 0.25}, [3, 3], [0.5, 0.125]),
        ({}, [3] * 11, [0.5] * 10 + [0.25]),
    ],
)
def test_reduce_lr_on_plateau(trainer, settings, losses, rates):
    """The rate after each epoch is the one reckoned by hand; layer groups keep their ratios."""
    seen = []
    callback = ReduceLROnPlateau(**{"factor": 0.5, **settings})
    act(callback, trainer, losses, lambda epoch: seen.append(trainer.learning_rate))
    np.testing.assert_allclose(seen, rates)
    peaks = {group["name"]: group["peak"] for group in trainer.train_step.optimizer.param_groups}
    np.testing.assert_allclose(list(peaks.values()), np.array([0.25, 0.5, 1.0]) * rates[-1])


def test_reduce_lr_on_plateau_begins_afresh(trainer):
    """The same callback in a second training knows nothing of the first."""
    callback = ReduceLROnPlateau(factor=0.5, patience=2)
    act(callback, trainer, [1, 2])
    act(callback, trainer, [5, 4])
    assert trainer.learning_rate == 0.5


def test_learning_rate_scheduler(trainer):
    """Each epoch learns at the rate that the function gives for its number and the rate so far."""
    calls = []

    def halve(epoch, rate):
        calls.append((epoch, rate))
        return rate / 2 if epoch else 0.8

    history = trainer.fit(IDS, Plan(epochs=3, **SIZES), callbacks=[LearningRateScheduler(halve)])
    np.testing.assert_allclose(calls, [(0, 0.5), (1, 0.8), (2, 0.4)])
    np.testing.assert_allclose(history.history["learning_rate"], [0.8, 0.4, 0.2])


@pytest.mark.parametrize(("loss", "stops"), [(1.0, False), (NAN, True), (float("inf"), True)])
def test_terminate_on_nan_looks_at_the_loss(trainer, loss, stops):
    """A loss that is no finite number sets ``stop_training``, or raises if so told."""
    callback = TerminateOnNaN()
    callback.set_model(trainer)
    callback.on_train_batch_end(0, {"loss": loss})
    assert trainer.stop_training is stops
    strict = TerminateOnNaN(raise_error=True)
    strict.set_model(trainer)
    if stops:
        with pytest.raises(NonFiniteError, match=f"not finite at batch 4. Received: {loss}"):
            strict.on_train_batch_end(4, {"loss": loss})


# What is reported


def rows_of(path, separator=","):
    """Return the rows of a CSV file as dicts of floats."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file, delimiter=separator)
        return [{name: float(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv_logger_writes_the_history(tmp_path, trainer, separator):
    """The file has a line an epoch with exactly History's numbers, and replaces an older one."""
    path = tmp_path / "log.csv"
    path.write_text("epoch,something older\n")
    logger = CSVLogger(path, separator=separator)
    history = trainer.fit(Corpus(IDS, IDS), Plan(epochs=3, **SIZES), callbacks=[logger])
    columns = {"epoch": history.epoch, **history.history}
    assert rows_of(path, separator) == [
        {name: values[i] for name, values in columns.items()} for i in range(3)
    ]


def test_csv_logger_appends(tmp_path, trainer):
    """With ``append`` a second training continues below the first, without a second header."""
    path = tmp_path / "log.csv"
    for first in (0, 2):
        logger = CSVLogger(str(path), append=True)
        trainer.fit(IDS, Plan(epochs=first + 2, initial_epoch=first, **SIZES), callbacks=[logger])
    assert [row["epoch"] for row in rows_of(path)] == [0, 1, 2, 3]
    assert path.read_text().count("epoch") == 1


@pytest.mark.parametrize(("every", "texts"), [(1, 5), (2, 2), (3, 1), (6, 0)])
def test_sample_text_every_few_epochs(counted, every, texts):
    """After every n-th epoch it hands on what ``generate`` writes with the same settings."""
    printed = []
    settings = {"temperature": 0.7, "seed": 3}
    sample = SampleText("one", 20, every=every, print_fn=printed.append, **settings)
    act(sample, counted, [1.0] * 5)
    assert printed == [counted.generate("one", 20, **settings)] * texts


def test_sample_text_of_several_texts(counted):
    """They are printed below each other."""
    printed = []
    act(SampleText(["one", "two"], 5, seed=3, print_fn=printed.append), counted, [1.0])
    assert printed == ["\n".join(counted.generate(["one", "two"], 5, seed=3))]


def test_sample_text_prints(counted, capsys):
    """By default the text goes to standard output."""
    act(SampleText("one", 20, seed=3), counted, [1.0])
    assert capsys.readouterr() == (counted.generate("one", 20, seed=3) + "\n", "")


def fit_with(verbose, text):
    """Fit a small model for two epochs; give its history."""
    gen = TextGenerator("gru", hidden_size=8, seed=0, device="cpu")
    return gen.fit(text, epochs=2, **{**FIT, "verbose": verbose})


def test_silent_training(text, capsys):
    """With ``verbose=0`` nothing is written anywhere."""
    fit_with(0, text)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [2, "auto"])
def test_training_with_a_line_an_epoch(text, capsys, verbose):
    """Not in a terminal: standard error gets a headline, a remark on the text, a line an epoch."""
    history = fit_with(verbose, text).history
    out, err = capsys.readouterr()
    headline, remark, *lines = err.splitlines()
    assert out == ""
    assert "characters are very few" in remark
    assert headline.startswith("GRUModel(vocab_size=")
    assert "hidden_size=8" in headline
    assert "batch_size=8, seq_len=32" in headline
    assert lines == [
        f"epoch {i + 1}/2  loss {history['loss'][i]:.4f}  val_loss {history['val_loss'][i]:.4f}"
        f"  val_bits_per_char {history['val_bits_per_char'][i]:.3f}"
        f"  {history['seconds'][i]:.1f} s"
        for i in range(2)
    ]


def test_training_with_a_bar(text, capsys):
    """With ``verbose=1`` standard error gets a bar too, which is taken away at the end."""
    fit_with(1, text)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"\d+%\|.*\|", err)
    assert len(re.findall(r"epoch \d/2  loss ", err)) == 2
    assert err.rsplit("\r", 1)[-1].strip() == ""


# Which weights


def vector(model):
    """Return a copy of a model's weights."""
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


class Losses(Callback):
    """Overwrites what validation found, and notes the weights after each epoch."""

    def __init__(self, losses):
        self.losses, self.weights = losses, []

    def on_epoch_end(self, epoch, logs=None):
        """Hand out the next loss."""
        logs["val_loss"] = self.losses[epoch]
        self.weights.append(vector(self.model.model))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("losses", "best"), [([3.0, 1.0, 2.0], 1), ([3.0, 2.0, 1.0], 2), ([1.0, 1.0, math.nan], 0)]
)
def test_the_best_weights_are_kept(losses, best):
    """At the end the model has the weights of the lowest val_loss, the first of equal ones."""
    trainer, said = Trainer(GRUModel(7, hidden_size=4)), []
    note, keep = Losses(losses), KeepBestWeights(said.append)
    trainer.fit(Corpus(IDS, IDS), Plan(epochs=3, **SIZES), callbacks=[note, keep])
    assert keep.best_epoch == best
    assert torch.equal(vector(trainer.model), note.weights[best])
    told = [f"kept the weights of the best epoch: epoch {best + 1}, val_loss {losses[best]:.4f}"]
    assert said == (told if best != 2 else [])


def test_without_validation_the_last_weights_stay():
    """There is nothing to choose by."""
    trainer, keep = Trainer(GRUModel(7, hidden_size=4)), KeepBestWeights()
    last = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: last.append(vector(trainer.model)))
    trainer.fit(IDS, Plan(epochs=2, **SIZES), callbacks=[note, keep])
    assert keep.best_epoch is None
    assert torch.equal(vector(trainer.model), last[-1])


def test_the_average_of_the_weights_by_hand():
    """It is the recursion of its docstring; it is validated, saved and kept, training is not it."""
    trainer = Trainer(GRUModel(7, hidden_size=4), OptimizerConfig(learning_rate=0.1))
    plain = Trainer(copy.deepcopy(trainer.model), OptimizerConfig(learning_rate=0.1))
    average, steps, seen = vector(plain.model), [], []
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(vector(plain.model)))
    plain.fit(IDS, Plan(epochs=2, **SIZES), [note])
    for n, weights in enumerate(steps, 1):
        momentum = min(0.8, n / (10 + n))
        average = momentum * average + (1 - momentum) * weights
    look = LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(vector(trainer.model)),
        on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"]),
    )
    history = trainer.fit(
        Corpus(IDS, IDS), Plan(epochs=2, **SIZES), callbacks=[SwapEMAWeights(0.8), look]
    )
    trained = [weights for weights in seen if isinstance(weights, torch.Tensor)]
    assert all(map(torch.equal, trained, steps))
    torch.testing.assert_close(vector(trainer.model), average)
    assert history.history["val_loss"][-1] == evaluate(trainer.model, IDS)["loss"]


def test_the_average_is_kept_without_validation_too():
    """At the end the model has the average, not the last weights."""
    trainer, last = Trainer(GRUModel(7, hidden_size=4), OptimizerConfig(learning_rate=0.1)), []
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: last.append(vector(trainer.model)))
    trainer.fit(IDS, Plan(epochs=2, **SIZES), callbacks=[note, SwapEMAWeights(0.9)])
    assert not torch.allclose(vector(trainer.model), last[-1], atol=1e-4)


@pytest.mark.parametrize("momentum", [1.0, -0.1])
def test_a_momentum_out_of_range(momentum):
    """It is in [0, 1)."""
    with pytest.raises(ValueError, match=r"`ema_momentum` must be a number in \[0, 1\)"):
        SwapEMAWeights(momentum)
