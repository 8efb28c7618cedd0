"""Each schedule is a table of numbers."""

import math
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from textrnn import TextGenerator
from textrnn.training.optim import OptimizerConfig
from textrnn.training.schedules import (
    _INSTEAD,
    SCHEDULES,
    constant,
    cosine,
    cosine_restarts,
    one_cycle,
    step_decay,
)


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        # 0, 1/8, ..., 1; (1 + cos(pi x)) / 2 is 1, 0.8536, 0.5, 0.1464, 0 at x = 0, 1/4, ...
        (one_cycle, [0.04, 0.52, 1.0, 0.933013, 0.75, 0.5, 0.25, 0.066987, 0.0]),
        (cosine, [1.0, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060, 0.0]),
        (constant, [1.0] * 9),
        (step_decay, [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        (partial(step_decay, drops=1, gamma=0.5), [1.0] * 4 + [0.5] * 5),
        # three falls of 1, 2 and 4 sevenths, 7/8, 3/8, 13/16, 1/8, 11/32, 9/16, 25/32 done
        (
            partial(cosine_restarts, cycles=2, cycle_mult=1),
            [1.0, 0.853553, 0.5, 0.146447] * 2 + [0],
        ),
        (partial(cosine_restarts, cycles=1), [cosine(i / 8) for i in range(9)]),
        (
            cosine_restarts,
            [1, 0.038060, 0.691342, 0.084265, 0.961940, 0.735698, 0.402455, 0.113495, 0],
        ),
        # a warm-up over the first half: (1 - cos(pi x)) / 2 of the way from 0.04 to 1
        (partial(constant, warm_up=0.5), [0.04, 0.180589, 0.52, 0.859411] + [1.0] * 5),
        (
            partial(cosine, warm_up=0.5),
            [0.04, 0.180589, 0.52, 0.859411, 1, 0.853553, 0.5, 0.146447, 0],
        ),
        (
            partial(step_decay, drops=1, warm_up=0.5),
            [0.04, 0.180589, 0.52, 0.859411, 1, 1, 0.1, 0.1, 0.1],
        ),
        (
            partial(cosine_restarts, cycles=2, cycle_mult=1, warm_up=0.5),
            [0.04, 0.180589, 0.52, 0.859411, 1, 0.5, 1, 0.5, 0],
        ),
    ],
)
def test_schedules_equal_these_tables(schedule, table):
    """Each schedule takes these values at 0, 1/8, ..., 1."""
    found = [schedule(i / 8) for i in range(9)]
    assert found == pytest.approx(table, abs=5e-7)


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0, 1))
def test_schedules_are_factors(name, progress):
    """At any time of training a schedule's factor is in [0, 1]."""
    assert 0 <= SCHEDULES[name](progress) <= 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_step_costs_two_calls_at_most(name):
    """A constant argument is not checked again at every step."""
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(frame) if event == "call" else None)
    try:
        SCHEDULES[name](0.375)
    finally:
        sys.setprofile(None)
    assert 1 <= len(calls) <= 2


def test_one_cycle_is_torch_s():
    """It is OneCycleLR with a start at 1/25 and an end at 0, for each of 101 steps."""
    steps = 101
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    # torch's warm-up ends at step pct_start * steps - 1, ours at a quarter of the last step
    scheduler = lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=steps,
        pct_start=(0.25 * (steps - 1) + 1) / steps,
        div_factor=25,
        final_div_factor=math.inf,
        cycle_momentum=False,
    )
    expected = []
    for _ in range(steps):
        expected += scheduler.get_last_lr()
        optimizer.step()
        if len(expected) < steps:
            scheduler.step()
    assert [one_cycle(k / (steps - 1)) for k in range(steps)] == pytest.approx(expected, abs=1e-12)


