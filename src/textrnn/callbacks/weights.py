"""Callbacks that choose the weights that training ends with."""

import math
from collections.abc import Callable
from typing import Any

from textrnn.callbacks.base import Callback, Logs
from textrnn.checks import check_number


class KeepBestWeights(Callback):
    """End training with the weights of the epoch with the lowest ``val_loss``.

    ``TextGenerator.fit`` always does this if there is validation data.

    Args:
        print_fn: called with a line that names the best epoch, unless that is the last one.
        from_start: whether to consider the weights before the first step, too; they are validated
            once. ``fit`` sets this for a model that was trained before, so that training never
            makes it worse.

    Attributes:
        best_epoch: the epoch with the lowest ``val_loss``; None without validation, or if the
            weights before the first step are the best.
    """

    def __init__(
        self, print_fn: Callable[[str], None] | None = None, *, from_start: bool = False
    ) -> None:
        self.print_fn, self.from_start = print_fn, from_start
        self._reset()

    def _reset(self) -> None:
        self.best_epoch: int | None = None
        self._lowest = math.inf
        self._last: int | None = None
        self._weights: dict[str, Any] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget earlier trainings; with ``from_start`` validate the current weights."""
        self._reset()
        if self.from_start and self.model.model.learns_by_gradient:  # counts only grow
            self._keep_if_best(None, self.trainer.validate())

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Copy the weights if this is the best epoch so far."""
        self._last = epoch
        self._keep_if_best(epoch, logs or {})

    def _keep_if_best(self, epoch: int | None, logs: Logs) -> None:
        # the last validation may have read more than those it is compared with
        loss = logs.get("part_val_loss", logs.get("val_loss", math.inf))
        if loss < self._lowest:
            self._lowest, self.best_epoch = loss, epoch
            weights = self.model.model.state_dict()
            # no counts, which only grow
            learned = {name: w for name, w in weights.items() if w.is_floating_point()}
            self._weights = {name: w.detach().clone() for name, w in learned.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the best weights so far and their epoch."""
        facts = {"lowest": self._lowest, "best_epoch": self.best_epoch, "last": self._last}
        return {**facts, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best weights so far and their epoch."""
        self._lowest, self.best_epoch = state["lowest"], state["best_epoch"]
        self._last, self._weights = state["last"], state["weights"]

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights."""
        if self._weights and self.best_epoch != self._last:
            self.model.model.load_state_dict(self._weights, strict=False)
            if self.print_fn:
                which = f"of the best epoch: epoch {(self.best_epoch or 0) + 1}"
                if self.best_epoch is None:
                    which = "from before, because no epoch was better"
                self.print_fn(f"kept the weights {which}, val_loss {self._lowest:.4f}")
        self._weights = {}


class SwapEMAWeights(Callback):
    """Average the weights over training; validate, save and end with the average.

    This is an exponential moving average (Polyak and Juditsky 1992): after each step it moves
    towards the weights by ``1 - ema_momentum``, faster in the first steps, so that it soon
    forgets the initial weights. It helps if the learning rate does not fall to zero at the end.

    Args:
        ema_momentum: the share of the average that a step keeps, in [0, 1).
    """

    def __init__(self, ema_momentum: float = 0.999) -> None:
        self.ema_momentum = check_number(
            "ema_momentum", ema_momentum, "in [0, 1)", lambda m: 0 <= m < 1
        )
        self._average: list[Any] = []
        self._steps = 0
        self._swapped = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start the average with the current weights."""
        self._average = [p.detach().clone() for p in self.model.model.parameters()]
        self._steps, self._swapped = 0, False

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Update the average."""
        self._steps += 1
        momentum = min(self.ema_momentum, self._steps / (10 + self._steps))
        for average, p in zip(self._average, self.model.model.parameters(), strict=True):
            average.lerp_(p.detach(), 1 - momentum)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Swap the average in until the next epoch begins."""
        self._swap(True)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Swap the trained weights back in."""
        self._swap(False)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leave the average in the model."""
        self._swap(True)
        self._average = []

    def state_dict(self) -> dict[str, Any]:
        """Return the average, and whether it is swapped in."""
        return {"average": self._average, "steps": self._steps, "swapped": self._swapped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average."""
        for average, saved in zip(self._average, state["average"], strict=True):
            average.copy_(saved)
        self._steps, self._swapped = state["steps"], state["swapped"]

    def _swap(self, swapped: bool) -> None:
        if self._swapped != swapped:
            for average, p in zip(self._average, self.model.model.parameters(), strict=True):
                held = p.detach().clone()
                p.detach().copy_(average)
                average.copy_(held)
        self._swapped = swapped
