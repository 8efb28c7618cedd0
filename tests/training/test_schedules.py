"""Each schedule is a table of numbers."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textrnn.training.optim import OptimizerConfig
from textrnn.training.schedules import (
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
    assert 0 <= OptimizerConfig(schedule=name).factor(progress) <= 1


def test_one_cycle_is_torch_s():
    """It is OneCycleLR with a start at 1/25 and an end at 0, for each of 101 steps."""
    steps = 101
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    # torch's warm-up ends at step pct_start * steps - 1, ours at a quarter of the last step
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
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
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4, T_mult=2)
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
        (partial(cosine_restarts, cycles=0), ValueError, "`cycles` must be at least 1"),
        (partial(cosine_restarts, cycle_mult=0.5), ValueError, "`cycle_mult`.*of at least 1"),
        (partial(step_decay, drops=0), ValueError, "`drops` must be at least 1"),
        (partial(step_decay, gamma=1), ValueError, r"`gamma` must be a number in \(0, 1\)"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(schedule, error, match):
    """The message names the argument and its range."""
    with pytest.raises(error, match=match):
        schedule(0.5)