def test_restarts_are_torch_s():
    """It is CosineAnnealingWarmRestarts, with falls of 4, 8 and 16 steps, for each of 28."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4, T_mult=2)
    expected = []
    for _ in range(28):
        expected += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert [cosine_restarts(k / 28) for k in range(28)] == pytest.approx(expected, abs=1e-12)
    assert cosine_restarts(1.0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "error", "match"),
    [
        (partial(cosine, warm_up=1.0), ValueError, r"`warm_up` must be a number in \[0, 1\)"),
        (partial(one_cycle, warm_up=-0.1), ValueError, "`warm_up`.*Received: -0.1"),
        (partial(constant, warm_up=math.nan), ValueError, "`warm_up`.*Received: nan"),
        (partial(cosine_restarts, cycles=0), ValueError, "`cycles` must be at least 1"),
        (partial(cosine_restarts, cycles=2.5), TypeError, "`cycles` must be a whole number"),
        (partial(cosine_restarts, cycle_mult=0.5), ValueError, "`cycle_mult`.*of at least 1"),
        (partial(cosine_restarts, cycle_mult=math.inf), ValueError, "`cycle_mult`.*: inf"),
        (partial(step_decay, drops=0), ValueError, "`drops` must be at least 1"),
        (partial(step_decay, gamma=1), ValueError, r"`gamma` must be a number in \(0, 1\)"),
        ("onecycle", ValueError, "`schedule` must be one of .*Did you mean 'one_cycle'"),
        (0.5, ValueError, "`schedule` must be one of 'one_cycle', 'cosine'.* Received: 0.5"),
        (lambda: 1.0, TypeError, r"a function from progress.*schedule\(0.0\) failed: .*lambda"),
        (print, TypeError, r"must return a finite number.*Received: None from schedule\(0.0\)"),
        (lambda p: p < 0.5, TypeError, "must return a finite number.*Received: True from"),
        (lambda p: torch.tensor(p), TypeError, r"Received: tensor\(0.\) from"),
        (lambda p: 0.5 - p, ValueError, r"of at least 0 .*Received: -0.5 from schedule\(1.0\)"),
        (lambda p: math.inf if p == 0.5 else 1, ValueError, r"Received: inf from schedule\(0.5\)"),
    ],
)
def test_what_is_no_schedule_is_refused_at_the_call(schedule, error, match):
    """The message says what a schedule is, or names the argument and its range."""
    with pytest.raises(error, match=match):
        OptimizerConfig(schedule=schedule)


@pytest.mark.parametrize("schedule", [math.cos, lambda p: np.float64(1 - p), lambda p: 2])
def test_a_schedule_of_your_own_may_return_any_real_number(schedule):
    """A whole number, one of NumPy's, a factor above 1."""
    assert OptimizerConfig(schedule=schedule).resolve_schedule() is schedule


SGD = torch.optim.SGD([torch.zeros(1)])


@pytest.mark.parametrize(
    ("scheduler", "instead"),
    [
        (lr_scheduler.CosineAnnealingLR, 'Pass schedule="cosine". .*CosineAnnealingLR$'),
        (partial(lr_scheduler.OneCycleLR, max_lr=0.1), 'Pass schedule="one_cycle".'),
        (lr_scheduler.StepLR(SGD, 3), 'Pass schedule="step_decay".'),
        (lr_scheduler.ReduceLROnPlateau, ".*the callback textrnn.ReduceLROnPlateau"),
        (lr_scheduler.LambdaLR, "Pass a function such as lambda progress: 1 - progress"),
    ],
    ids=["class", "partial", "instance", "callback", "function"],
)
def test_a_torch_scheduler_is_refused_with_the_nearest_of_ours(scheduler, instead):
    """It counts steps; ours know how far training is."""
    with pytest.raises(TypeError, match=f"A torch scheduler counts steps instead. {instead}"):
        TextGenerator().compile(schedule=scheduler)


def test_every_name_in_the_advice_is_a_schedule_of_torch():
    """The names are torch's, and what is advised exists."""
    for name, instead in _INSTEAD.items():
        assert issubclass(getattr(lr_scheduler, name), lr_scheduler.LRScheduler)
        assert instead.split('"')[1] in SCHEDULES
