"""Everything that changes in one training."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from textrnn.callbacks.base import CallbackList
from textrnn.checks import warn
from textrnn.errors import NonFiniteError
from textrnn.history import History
from textrnn.models.base import State
from textrnn.text.batching import ContiguousBatcher
from textrnn.training.progress import Progress, RunningLoss
from textrnn.training.train_step import TrainStep

_LOWER = 4.0  # what the rates are divided by when a step was refused


@dataclass
class TrainState:
    """Everything that changes in one training; ``state_dict`` is what a backup holds.

    Attributes:
        train_step: the model, its optimiser and the random numbers of dropout.
        batcher: the position in the text: epoch, and next batch in it.
        progress: how far training is, and how fast.
        losses: the running loss of the epoch.
        history: what the finished epochs measured.
        callbacks: what they remember.
        hidden: the model's state of each row's text, after the last batch.
        epoch_began: when the epoch began, by ``time.perf_counter``, interruptions left out.
        quarter: which quarter of training this is, from 0. The hidden state starts afresh in each,
            as it does in each epoch: generation begins without a state, and a training of one
            epoch or less would meet that at its first batch only.
        rates_lowered: whether the learning rates were lowered because a step was refused.
        refused: the loss of the last step if it was refused and nothing was done about it yet.
    """

    train_step: TrainStep
    batcher: ContiguousBatcher
    progress: Progress
    losses: RunningLoss
    history: History
    callbacks: CallbackList
    hidden: State = None
    epoch_began: float = 0.0
    quarter: int = 0
    rates_lowered: bool = False
    refused: float | None = None

    def begin_epoch(self) -> None:
        """Start the epoch's measurements and texts afresh."""
        self.losses = RunningLoss(self.train_step.device)
        self.hidden = None
        self.epoch_began = time.perf_counter()

    def lower_rates(self, where: str) -> None:
        """Answer the first refused step by lower learning rates, and the second by an error.

        Args:
            where: the step was, for the message.

        Raises:
            NonFiniteError: it was the second.
        """
        peak = self.train_step.learning_rate
        message = f"The loss or its gradient is not finite at {where}; the step was refused."
        received = f"Received: loss {self.refused}, learning rate {peak:g} at its peak"
        if self.rates_lowered:
            raise NonFiniteError(f"{message} Lower the learning rate or clip_norm. {received}")
        self.rates_lowered, self.refused = True, None
        self.train_step.learning_rate = peak / _LOWER
        warn(f"{message} Training continues with {peak / _LOWER:g}. {received}")

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of training depends on, for ``load_state_dict``.

        It holds None, numbers, strings and tensors, in dicts, lists and tuples.
        """
        return {
            "train_step": self.train_step.state_dict(),
            "batcher": self.batcher.state_dict(),
            "progress": self.progress.state_dict(),
            "losses": self.losses.state_dict(),
            "history": self.history.to_config(),
            "callbacks": self.callbacks.state_dict(),
            "hidden": self.hidden,
            "epoch_seconds": time.perf_counter() - self.epoch_began,
            "quarter": self.quarter,
            "rates_lowered": self.rates_lowered,
            "refused": self.refused,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state_dict`` was called.

        Raises:
            AttributeError, KeyError, RuntimeError, TypeError, ValueError: ``state`` is of another
                model, or holds something else.
        """
        self.train_step.load_state_dict(state["train_step"])
        self.batcher.load_state_dict(state["batcher"])
        self.progress.load_state_dict(state["progress"])
        self.losses.load_state_dict(state["losses"])
        measured = History.from_config(state["history"])
        self.history.epoch, self.history.history = measured.epoch, measured.history
        self.callbacks.load_state_dict(state["callbacks"])
        self.hidden = _to_device(state["hidden"], self.train_step.device)
        self.epoch_began = time.perf_counter() - state["epoch_seconds"]
        self.quarter, self.rates_lowered = state["quarter"], state["rates_lowered"]
        self.refused = state["refused"]


def _to_device(hidden: State, device: torch.device) -> State:
    if isinstance(hidden, tuple | list):
        return tuple(_to_device(part, device) for part in hidden)
    return hidden if hidden is None else hidden.to(device)
