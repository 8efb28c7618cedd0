"""One step of training: forward, backward, clip, update."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_number
from textrnn.models.base import LanguageModel, State, detach, device_of
from textrnn.models.denormals import flush_denormals
from textrnn.models.layers import Dropout
from textrnn.models.registry import family_of
from textrnn.training.device import autocast, pick_precision
from textrnn.training.distributed import average_gradients
from textrnn.training.optim import OptimizerConfig, extend_moments, make_optimizer


class TrainStep:
    """Takes training steps; holds a model, its optimiser and the random generator of its dropout.

    In half precision (``device.pick_precision``) the model runs under ``torch.autocast``: matrix
    products are rounded, while weights, loss and moments stay float32. With float16 the loss is
    scaled so that small gradients survive (Micikevicius et al. 2018).

    Args:
        model: trained in place, on the device it is on; it needs parameters.
        config: how to optimise; the caller applies the schedule.
        seed: of dropout's random numbers; None for different ones every time.

    Attributes:
        world_size: the number of processes whose gradients are averaged.
        precision: "float32", "bfloat16" or "float16", the precision that the model runs in.
        gradient_norm: a tensor, the norm over all parameters in the last step, before clipping.

    Raises:
        ValueError: the learning rates do not fit the model's layer groups.

    >>> from textrnn import RNNModel
    >>> train_step = TrainStep(RNNModel(5, hidden_size=8), seed=0)
    >>> x = torch.zeros(2, 7, dtype=torch.int64)
    >>> losses = [float(train_step(x, x)[0]) for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(
        self,
        model: LanguageModel,
        config: OptimizerConfig | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        self.model, self.config = model, config or OptimizerConfig()
        self.world_size = 1
        self.device = device_of(model)
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(self.generator.seed() if seed is None else seed)
        self.optimizer = make_optimizer(model, self.config)
        self.gradient_norm = torch.zeros(())
        known = family_of(model) is not None
        self.precision = pick_precision(self.config.precision, self.device, known)
        self._autocast = autocast(self.precision, self.device)
        scales = self.precision == "float16"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=scales)
        limit = self.config.clip_norm
        self._limit = math.inf if limit is None else limit

    @property
    def learning_rate(self) -> float:
        """The last layer group's rate at the schedule's peak; setting it scales all groups."""
        return float(self.optimizer.param_groups[-1]["peak"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        check_number("learning_rate", value, "above 0", lambda rate: rate > 0)
        ratio = value / self.learning_rate
        for group in self.optimizer.param_groups:
            group["peak"] *= ratio

    @property
    def current_lr(self) -> float:
        """The last layer group's rate in the last step."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def __call__(
        self, x: torch.Tensor, y: torch.Tensor, state: State = None, factor: float = 1.0
    ) -> tuple[torch.Tensor, State]:
        """Learn from one batch.

        Args:
            x: (B, T) integers, the inputs.
            y: (B, T) integers, the targets.
            state: the state after the tokens before ``x``; gradients stop there.
            factor: the schedule's factor of the learning rates.

        Returns:
            The mean loss in nats per token, a scalar tensor, and the state after ``x``. A step
            whose loss or gradient is not finite is refused; its loss is NaN, except in float16.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        with self._autocast:
            logits, state = self.model(x.long(), detach(state))  # (B, T, V)
        state = detach(state)  # so that no graph is kept between batches
        # Time first, as in our models: flattening then copies nothing.
        logits = logits.transpose(0, 1).flatten(0, 1).float()
        loss = F.cross_entropy(logits, y.long().t().flatten())
        self.optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        parameters = list(self.model.parameters())
        if self.world_size > 1:
            average_gradients(parameters)
        self._scaler.unscale_(self.optimizer)
        # In float16 the scaler refuses the step, and we need not wait for the device.
        waits = not self._scaler.is_enabled()
        self.gradient_norm = clip(parameters, self._limit, waits=waits)
        if waits and not bool((self.gradient_norm + loss.detach()).isfinite()):
            return loss.detach() * math.nan, state
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return loss.detach(), state

    def replace_model(self, model: LanguageModel, init_from: NDArray[np.int64]) -> None:
        """Continue with ``model``, which extends ``self.model`` to a larger vocabulary.

        The optimiser keeps its moments; those of new tokens start where their weights do.

        Args:
            model: the extended model.
            init_from: (V',) for each token the old token that it starts from, or -1.
        """
        old, self.model = self.model, model
        before, self.optimizer = self.optimizer, make_optimizer(model, self.config)
        for new, group in zip(self.optimizer.param_groups, before.param_groups, strict=True):
            new["peak"] = group["peak"]
        for p, old_p in zip(model.parameters(), old.parameters(), strict=True):
            moments = before.state.get(old_p, {})
            self.optimizer.state[p] = extend_moments(moments, old_p.shape, p.shape, init_from)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for ``load_state_dict``."""
        optimizer = self.optimizer.state_dict()
        groups = [{"lr": g["lr"], "peak": g["peak"]} for g in self.optimizer.param_groups]
        return {
            "weights": dict(self.model.state_dict()),
            "moments": {str(i): moments for i, moments in optimizer["state"].items()},
            "rates": groups,
            "generator": self.generator.get_state(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume exactly where ``state_dict`` was called, for an equal model."""
        self.model.load_state_dict(state["weights"])
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {int(i): moments for i, moments in state["moments"].items()}
        self.optimizer.load_state_dict(optimizer)
        for group, rates in zip(self.optimizer.param_groups, state["rates"], strict=True):
            group.update(rates)
        self.generator.set_state(state["generator"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])

    @contextmanager
    def training(self) -> Iterator[None]:
        """Switch dropout on, drawing from this train step's generator, and off again."""
        layers = [m for m in self.model.modules() if isinstance(m, Dropout)]
        for layer in layers:
            layer.generator = self.generator
        self.model.train()
        try:
            with flush_denormals():
                yield
        finally:
            self.model.eval()
            for layer in layers:
                layer.generator = None


def clip(parameters: list[nn.Parameter], limit: float, *, waits: bool) -> torch.Tensor:
    """Scale the gradients down until their norm is at most ``limit`` (Pascanu et al. 2013).

    Squares of gradients above 1e19 overflow a float32, and clipping by an infinite norm would turn
    all gradients into zeros. Such gradients are divided by the largest before taking the norm.

    Args:
        parameters: those without a gradient are skipped.
        limit: above 0; infinite for no clipping.
        waits: whether to wait for the device to see if the norm is infinite; if not, such
            gradients are not rescued.

    Returns:
        The norm before clipping. If a gradient is infinite or NaN, so is the norm, and the
        gradients are left alone.

    >>> p = nn.Parameter(torch.zeros(2))
    >>> p.grad = torch.tensor([3e30, 4e30])
    >>> f"{clip([p], 1.0, waits=True):.3g}", p.grad
    ('5e+30', tensor([0.6000, 0.8000]))
    """
    try:
        return nn.utils.clip_grad_norm_(parameters, limit, error_if_nonfinite=waits)
    except RuntimeError:  # raised before anything is changed
        gradients = [p.grad for p in parameters if p.grad is not None]
    largest = torch.stack([g.abs().max() for g in gradients]).max().double()
    if not bool(largest.isfinite()) or math.isinf(limit):
        return largest * math.inf
    for g in gradients:
        g.div_(largest)
    norm = nn.utils.clip_grad_norm_(parameters, math.inf)
    for g in gradients:
        g.mul_(limit / norm)
    return largest * norm
