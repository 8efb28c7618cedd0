"""Progress and RunningLoss, with a clock on the wall that the test moves."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from textrnn.training.progress import Progress, RunningLoss


@pytest.fixture
def wall(monkeypatch):
    """Return the time: ``wall.now`` in seconds, which stands still until a test moves it."""
    wall = SimpleNamespace(now=100.0)
    fake = SimpleNamespace(perf_counter=lambda: wall.now)
    monkeypatch.setattr("textrnn.training.progress.time", fake)
    return wall


def tick_every(progress, wall, seconds, steps, tokens=10):
    """Make steps of so many seconds; return the fraction that is done after each."""
    fractions = []
    for _ in range(steps):
        wall.now += seconds
        progress.step(tokens)
        fractions.append(progress.fraction)
    return fractions


def test_progress_by_steps_ignores_the_time(wall):
    """By steps, progress is steps done over steps planned and at most 1, however long they take."""
    progress = Progress(None)
    progress.start(4)
    assert tick_every(progress, wall, 3600.0, 5) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_progress_by_time_ignores_the_steps(wall):
    """With a budget, progress goes from 0 at the first step to 1 when the budget is spent."""
    progress = Progress(10.0)
    wall.now += 2.0  # getting ready is a part of the budget, but no progress
    progress.start(1)
    assert tick_every(progress, wall, 2.0, 5) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert progress.left == -2.0


def test_a_budget_that_getting_ready_spends_ends_with_the_first_step(wall):
    """If reading the text took the whole budget, one step is made."""
    progress = Progress(10.0)
    wall.now += 20.0
    progress.start(1)
    assert tick_every(progress, wall, 1.0, 1) == [1.0]


def test_what_callbacks_take_is_kept_in_reserve(wall):
    """A sample that took 3 seconds after a validation of 1 makes training end 4 seconds early."""
    progress = Progress(10.0, valid_tokens=1)
    progress.start(1)
    progress.add_validation_time(1.0)
    progress.add_report_time(3.0)
    assert tick_every(progress, wall, 3.0, 2) == [0.5, 1.0]


def test_the_last_validation_may_take_longer_than_those_before(wall):
    """What is kept in reserve is what the last one is expected to take."""
    progress = Progress(10.0, valid_tokens=1)
    progress.start(1)
    progress.add_validation_time(0.5, last=2.0)
    assert tick_every(progress, wall, 4.0, 2) == [0.5, 1.0]


def test_validation_is_kept_in_reserve(wall):
    """A validation that took 2 of 10 seconds makes training end after 8."""
    progress = Progress(10.0, valid_tokens=1)
    progress.start(1)
    assert tick_every(progress, wall, 1.0, 4) == [0.1, 0.2, 0.3, 0.4]
    wall.now += 2.0
    progress.add_validation_time(2.0)
    assert tick_every(progress, wall, 1.0, 2) == [7 / 8, 1.0]


def test_at_most_half_of_the_budget_is_reserved(wall):
    """A validation longer than the whole budget leaves half of it to training."""
    progress = Progress(8.0, valid_tokens=1)
    progress.start(1)
    progress.add_validation_time(100.0)
    assert tick_every(progress, wall, 1.0, 4) == [0.25, 0.5, 0.75, 1.0]


def test_the_first_validation_is_foreseen(wall):
    """Before any validation was timed, a long validation text makes training end earlier."""
    long, none = Progress(100.0, valid_tokens=1000), Progress(100.0)
    for progress in (long, none):
        progress.start(1)
    fractions = []
    for _ in range(20):
        wall.now += 1.0
        long.step(10)
        none.step(10)
        fractions.append((long.fraction, none.fraction))
    assert all(few == 0.01 * (k + 1) for k, (_, few) in enumerate(fractions))
    assert fractions[-1] == (20 / 90, 0.2)  # 40 s foreseen, of which a tenth of the budget is kept


def test_progress_never_goes_back(wall):
    """Progress stays where it is when a later validation turns out to be quicker."""
    progress = Progress(10.0, valid_tokens=1)
    progress.start(1)
    progress.add_validation_time(5.0)
    before = tick_every(progress, wall, 1.0, 4)
    progress.add_validation_time(0.0)
    after = tick_every(progress, wall, 1.0, 4)
    assert before == [0.2, 0.4, 0.6, 0.8]
    assert after == [0.8, 0.8, 0.8, 0.8]


@pytest.mark.parametrize("seconds", [1e-9, 1e-300])
def test_a_budget_that_is_over_ends_with_the_first_step(wall, seconds):
    """However small the budget, the first step is made, and it is the last."""
    progress = Progress(seconds, valid_tokens=10)
    progress.start(1)
    assert progress.fraction == 0.0
    assert tick_every(progress, wall, 1.0, 1) == [1.0]


def test_speed_counts_neither_the_first_step_nor_validation(wall):
    """Speed is tokens over the time of steps, without the slow first one and validation."""
    progress = Progress(None)
    progress.start(100)
    tick_every(progress, wall, 50.0, 1)
    assert progress.speed == 0.0
    tick_every(progress, wall, 2.0, 3, tokens=10)
    assert progress.speed == 5.0
    wall.now += 7.0
    progress.add_validation_time(7.0)
    tick_every(progress, wall, 2.0, 1, tokens=10)
    assert progress.speed == 5.0


def test_meter_weighs_batches_by_tokens():
    """The mean is over tokens, not over batches; the latest loss is the last batch's."""
    losses = RunningLoss(torch.device("cpu"))
    assert float(losses.mean_loss()) == 0.0
    for loss, tokens in ((4.0, 30), (2.0, 10), (1.0, 10)):
        losses.add(torch.tensor(loss), torch.tensor(loss / 2), tokens)
    assert (losses.mean, losses.latest) == (3.0, 1.0)
    assert float(losses.mean_loss()) == 3.0
    assert (losses.gradient_norm, losses.mean_gradient_norm()) == (0.5, 7 / 6)


def test_meter_leaves_out_what_is_not_finite():
    """A refused step shows as the latest one, and counts for nothing."""
    losses = RunningLoss(torch.device("cpu"))
    for loss in (4.0, math.nan, math.inf, 2.0, math.nan):
        losses.add(torch.tensor(loss), torch.tensor(loss), 10)
    assert math.isnan(losses.latest)
    assert (losses.mean, losses.mean_gradient_norm()) == (3.0, 3.0)


def test_meter_reads_a_device_now_and_then(wall):
    """Where reading the loss would make a device wait, it is read at most twice a second."""
    losses = RunningLoss(torch.device("cpu"))
    losses.reads_each_step = False
    seen = []
    for loss, elapsed in zip(itertools.count(1), (1.0, 0.25, 0.25, 0.25, 0.5), strict=False):
        wall.now += elapsed
        losses.add(torch.tensor(float(loss)), torch.tensor(1.0), 1)
        seen.append(losses.latest)
    assert seen == [1.0, 1.0, 1.0, 4.0, 4.0]
    assert float(losses.mean_loss()) == 3.0


@pytest.mark.parametrize(("device", "eager"), [("cpu", True), ("meta", False)])
def test_meter_is_eager_on_the_cpu_only(device, eager):
    """On the CPU the loss is there anyway; elsewhere looking at it costs time."""
    assert RunningLoss(torch.device(device)).reads_each_step is eager
