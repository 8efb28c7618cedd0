"""How the learning rate changes in the course of training.

A schedule is a pure function from progress (0 at the start of training, 1 at its end) to a
factor of the learning rate, so it can be printed as a table, and it keeps the ratios between
layer groups. Progress is steps done over steps planned or, with a time budget, time over budget.

Each begins with a warm-up, a part of training in which the factor rises from 1/25 to 1 along
half a cosine; all but ``one_cycle`` have none unless asked. To choose other arguments than the
defaults, hand over a function of your own: ``schedule=partial(cosine, warm_up=0.05)``.
"""

import math
from collections.abc import Callable

from textrnn.checks import check_int, check_number

Schedule = Callable[[float], float]

_START = 1 / 25  # the factor that a warm-up begins with, fastai's


def constant(progress: float, *, warm_up: float = 0.0) -> float:
    """Stay at 1.

    >>> [round(constant(p / 4, warm_up=0.5), 2) for p in range(5)]
    [0.04, 0.52, 1.0, 1.0, 1.0]
    """
    return _warm_up(progress, warm_up)[0]


def cosine(progress: float, *, warm_up: float = 0.0) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts).

    >>> [round(cosine(p / 4), 3) for p in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    factor, rest = _warm_up(progress, warm_up)
    return factor * (1 + math.cos(math.pi * rest)) / 2


def one_cycle(progress: float, *, warm_up: float = 0.25) -> float:
    """Rise to 1 over the warm-up, then fall to 0 along half a cosine.

    Source: Smith and Topin 2017, with fastai's shape and defaults (``fit_one_cycle``). It is
    ``cosine`` with a long warm-up.

    >>> [round(one_cycle(p / 4), 3) for p in range(5)]
    [0.04, 1.0, 0.75, 0.25, 0.0]
    """
    return cosine(progress, warm_up=warm_up)


def cosine_restarts(
    progress: float, *, cycles: int = 3, cycle_mult: float = 2.0, warm_up: float = 0.0
) -> float:
    """Fall from 1 to 0 along half a cosine, several times, each time more slowly.

    Source: SGDR (Loshchilov and Hutter 2017); ``cycle_mult`` is fastai's name for T_mult.

    Args:
        progress: in [0, 1].
        cycles: how often it falls, at least 1.
        cycle_mult: how many times as long each fall is as the one before it, at least 1. Five
            cycles and a factor of 2 make falls of 1, 2, 4, 8 and 16 thirty-firsts.
        warm_up: the part of training that the warm-up takes, in [0, 1).

    >>> [round(cosine_restarts(p / 6, cycles=2), 2) for p in range(7)]
    [1.0, 0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    check_int("cycles", cycles, 1)
    check_number("cycle_mult", cycle_mult, "of at least 1", lambda m: m >= 1)
    factor, rest = _warm_up(progress, warm_up)
    lengths = [cycle_mult**i for i in range(cycles)]
    done = rest * sum(lengths)
    for length in lengths[:-1]:
        if done < length:
            return factor * cosine(done / length)
        done -= length
    return factor * cosine(min(done / lengths[-1], 1.0))


def step_decay(
    progress: float, *, drops: int = 2, gamma: float = 0.1, warm_up: float = 0.0
) -> float:
    """Fall in steps: stay, then drop to ``gamma`` of the rate, ``drops`` times, evenly spaced.

    Args:
        progress: in [0, 1].
        drops: how often, at least 1.
        gamma: what a drop multiplies the factor by, in (0, 1).
        warm_up: the part of training that the warm-up takes, in [0, 1).

    >>> [round(step_decay(p / 6), 3) for p in range(7)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.01]
    """
    check_int("drops", drops, 1)
    check_number("gamma", gamma, "in (0, 1)", lambda g: 0 < g < 1)
    factor, rest = _warm_up(progress, warm_up)
    return factor * gamma ** min(int(rest * (drops + 1) + 1e-9), drops)


SCHEDULES: dict[str, Schedule] = {
    "one_cycle": one_cycle,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "step_decay": step_decay,
    "constant": constant,
}
"""What ``compile(schedule=...)`` takes by name."""


def _warm_up(progress: float, part: float) -> tuple[float, float]:
    """Return the warm-up's factor, and the progress through what comes after it."""
    check_number("warm_up", part, "in [0, 1)", lambda w: 0 <= w < 1)
    if progress < part:
        rise = (1 - math.cos(math.pi * progress / part)) / 2
        return _START + (1 - _START) * rise, 0.0
    return 1.0, (progress - part) / (1 - part)
