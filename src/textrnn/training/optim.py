"""Optimisers: how a step changes the weights, and at which rate in each layer group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textrnn.checks import check_choice, check_number, did_you_mean
from textrnn.models.base import LanguageModel, extend_tensor
from textrnn.training.device import PRECISIONS
from textrnn.training.schedules import SCHEDULES, Schedule, check_schedule

LearningRate = float | slice | Sequence[float] | Mapping[str, float]
"""One rate, or one per layer group: ``slice(lo, hi)``, a list, or a dict by group name."""

MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
"""A torch optimiser class, or a function from parameter groups to an optimiser."""

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "adamw": lambda groups: torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=_can_fuse(groups)),
    "adam": lambda groups: torch.optim.Adam(groups, fused=_can_fuse(groups)),
    "sgd": lambda groups: torch.optim.SGD(groups),
}
"""The names that ``compile(optimizer=...)`` accepts."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Holds how to optimise: the arguments of ``TextGenerator.compile``, checked.

    Args:
        optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"``; a torch optimiser class; or a function
            from parameter groups to an optimiser, such as
            ``partial(torch.optim.SGD, momentum=0.9)``.
        learning_rate: the rate at the schedule's peak, above 0: a float for all layer groups, or
            one rate per group in the forms that ``learning_rates`` describes. None is 3e-3.
        weight_decay: the decay of matrices, at least 0; biases have none. None is the
            optimiser's own default: 0.01 for ``"adamw"``, 0 for ``"adam"`` and ``"sgd"``.
        clip_norm: the largest norm of the gradients, above 0; larger ones are scaled down
            (Pascanu et al. 2013). None: no limit.
        schedule: ``"one_cycle"``, ``"cosine"``, ``"cosine_restarts"``, ``"step_decay"``,
            ``"constant"``, or a function from progress in [0, 1] to a factor of the learning
            rate, at least 0; those in ``textrnn.training.schedules`` take arguments.
        precision: of matrix products: ``"float32"``, ``"bfloat16"``, ``"float16"``, or
            ``"auto"``, the fastest on the device (``textrnn.training.device.pick_precision``).

    Raises:
        TypeError, ValueError: a value is out of its range. A schedule is called at 0, 0.5 and 1.

    >>> config = OptimizerConfig(optimizer=torch.optim.RMSprop, schedule="cosine")
    >>> schedule = config.resolve_schedule()
    >>> schedule(0.5)
    0.5
    """

    optimizer: str | MakeOptimizer = "adamw"
    learning_rate: LearningRate | None = None
    weight_decay: float | None = None
    clip_norm: float | None = 1.0
    schedule: str | Schedule = "one_cycle"
    precision: str = "auto"

    def __post_init__(self) -> None:
        _check_optimizer(self.optimizer)
        _check_learning_rate(self.learning_rate)
        if self.weight_decay is not None:
            check_number("weight_decay", self.weight_decay, "of at least 0", lambda w: w >= 0)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, "above 0", lambda norm: norm > 0)
        check_schedule(self.schedule)
        check_choice("precision", self.precision, PRECISIONS)

    def with_rate(self, learning_rate: float) -> "OptimizerConfig":
        """Return this configuration; if it has no learning rate yet, with this one."""
        if self.learning_rate is not None:
            return self
        return replace(self, learning_rate=learning_rate)

    def resolve_schedule(self) -> Schedule:
        """Return the function from progress, in [0, 1], to a factor of the learning rate."""
        return self.schedule if callable(self.schedule) else SCHEDULES[self.schedule]

    def to_config(self) -> dict[str, str]:
        """Return each value as text that is the same in every process; functions by their names.

        >>> config = OptimizerConfig(optimizer=partial(torch.optim.SGD, momentum=0.9))
        >>> config.to_config()["optimizer"]
        'torch.optim.sgd.SGD(momentum=0.9)'
        """
        return {field.name: _spell(getattr(self, field.name)) for field in fields(self)}


def learning_rates(spec: LearningRate, groups: Sequence[str]) -> dict[str, float]:
    """Return the learning rate of each layer group, by name.

    Args:
        spec: a float for all groups; ``slice(lo, hi)`` for rates from ``lo`` at the input to
            ``hi`` at the output, each the same multiple of the one before, as in fastai;
            ``slice(hi)`` for ``hi`` at the output and ``hi / 10`` below it; a list with one
            rate per group; or a dict from every group's name to its rate. All are above 0.
        groups: the names of the groups, from input to output.

    Raises:
        TypeError, ValueError: a rate is not a number above 0, or the rates do not fit the
            groups.

    >>> learning_rates(slice(1e-4, 1e-2), ["embedding", "layer0", "head"])
    {'embedding': 0.0001, 'layer0': 0.001, 'head': 0.01}
    """
    if isinstance(spec, slice):
        last = len(groups) - 1
        if spec.start is None:
            rates = [_rate(spec.stop) / 10] * last + [spec.stop]
        else:
            lo, hi = _rate(spec.start), _rate(spec.stop)
            rates = [round(lo * (hi / lo) ** (i / max(last, 1)), 15) for i in range(last + 1)]
    elif isinstance(spec, Mapping):
        if odd := [name for name in spec if name not in groups]:
            raise ValueError(
                f"`learning_rate` names layer groups that this model does not have."
                f"{did_you_mean(odd[0], groups)} Its groups are: {', '.join(groups)}. "
                f"Received: {dict(spec)!r}"
            )
        if missing := [name for name in groups if name not in spec]:
            raise ValueError(
                f"`learning_rate` must have a rate for every layer group; missing: "
                f"{', '.join(missing)}. Received: {dict(spec)!r}"
            )
        rates = [spec[name] for name in groups]
    elif isinstance(spec, Sequence) and not isinstance(spec, str):
        if len(spec) != len(groups):
            raise ValueError(
                f"`learning_rate` must have one rate for each of the {len(groups)} layer groups "
                f"({', '.join(groups)}). Received: {spec!r}"
            )
        rates = list(spec)
    else:
        rates = [spec] * len(groups)
    return {name: _rate(rate) for name, rate in zip(groups, rates, strict=True)}


def make_optimizer(model: LanguageModel, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return an optimiser whose parameter groups follow the model's layer groups.

    In addition to torch's own entries each parameter group has ``name`` (its layer group) and
    ``peak`` (the rate that the schedule's factor multiplies).

    Raises:
        TypeError: ``config.optimizer`` is a function that does not return such an optimiser.
        ValueError: the learning rates do not fit the model's layer groups, or the optimiser has
            no weight decay and ``config.weight_decay`` asks for one.
    """
    layer_groups = model.layer_groups()
    spec = config.with_rate(3e-3).learning_rate
    assert spec is not None
    rates = learning_rates(spec, list(layer_groups))
    groups: list[dict[str, Any]] = []
    for name, parameters in layer_groups.items():
        for matrices in (True, False):
            if chosen := [p for p in parameters if (p.ndim > 1) == matrices]:
                rate = rates[name]
                groups.append({"params": chosen, "name": name, "lr": rate, "peak": rate})
    make = OPTIMIZERS[config.optimizer] if isinstance(config.optimizer, str) else config.optimizer
    optimizer = make(groups)
    _check_made(optimizer, groups)
    _set_weight_decay(optimizer, config.weight_decay)
    return optimizer


