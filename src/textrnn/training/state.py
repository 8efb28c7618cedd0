"""Everything that changes during training."""

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
from textrnn.text.corpus import Corpus
from textrnn.training.device import read_in_epochs
from textrnn.training.plan import Plan
from textrnn.training.progress import Progress, RunningLoss
from textrnn.training.train_step import TrainStep
from textrnn.training.validation import Validation

_LOWER = 4.0  # the rates are divided by this when a step was refused


@dataclass
class TrainState:
    """Holds everything that changes during training; a backup holds its ``state_dict``.

    Attributes:
        train_step: the model, its optimiser and the random numbers of dropout.
        batcher: the position in the text: the epoch, and the next batch in it.
        progress: how far training is, and how fast.
        validation: how much of the validation text is read.
        losses: the running loss of the epoch.
        history: the measurements of finished epochs.
        callbacks: the callbacks, which have states of their own.
        eot_id: the id of the boundary between documents, where a state starts afresh; None for
            one text.
        hidden: the model's state for each row of the batch, after the last batch.
        epoch_began: when the epoch began, by ``time.perf_counter``, without interruptions.
        quarter: the quarter of training, from 0. The hidden state starts afresh in each quarter
            and in each epoch: generation begins without a state, and a training of one epoch or
            less would otherwise see that in its first batch only.
        rates_lowered: whether the learning rates were lowered because a step was refused.
        refused: the loss of the last step if it was refused and not yet dealt with; else None.
    """

    train_step: TrainStep
    batcher: ContiguousBatcher
    progress: Progress
    validation: Validation
    losses: RunningLoss
    history: History
    callbacks: CallbackList
    eot_id: int | None = None
    hidden: State = None
    epoch_began: float = 0.0
    quarter: int = 0
    rates_lowered: bool = False
    refused: float | None = None

    def begin_epoch(self) -> None:
        """Reset the epoch's measurements and the hidden state."""
        self.losses = RunningLoss(self.train_step.device)
        self.hidden = None
        self.epoch_began = time.perf_counter()

    def lower_rates(self, where: str) -> None:
        """Lower the learning rates after the first refused step; raise an error after the second.

        Args:
            where: the epoch and batch of the step, for the message.

        Raises:
            NonFiniteError: this is the second refused step.
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

        The values are None, numbers, strings and tensors, in dicts, lists and tuples.
        """
        return {
            "train_step": self.train_step.state_dict(),
            "batcher": self.batcher.state_dict(),
            "progress": self.progress.state_dict(),
            "validation": self.validation.state_dict(),
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
        """Resume exactly where ``state_dict`` was called.

        Raises:
            AttributeError, KeyError, RuntimeError, TypeError, ValueError: ``state`` belongs to
                another model, or is not such a dict.
        """
        self.train_step.load_state_dict(state["train_step"])
        self.batcher.load_state_dict(state["batcher"])
        self.progress.load_state_dict(state["progress"])
        self.validation.load_state_dict(state["validation"])
        self.losses.load_state_dict(state["losses"])
        measured = History.from_config(state["history"])
        self.history.epoch, self.history.history = measured.epoch, measured.history
        self.callbacks.load_state_dict(state["callbacks"])
        self.hidden = _to_device(state["hidden"], self.train_step.device)
        self.epoch_began = time.perf_counter() - state["epoch_seconds"]
        self.quarter, self.rates_lowered = state["quarter"], state["rates_lowered"]
        self.refused = state["refused"]


def new_state(
    train_step: TrainStep,
    corpus: Corpus,
    plan: Plan,
    history: History,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> TrainState:
    """Return the state at the beginning of training, without callbacks.

    Args:
        train_step: the model's train step.
        corpus: the text to train and validate on.
        plan: how long, and in what batches.
        history: where the measurements go.
        rank: the number of this process.
        world_size: the number of processes.
    """
    ids = read_in_epochs(corpus, train_step.device)
    sizes: Any = {"batch_size": plan.batch_size, "seq_len": plan.seq_len}
    batcher = ContiguousBatcher(**ids, **sizes, rank=rank, world_size=world_size)
    batcher.epoch = plan.initial_epoch
    progress = new_progress(corpus, plan)
    progress.start(len(batcher) * ((plan.epochs or 0) - plan.initial_epoch))
    measuring = progress, Validation(corpus), RunningLoss(train_step.device)
    eot_id = None if corpus.vocab is None else corpus.vocab.eot_id
    callbacks = CallbackList((), None, None)
    return TrainState(train_step, batcher, *measuring, history, callbacks, eot_id)


def new_progress(corpus: Corpus, plan: Plan) -> Progress:
    """Return the progress at the beginning of a training; with ``minutes``, since ``fit`` began."""
    valid_tokens = 0 if corpus.valid_ids is None else len(corpus.valid_ids)
    return Progress(plan.minutes and 60 * plan.minutes, valid_tokens, plan.began)


def _to_device(hidden: State, device: torch.device) -> State:
    if isinstance(hidden, tuple | list):
        return tuple(_to_device(part, device) for part in hidden)
    return hidden if hidden is None else hidden.to(device)
