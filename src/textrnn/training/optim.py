"""How to step: optimisers, and the learning rates of layer groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from textrnn.checks import check_choice, check_number, did_you_mean
from textrnn.models.base import LanguageModel
from textrnn.training.device import PRECISIONS
from textrnn.training.schedules import SCHEDULES, Schedule

LearningRate = float | slice | Sequence[float] | Mapping[str, float]
"""One rate, or one a layer group: ``slice(lo, hi)``, a list, or a dict by group name."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda groups: torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=_can_fuse(groups)),
    "adam": lambda groups: torch.optim.Adam(groups, fused=_can_fuse(groups)),
    "sgd": lambda groups: torch.optim.SGD(groups),
}
"""What ``compile(optimizer=...)`` takes."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Says how to optimise: the arguments of ``TextGenerator.compile``, checked.

    Args:
        optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"``.
        learning_rate: per step, at the schedule's peak; ``learning_rates`` says which forms it
            may have. None is 3e-3.
        weight_decay: of matrices, at least 0; biases are left alone. None is 0.01 for
            ``"adamw"`` and 0 for the others, whose decay is a part of the gradient and stalls
            Adam.
        clip_norm: gradients are scaled down to this norm (Pascanu et al. 2013); None: never.
        schedule: ``"one_cycle"``, ``"cosine"``, ``"cosine_restarts"``, ``"step_decay"``,
            ``"constant"``, or a function from progress in [0, 1] to a factor of the learning
            rate; those of ``textrnn.training.schedules`` have arguments.
        precision: of the products of matrices: ``"float32"``, ``"bfloat16"``, ``"float16"``, or
            ``"auto"``, what the device is fastest in (``textrnn.training.device.pick_precision``).

    Raises:
        TypeError, ValueError: a value is not in its range.

    >>> OptimizerConfig(schedule="cosine").factor(0.5)
    0.5
    """

    optimizer: str = "adamw"
    learning_rate: LearningRate | None = None
    weight_decay: float | None = None
    clip_norm: float | None = 1.0
    schedule: str | Schedule = "one_cycle"
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        if self.weight_decay is not None:
            check_number("weight_decay", self.weight_decay, "of at least 0", lambda w: w >= 0)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, "above 0", lambda norm: norm > 0)
        if not callable(self.schedule):
            check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        spec = self.learning_rate
        if isinstance(spec, str) or not isinstance(spec, slice | Sequence | Mapping | None):
            _rate(spec)

    def with_rate(self, learning_rate: float) -> "OptimizerConfig":
        """Return these settings with a learning rate, if they have none yet."""
        if self.learning_rate is not None:
            return self
        return replace(self, learning_rate=learning_rate)

    def factor(self, progress: float) -> float:
        """Return the schedule's factor of the learning rate, for progress in [0, 1]."""
        schedule = self.schedule if callable(self.schedule) else SCHEDULES[self.schedule]
        return schedule(progress)


def learning_rates(spec: LearningRate, groups: Sequence[str]) -> dict[str, float]:
    """Return each layer group its learning rate.

    Args:
        spec: a float for all groups; ``slice(lo, hi)`` for rates from ``lo`` at the input to
            ``hi`` at the output, evenly spaced by ratio, as in fastai; ``slice(hi)`` for ``hi``
            at the output and ``hi / 10`` below; a list with one rate a group; or a dict by name
            with one rate for every group.
        groups: the names of the groups, from input to output.

    Raises:
        ValueError: a rate is not above 0, or the rates do not fit the groups.

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
                f"`learning_rate` must give a rate for every layer group; missing: "
                f"{', '.join(missing)}. Received: {dict(spec)!r}"
            )
        rates = [spec[name] for name in groups]
    elif isinstance(spec, Sequence) and not isinstance(spec, str):
        if len(spec) != len(groups):
            raise ValueError(
                f"`learning_rate` must give one rate for each of the {len(groups)} layer groups "
                f"({', '.join(groups)}). Received: {spec!r}"
            )
        rates = list(spec)
    else:
        rates = [spec] * len(groups)
    return {name: _rate(rate) for name, rate in zip(groups, rates, strict=True)}


def make_optimizer(model: LanguageModel, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Make an optimiser whose parameter groups follow the model's layer groups.

    Each parameter group has, besides torch's own entries, ``name`` (its layer group) and
    ``peak`` (the rate that a schedule's factor multiplies).

    Raises:
        ValueError: the learning rates do not fit the model's layer groups.
    """
    layer_groups = model.layer_groups()
    spec = settings.with_rate(3e-3).learning_rate
    assert spec is not None
    rates = learning_rates(spec, list(layer_groups))
    weight_decay = settings.weight_decay
    if weight_decay is None:
        weight_decay = 0.01 if settings.optimizer == "adamw" else 0.0
    groups: list[dict[str, Any]] = []
    for name, parameters in layer_groups.items():
        for matrices in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == matrices]
            decay = weight_decay if matrices else 0.0
            common = {"name": name, "lr": rates[name], "peak": rates[name], "weight_decay": decay}
            if chosen:
                groups.append({"params": chosen, **common})
    return OPTIMIZERS[settings.optimizer](groups)


def _rate(value: object) -> float:
    return check_number("learning_rate", value, "above 0", lambda rate: rate > 0)


def _can_fuse(groups: Sequence[Mapping[str, Any]]) -> bool:
    return all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
