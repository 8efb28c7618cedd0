"""One step of learning: forward, backward, clip, update."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from textrnn.device import flushing_denormals, pick_precision, running_in
from textrnn.errors import check_number
from textrnn.models import MODELS, kind_of
from textrnn.models.base import Dropout, LanguageModel, State, detach, grow_tensor
from textrnn.optim import Settings, make_optimizer


class Learner:
    """Holds a model, its optimiser and the random numbers of its dropout, and makes steps.

    In half precision, where the device is fastest in it (``device.pick_precision``), the model
    runs under ``torch.autocast``: products of matrices are rounded, weights, loss and moments
    stay float32. With float16 the loss is scaled so that small gradients survive (Micikevicius
    et al. 2018).

    Args:
        model: trained in place, on the device it is on; not a counting one.
        settings: how to optimise; the schedule is the caller's business.
        seed: of the random numbers that dropout needs; None: others every time.

    Attributes:
        precision: "float32", "bfloat16" or "float16": in what the model runs.
        gradient_norm: a tensor, the norm over all parameters in the last step, before clipping.

    Raises:
        ValueError: the learning rates do not fit the model's layer groups.

    >>> from textrnn import RNNModel
    >>> learner = Learner(RNNModel(5, hidden_size=8), Settings(), seed=0)
    >>> x = torch.zeros(2, 7, dtype=torch.int64)
    >>> loss, state = learner.step(x, x)
    >>> float(learner.step(x, x, state)[0]) < float(loss)
    True
    """

    def __init__(
        self, model: LanguageModel, settings: Settings | None = None, *, seed: int | None = None
    ) -> None:
        self.model, self.settings = model, settings or Settings()
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(self.generator.seed() if seed is None else seed)
        self.optimizer = make_optimizer(model, self.settings)
        self.gradient_norm = torch.zeros(())
        known = kind_of(model) in MODELS
        self.precision = pick_precision(self.settings.precision, self.device, known)
        scales = self.precision == "float16"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=scales)

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

    def set_rates(self, factor: float) -> float:
        """Set each layer group's rate to a factor of its peak; give the last group's."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        return float(self.optimizer.param_groups[-1]["lr"])

    def step(
        self, x: torch.Tensor, y: torch.Tensor, state: State = None, forward: Any = None
    ) -> tuple[torch.Tensor, State]:
        """Learn from one batch.

        Args:
            x: (B, T) integers, what the model reads.
            y: (B, T) integers, what it should have said.
            state: of the texts before ``x``; no gradient goes further back than ``x``.
            forward: what to call in the model's place, its distributed wrapper.

        Returns:
            The mean loss in nats per token, a scalar tensor, and the state after ``x``. A step
            whose loss or gradient is not finite is refused, and, but in float16, its loss is NaN.
        """
        with running_in(self.precision, self.device):
            logits, state = (forward or self.model)(x.long(), detach(state))  # (B, T, V)
        # Time first, as our models compute: flattening then copies nothing.
        logits = logits.transpose(0, 1).flatten(0, 1).float()
        loss = F.cross_entropy(logits, y.long().t().flatten())
        self.optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self.optimizer)
        limit = math.inf if self.settings.clip_norm is None else self.settings.clip_norm
        self.gradient_norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        # In float16 the scaler refuses the step, without making us wait for the device.
        if not self._scaler.is_enabled() and not bool(
            (self.gradient_norm + loss.detach()).isfinite()
        ):
            return loss.detach() * math.nan, state
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return loss.detach(), state

    def adopt(self, model: LanguageModel, origins: NDArray[np.int64]) -> None:
        """Go on with what ``self.model.grow(len(origins), origins)`` gave.

        The optimiser keeps its moments; those of new symbols come from where their weights do.
        """
        old, self.model = self.model, model
        before, self.optimizer = self.optimizer, make_optimizer(model, self.settings)
        for new, group in zip(self.optimizer.param_groups, before.param_groups, strict=True):
            new["peak"] = group["peak"]
        for p, old_p in zip(model.parameters(), old.parameters(), strict=True):
            self.optimizer.state[p] = {
                name: grow_tensor(value, p.shape, origins) if value.ndim else value
                for name, value in before.state.get(old_p, {}).items()
            }

    @contextmanager
    def training(self) -> Iterator[None]:
        """Switch dropout on, drawing from this learner's generator, and off again."""
        layers = [m for m in self.model.modules() if isinstance(m, Dropout)]
        for layer in layers:
            layer.generator = self.generator
        self.model.train()
        try:
            with flushing_denormals():
                yield
        finally:
            self.model.eval()
            for layer in layers:
                layer.generator = None
