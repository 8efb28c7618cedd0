"""The learning-rate finder: train briefly with ever higher rates, and watch the loss."""

import copy
import math
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int
from textrnn.errors import NonFiniteError
from textrnn.history import new_axes
from textrnn.models.base import LanguageModel
from textrnn.text.batching import ContiguousBatcher
from textrnn.training.device import ids_to_device
from textrnn.training.optim import OptimizerConfig
from textrnn.training.train_step import TrainStep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST, _HIGHEST = 1e-6, 1.0
_MEMORY = 0.9  # the share of the smoothed loss that a step keeps
_DIVERGED = 2.0  # the search ends where the loss is this many times the lowest
_QUIET = 1e-4 * (1 + 1e-9)  # up to this rate hardly anything is learned in so few steps


@dataclass(frozen=True, repr=False)
class SuggestedLRs:
    """Holds what ``lr_find`` measured, and suggests learning rates.

    Attributes:
        learning_rates: the rates that were tried, ascending, one per step.
        losses: the training loss after each step, nats per token, smoothed.

    >>> SuggestedLRs([1e-4, 1e-3, 1e-2, 1e-1, 1.0], [4.0, 3.9, 3.0, 2.9, 6.0])
    SuggestedLRs(valley=1.0e-02, steep=1.0e-02, minimum=1.0e-02, 5 rates tried)
    """

    learning_rates: list[float]
    losses: list[float]

    @property
    def fell(self) -> bool:
        """Whether the loss fell at any rate; if not, the suggestions mean nothing.

        It does not fall if the model has learned the text already. It fell if a loss lies below
        those at rates up to 1e-4 by more than they vary, or by more than a tenth.

        >>> SuggestedLRs([1e-4, 1e-2, 1.0], [2.0, 2.0, 3.5]).fell
        False
        """
        pairs = zip(self.learning_rates, self.losses, strict=True)
        quiet = [loss for rate, loss in pairs if rate <= _QUIET] or self.losses[:1]
        noise = min(max(quiet) - min(quiet), min(quiet) / 10)
        return min(quiet) - min(self.losses) > noise

    @property
    def valley(self) -> float:
        """The rate two thirds down the longest fall of the loss: a good first choice.

        A fall is a run of losses, with others left out between them, each below the one before.
        The longest such run is found exactly. In spirit this is fastai's ``valley``, its default
        since 2021: neither at the edge of divergence nor where nothing is learned yet.
        """
        fall = _longest_fall(self.losses)
        return self.learning_rates[fall[(2 * (len(fall) - 1)) // 3]]

    @property
    def steep(self) -> float:
        """The rate at which the loss falls fastest."""
        slopes = np.diff(self.losses)
        return self.learning_rates[int(slopes.argmin()) + 1]

    @property
    def minimum(self) -> float:
        """A tenth of the rate with the lowest loss (Howard's rule), at least the lowest tried."""
        lowest = self.learning_rates[int(np.argmin(self.losses))]
        return max(lowest / 10, self.learning_rates[0])

    def __repr__(self) -> str:
        names = ("valley", "steep", "minimum")
        found = [f"{name}={getattr(self, name):.1e}" for name in names if self.fell]
        parts = [*(found or ["no fall found"]), f"{len(self.losses)} rates tried"]
        return f"SuggestedLRs({', '.join(parts)})"

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss over the learning rate, with the three suggestions if the loss fell.

        Args:
            ax: the matplotlib axes to draw in; a new figure if None.

        Returns:
            The axes: ``ax.figure.savefig("rates.png")``.

        Raises:
            ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
        """
        ax = ax or new_axes()
        ax.plot(self.learning_rates, self.losses)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("training loss (nats per token)")
        if self.fell:
            self._mark_suggestions(ax)
        else:
            ax.set_title("no fall found: there is no rate to suggest")
        return ax

    def _mark_suggestions(self, ax: "Axes") -> None:
        """Mark the three suggestions, hollow, so that none hides another."""
        for rate, label, marker, size in (
            (self.valley, "valley", "o", 12),
            (self.steep, "steep", "^", 9),
            (self.minimum, "a tenth of the minimum", "s", 6),
        ):
            loss = np.interp(rate, self.learning_rates, self.losses)
            (mark,) = ax.plot(rate, loss, marker, markersize=size, label=f"{label} {rate:.1e}")
            mark.set_fillstyle("none")
        ax.legend()


def lr_find(
    model: LanguageModel,
    ids: NDArray[Any],
    config: OptimizerConfig | None = None,
    *,
    batch_size: int = 32,
    seq_len: int = 64,
    steps: int = 100,
    seed: int | None = None,
) -> SuggestedLRs:
    """Train a copy of a model at a rate that grows with every step, until the loss diverges.

    Source: Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3;
    fastai's ``lr_find``. The rates are those of the last layer group; the other groups keep
    their ratios to it. The model and the global random number generators are not changed.

    Args:
        model: the model.
        ids: (N,) integers, the training text.
        config: how to optimise; the schedule is ignored.
        batch_size: rows of text read side by side.
        seq_len: tokens per row in a batch.
        steps: how many rates to try, at least 2, from 1e-6 to 1, each the same multiple of the
            one before.
        seed: of the copy's dropout.

    Raises:
        ValueError: the model has no parameters: it learns by counting.
        NonFiniteError: the loss is not finite even at the lowest rates.

    >>> from textrnn import GRUModel
    >>> found = lr_find(GRUModel(5, hidden_size=16), np.arange(3000) % 5, steps=50, seed=0)
    >>> found.learning_rates[0], found.valley < 1
    (1e-06, True)
    """
    check_int("steps", steps, 2)
    if not any(True for _ in model.parameters()):
        raise ValueError(
            "There is no learning rate to find: the model learns by counting and has no "
            f"parameters. Call fit instead. Received: {type(model).__name__}"
        )
    train_step = TrainStep(copy.deepcopy(model), config, seed=seed)
    batcher = ContiguousBatcher(
        ids_to_device(ids, train_step.device), batch_size=batch_size, seq_len=seq_len
    )
    rates: list[float] = []
    losses: list[float] = []
    state, past, weight = None, 0.0, 0.0
    with train_step.training():
        batches = chain.from_iterable(repeat(batcher))
        for rate, (x, y) in zip(np.geomspace(_LOWEST, _HIGHEST, steps), batches, strict=False):
            train_step.learning_rate = float(rate)
            loss, state = train_step(x, y, state)
            past = _MEMORY * past + (1 - _MEMORY) * float(loss)
            weight = _MEMORY * weight + (1 - _MEMORY)  # removes the bias of the first losses
            if not math.isfinite(past) or past / weight > _DIVERGED * min(losses, default=math.inf):
                break
            rates.append(float(rate))
            losses.append(past / weight)
    if len(losses) < 2:
        raise NonFiniteError(
            "The loss is not finite even at the lowest learning rates, so the model's weights are "
            "broken; start with a new model, or load a saved one. "
            f"Received: a loss of {float(loss)} at the rate {rate:g}"
        )
    return SuggestedLRs(rates, losses)


def _longest_fall(losses: list[float]) -> list[int]:
    """Return the indices of a longest strictly falling subsequence."""
    length, before = [1] * len(losses), [-1] * len(losses)
    for i, loss in enumerate(losses):
        for j in range(i):
            if losses[j] > loss and length[j] >= length[i]:
                length[i], before[i] = length[j] + 1, j
    fall = [int(np.argmax(length))]
    while before[fall[0]] >= 0:
        fall.insert(0, before[fall[0]])
    return fall