def extend_moments(
    moments: Mapping[str, Any], old: torch.Size, new: torch.Size, init_from: NDArray[np.int64]
) -> dict[str, Any]:
    """Return an optimiser's state of a parameter that was extended to a larger vocabulary.

    Args:
        moments: the state of the old parameter, by name.
        old: the old parameter's shape.
        new: the new parameter's shape.
        init_from: (V',) int64, as in ``LanguageModel.extend``.

    Returns:
        The state of the new parameter. It is empty, so that the optimiser starts afresh, if the
        shape has changed and a moment has another shape than the parameter (as Adafactor's rows).

    >>> extend_moments({"step": 3, "square": torch.ones(1)}, (1,), (2,), np.array([0, -1]))
    {'step': 3, 'square': tensor([1., 1.])}
    """
    arrays = {n: m for n, m in moments.items() if isinstance(m, torch.Tensor) and m.ndim > 0}
    if old == new:
        return {**moments}
    if any(moment.shape != old for moment in arrays.values()):
        return {}
    return {**moments, **{n: extend_tensor(m, new, init_from) for n, m in arrays.items()}}


def _set_weight_decay(optimizer: torch.optim.Optimizer, weight_decay: float | None) -> None:
    """Set the decay of matrices (None keeps the optimiser's default), and that of biases to 0."""
    if "weight_decay" not in optimizer.defaults:
        if weight_decay:
            raise ValueError(
                f"`weight_decay` must be None or 0 for {type(optimizer).__name__}, which has no "
                f"weight decay. Received: {weight_decay!r}"
            )
        return
    decay = optimizer.defaults["weight_decay"] if weight_decay is None else weight_decay
    for group in optimizer.param_groups:
        group["weight_decay"] = decay if group["params"][0].ndim > 1 else 0.0


