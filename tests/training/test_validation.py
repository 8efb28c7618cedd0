"""How much of the validation text is read, with a clock on the wall that the test moves."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from textrnn.evaluation import evaluate
from textrnn.evaluation.loss import score
from textrnn.models import GRUModel, NGramModel
from textrnn.text.corpus import Corpus
from textrnn.training.plan import Plan
from textrnn.training.progress import Progress
from textrnn.training.trainer import Trainer
from textrnn.training.validation import Validation

IDS = np.random.default_rng(0).integers(5, size=50_000).astype(np.uint8)


@pytest.fixture
def model():
    """A model that has counted a little, so that its losses differ from token to token."""
    model = NGramModel(5, order=3)
    model.count(IDS[:400])
    return model


@pytest.fixture
def wall(monkeypatch):
    """Return the time, which passes when tokens are read: 1 s for 1000 of them."""
    wall, real = SimpleNamespace(now=100.0, read=[]), score

    def slow(model, ids, *, skip=0, on_chunk=None):
        wall.now += (len(ids) - 1) / 1000
        wall.read.append(len(ids) - 1 - skip)
        return real(model, ids, skip=skip, on_chunk=on_chunk)

    fake = SimpleNamespace(perf_counter=lambda: wall.now)
    monkeypatch.setattr("textrnn.training.progress.time", fake)
    monkeypatch.setattr("textrnn.training.validation.time", fake)
    monkeypatch.setattr("textrnn.training.validation.score", slow)
    return wall


def timed(seconds):
    """Return a progress with a budget, at its first step."""
    progress = Progress(seconds, len(IDS))
    progress.start(1)
    return progress


def test_without_a_budget_the_whole_text_is_read(model, wall):
    """At once, so the numbers are those of ``evaluate`` to the last bit."""
    found = Validation(Corpus(IDS, IDS)).measure(model, Progress(None))
    assert found == {f"val_{name}": value for name, value in evaluate(model, IDS).items()}
    assert wall.read == [len(IDS) - 1]


def test_a_cheap_text_is_read_as_a_whole(model, wall):
    """Where the whole takes less than a twentieth of the budget, every validation reads it."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(2000.0)
    for last in (False, False, True):
        found = validation.measure(model, progress, last=last)
        assert found["val_tokens"] == len(IDS) - 1
        assert found["val_loss"] == pytest.approx(evaluate(model, IDS)["loss"], abs=1e-6)
        assert not any(name.startswith("part_") for name in found)


def test_a_dear_text_is_read_in_part(model, wall):
    """A validation takes about a twentieth of the budget, and later ones read the same part."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(200.0)
    began = wall.now
    first = validation.measure(model, progress)
    part = int(first["val_tokens"])
    assert 9 < wall.now - began <= 11
    assert 0.8 * 10_000 < part < 10_000
    assert first["val_loss"] == pytest.approx(evaluate(model, IDS[: part + 1])["loss"], abs=1e-6)
    again = validation.measure(model, progress)
    assert again["val_tokens"] == part
    assert again["val_loss"] == pytest.approx(first["val_loss"], abs=1e-6)


def test_the_last_validation_reads_the_rest_if_there_is_time(model, wall):
    """The number is that of the whole text; that of the part stands beside it."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(200.0)
    first = validation.measure(model, progress)
    found = validation.measure(model, progress, last=True)
    assert found["val_tokens"] == len(IDS) - 1
    assert found["val_loss"] == pytest.approx(evaluate(model, IDS)["loss"], abs=1e-6)
    assert found["val_accuracy"] == pytest.approx(evaluate(model, IDS)["accuracy"], abs=1e-6)
    assert found["part_val_loss"] == pytest.approx(first["val_loss"], abs=1e-6)


def test_the_last_validation_reads_the_part_if_there_is_none(model, wall):
    """Numbers of different parts are never mixed up."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(200.0)
    part = validation.measure(model, progress)["val_tokens"]
    wall.now += 160.0
    found = validation.measure(model, progress, last=True)
    assert found["val_tokens"] == part
    assert not any(name.startswith("part_") for name in found)


@pytest.mark.parametrize("left", [20.0, 35.0])
def test_the_first_and_last_validation_takes_the_time_that_is_left(model, wall, left):
    """In an epoch longer than the budget, it reads until the budget is spent."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(400.0)
    wall.now += 400.0 - left
    found = validation.measure(model, progress, last=True)
    assert found["val_tokens"] < len(IDS) - 1
    assert 0 <= progress.left < 0.15 * left


def test_after_the_budget_a_little_is_read(model, wall):
    """A number of a few thousand tokens is better than none."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(1.0)
    wall.now += 10.0
    assert validation.measure(model, progress, last=True)["val_tokens"] == 4096


def test_a_resumed_training_validates_on_the_same_part(model, wall):
    """The part is in the state."""
    validation, progress = Validation(Corpus(IDS, IDS)), timed(200.0)
    part = validation.measure(model, progress)["val_tokens"]
    resumed = Validation(Corpus(IDS, IDS))
    resumed.load_state_dict(validation.state_dict())
    assert resumed.measure(model, timed(2000.0))["val_tokens"] == part


@pytest.mark.slow
def test_validation_freq_leaves_epochs_out():
    """Every second epoch is validated, and the last one; the others have NaN in the history."""
    ids = IDS[:1200]
    plan = Plan(epochs=5, batch_size=4, seq_len=32, validation_freq=2)
    history = Trainer(GRUModel(5, hidden_size=4)).fit(Corpus(ids, ids), plan).history
    measured = [not math.isnan(loss) for loss in history["val_loss"]]
    assert measured == [False, True, False, True, True]
    assert not any(map(math.isnan, history["loss"]))


@pytest.mark.slow
def test_validation_freq_changes_no_weight():
    """Leaving validation out changes nothing else."""
    ids, losses = IDS[:1200], []
    for freq in (1, 3):
        plan = Plan(epochs=3, batch_size=4, seq_len=32, validation_freq=freq)
        trainer = Trainer(GRUModel(5, hidden_size=4, dropout=0.5), seed=0)
        for p, value in zip(trainer.model.parameters(), range(9), strict=False):
            p.data.fill_(0.1 * value)
        losses.append(trainer.fit(Corpus(ids, ids), plan).history["loss"])
    assert losses[0] == losses[1]
