"""Learning-rate schedules: how the learning rate changes during training.

A schedule is a pure function from progress (0 at the start of training, 1 at its end) to a
factor of the learning rate. So it can be printed as a table, and the ratios between layer groups
stay the same. Progress is steps done over steps planned or, with a time budget, time spent over
the budget.

Each schedule can begin with a warm-up: a part of training in which the factor rises from 1/25
to 1 along half a cosine. Only ``one_cycle`` has one by default. ``functools.partial`` sets other
arguments: ``compile(schedule=partial(cosine, warm_up=0.05))``.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import repeat
from numbers import Real

from textrnn.checks import check_choice, check_int, check_number

Schedule = Callable[[float], float]
"""A function from progress, in [0, 1], to a factor of the learning rate, at least 0."""

_START = 1 / 25  # the factor at the start of a warm-up, as in fastai

# A schedule is called at every step, so its arguments are compared in place; the checks, which
# raise the error, are called only for an argument that is out of range.


def constant(progress: float, *, warm_up: float = 0.0) -> float:
    """Return 1 at any progress.

    >>> [round(constant(p / 4, warm_up=0.5), 2) for p in range(5)]
    [0.04, 0.52, 1.0, 1.0, 1.0]
    """
    return _warm_up(progress, warm_up)[0]


def cosine(progress: float, *, warm_up: float = 0.0) -> float:
    """Return a factor that falls from 1 to 0 along half a cosine.

    Source: Loshchilov and Hutter 2017, without restarts.

    >>> [round(cosine(p / 4), 3) for p in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    factor, rest = _warm_up(progress, warm_up)
    return factor * (1 + math.cos(math.pi * rest)) / 2


def one_cycle(progress: float, *, warm_up: float = 0.25) -> float:
    """Return a factor that rises to 1 during the warm-up, then falls to 0 along half a cosine.

    Source: Smith and Topin 2017, with fastai's shape and defaults (``fit_one_cycle``). This is
    ``cosine`` with a long warm-up.

    >>> [round(one_cycle(p / 4), 3) for p in range(5)]
    [0.04, 1.0, 0.75, 0.25, 0.0]
    """
    factor, rest = _warm_up(progress, warm_up)
    return factor * (1 + math.cos(math.pi * rest)) / 2


def cosine_restarts(
    progress: float, *, cycles: int = 3, cycle_mult: float = 2.0, warm_up: float = 0.0
) -> float:
    """Return a factor that falls from 1 to 0 along half a cosine several times.

    Source: SGDR (Loshchilov and Hutter 2017); ``cycle_mult`` is fastai's name for T_mult.

    Args:
        progress: in [0, 1].
        cycles: the number of falls, at least 1.
        cycle_mult: the length of each fall divided by that of the previous one, at least 1. Five
            cycles with a factor of 2 take 1, 2, 4, 8 and 16 thirty-firsts of training.
        warm_up: the part of training that the warm-up takes, in [0, 1).

    Raises:
        TypeError, ValueError: an argument is out of range.

    >>> [round(cosine_restarts(p / 6, cycles=2), 2) for p in range(7)]
    [1.0, 0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if type(cycles) is not int or cycles < 1:
        cycles = check_int("cycles", cycles, 1)
    if not 1 <= cycle_mult < math.inf:
        check_number("cycle_mult", cycle_mult, "of at least 1", lambda m: m >= 1)
    factor, rest = _warm_up(progress, warm_up)
    lengths = list(map(pow, repeat(cycle_mult), range(cycles)))
    done = rest * sum(lengths)
    for length in lengths[:-1]:
        if done < length:
            return factor * ((1 + math.cos(math.pi * (done / length))) / 2)
        done -= length
    return factor * ((1 + math.cos(math.pi * min(done / lengths[-1], 1.0))) / 2)


def step_decay(
    progress: float, *, drops: int = 2, gamma: float = 0.1, warm_up: float = 0.0
) -> float:
    """Return a factor that is multiplied by ``gamma`` at evenly spaced times.

    Args:
        progress: in [0, 1].
        drops: how many times, at least 1.
        gamma: the number that each drop multiplies the factor by, in (0, 1).
        warm_up: the part of training that the warm-up takes, in [0, 1).

    Raises:
        TypeError, ValueError: an argument is out of range.

    >>> [round(step_decay(p / 6), 3) for p in range(7)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.01]
    """
    if type(drops) is not int or drops < 1:
        drops = check_int("drops", drops, 1)
    if not 0 < gamma < 1:
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
"""The names that ``compile(schedule=...)`` accepts."""


_INSTEAD = {
    "CosineAnnealingLR": 'schedule="cosine"',
    "CosineAnnealingWarmRestarts": 'schedule="cosine_restarts"',
    "OneCycleLR": 'schedule="one_cycle"',
    "StepLR": 'schedule="step_decay"',
    "MultiStepLR": 'schedule="step_decay"',
    "ConstantLR": 'schedule="constant"',
    "ReduceLROnPlateau": 'schedule="constant" and the callback textrnn.ReduceLROnPlateau',
}  # of a torch scheduler


def check_schedule(schedule: object) -> None:
    """Raise an error unless ``schedule`` is the name of a schedule or a function that is one.

    A function is tried at the start, the middle and the end of training.

    Raises:
        TypeError: it takes other arguments, does not return a number, or is a torch scheduler.
        ValueError: there is no such name, or a factor is below 0 or not finite.
    """
    made_by = schedule.func if isinstance(schedule, partial) else schedule
    kind = made_by if isinstance(made_by, type) else type(made_by)
    if any(base.__module__ == "torch.optim.lr_scheduler" for base in kind.__mro__):
        instead = _INSTEAD.get(kind.__name__, "a function such as lambda progress: 1 - progress")
        raise TypeError(
            "`schedule` must be a name, or a function from progress, 0 at the start of training "
            "and 1 at its end, to a factor of the learning rate. A torch scheduler counts steps "
            f"instead. Pass {instead}. Received: torch's {kind.__name__}"
        )
    if not callable(schedule):
        check_choice("schedule", schedule, SCHEDULES)
        return
    for progress in (0.0, 0.5, 1.0):
        _check_factor(schedule, progress)


def _check_factor(schedule: Callable[[float], object], progress: float) -> None:
    """Raise an error unless the schedule returns a finite number of at least 0."""
    try:
        factor = schedule(progress)
    except TypeError as error:
        raise TypeError(
            "`schedule` must be a function from progress, 0 to 1, to a factor of the learning "
            f"rate; schedule({progress}) failed: {error}. Received: {schedule!r}"
        ) from error
    expected = "`schedule` must return a finite number of at least 0 for any progress from 0 to 1."
    received = f"Received: {factor!r} from schedule({progress})"
    if isinstance(factor, bool) or not isinstance(factor, Real):
        raise TypeError(f"{expected} {received}")
    if not 0 <= float(factor) < math.inf:
        raise ValueError(f"{expected} {received}")


def _warm_up(progress: float, part: float) -> tuple[float, float]:
    """Return the warm-up's factor, and the progress through the rest of training."""
    if not 0 <= part < 1:
        check_number("warm_up", part, "in [0, 1)", lambda w: 0 <= w < 1)
    if progress < part:
        rise = (1 - math.cos(math.pi * progress / part)) / 2
        return _START + (1 - _START) * rise, 0.0
    return 1.0, (progress - part) / (1 - part)