def _check_made(optimizer: object, groups: list[dict[str, Any]]) -> None:
    """Raise ``TypeError`` unless ``optimizer`` is an optimiser of these parameter groups."""
    names = [group["name"] for group in groups]
    if isinstance(optimizer, torch.optim.Optimizer):
        if [group.get("name") for group in optimizer.param_groups] == names:
            return
        received = f"{type(optimizer).__name__} with other parameter groups"
    else:
        received = repr(optimizer)
    raise TypeError(
        "`optimizer` must return a torch optimiser of the parameter groups it is called with, as "
        f"`lambda groups: torch.optim.SGD(groups, momentum=0.9)` does. Received: {received}"
    )


def _check_optimizer(optimizer: object) -> None:
    if isinstance(optimizer, str):
        check_choice("optimizer", optimizer, OPTIMIZERS)
        return
    base = torch.optim.Optimizer
    if isinstance(optimizer, base):
        raise TypeError(
            "`optimizer` must be a class or a function, because the optimiser is made for the "
            "parameters of the model that `fit` trains: pass torch.optim.SGD, or "
            "functools.partial(torch.optim.SGD, momentum=0.9). "
            f"Received: an instance of {type(optimizer).__name__}"
        )
    is_wrong_class = isinstance(optimizer, type) and not issubclass(optimizer, base)
    if is_wrong_class or optimizer is base or not callable(optimizer):
        raise TypeError(
            f"`optimizer` must be one of {', '.join(map(repr, OPTIMIZERS))}, a subclass of "
            "torch.optim.Optimizer, or a function from parameter groups to an optimiser. "
            f"Received: {optimizer!r}"
        )


def _check_learning_rate(spec: LearningRate | None) -> None:
    """Check each rate; whether they fit the layer groups is checked once there is a model."""
    values: list[object] = [spec]
    if isinstance(spec, slice):
        values = [spec.stop] if spec.start is None else [spec.start, spec.stop]
    elif isinstance(spec, Mapping):
        values = list(spec.values())
    elif spec is None or (isinstance(spec, Sequence) and not isinstance(spec, str)):
        values = list(spec or ())
    for value in values:
        _rate(value)


def _rate(value: object) -> float:
    return check_number("learning_rate", value, "above 0", lambda rate: rate > 0)


def _can_fuse(groups: Sequence[Mapping[str, Any]]) -> bool:
    return all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])


def _spell(value: object) -> str:
    """Return a value as text without addresses: functions and classes by qualified name."""
    if isinstance(value, partial):
        arguments = [*map(_spell, value.args)]
        arguments += [f"{name}={_spell(argument)}" for name, argument in value.keywords.items()]
        return f"{_spell(value.func)}({', '.join(arguments)})"
    if callable(value):
        owner = value if hasattr(value, "__qualname__") else type(value)
        return f"{owner.__module__}.{owner.__qualname__}"
    return str(value)
