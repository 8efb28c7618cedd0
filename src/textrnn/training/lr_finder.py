"""Which learning rate? Train for a moment with ever higher ones, and look at the loss."""

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
from textrnn.models.ngram import NGramModel
from textrnn.text.batching import ContiguousBatcher
from textrnn.training.device import ids_to_device
from textrnn.training.optim import OptimizerConfig
from textrnn.training.train_step import TrainStep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST, _HIGHEST = 1e-6, 1.0
_MEMORY = 0.9  # how much of the smoothed loss is the past
_DIVERGED = 2.0  # the search ends where the loss is this many times the best


@dataclass(frozen=True)
class SuggestedLRs:
    """What ``lr_find`` found, and which rates it suggests.

    Attributes:
        learning_rates: the rates that were tried, ascending, one a step.
        losses: the training loss after each, nats per token, smoothed.

    >>> found = SuggestedLRs([1e-4, 1e-3, 1e-2, 1e-1, 1.0], [4.0, 3.9, 3.0, 2.9, 6.0])
    >>> found.steep, found.minimum
    (0.01, 0.01)
    """

    learning_rates: list[float]
    losses: list[float]

    @property
    def valley(self) -> float:
        """The rate two thirds down the longest fall of the loss: a good first choice.

        A fall is a run of losses, others left out between them, of which each is below the one
        before; the longest such run is found exactly. As fastai's ``valley`` (its default since
        2021) in spirit: neither at the edge of divergence, nor where nothing is learnt yet.
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
        """A tenth of the rate with the lowest loss (Howard's rule for ``lr_find``)."""
        return self.learning_rates[int(np.argmin(self.losses))] / 10

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss over the learning rate, with the three suggestions.

        Args:
            ax: the matplotlib axes to draw in; a new figure if None.

        Returns:
            The axes: ``ax.figure.savefig("rates.png")``.

        Raises:
            ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
        """
        ax = ax or new_axes()
        ax.plot(self.learning_rates, self.losses)
        for name, marker in (("valley", "o"), ("steep", "^"), ("minimum", "s")):
            rate = getattr(self, name)
            loss = np.interp(rate, self.learning_rates, self.losses)
            ax.plot(rate, loss, marker, label=f"{name} {rate:.1e}")
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("training loss (nats per token)")
        ax.legend()
        return ax


def lr_find(
    model: LanguageModel,
    ids: NDArray[Any],
    settings: OptimizerConfig | None = None,
    *,
    batch_size: int = 32,
    seq_len: int = 64,
    steps: int = 100,
    seed: int | None = None,
) -> SuggestedLRs:
    """Train a copy of a model with a rate that grows at every step, until it diverges.

    Source: Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3;
    fastai's ``lr_find``. Rates are those of the last layer group; the others keep their ratios
    to it. The model and every generator of random numbers stay as they are.

    Args:
        model: what would be trained.
        ids: (N,) integers, the text in training.
        settings: how to optimise; the schedule plays no part.
        batch_size: rows of text side by side.
        seq_len: tokens of a row in a batch.
        steps: how many rates to try, at least 2, from 1e-6 to 1, evenly spaced by ratio.
        seed: of the copy's dropout.

    Raises:
        ValueError: the model learns by counting.
        NonFiniteError: even the lowest rates diverge.

    >>> from textrnn import GRUModel
    >>> found = lr_find(GRUModel(5, hidden_size=16), np.arange(3000) % 5, seed=0)
    >>> found.learning_rates[0], found.valley < 1
    (1e-06, True)
    """
    check_int("steps", steps, 2)
    if isinstance(model, NGramModel):
        raise ValueError("This model learns by counting; there is no learning rate to find.")
    learner = TrainStep(copy.deepcopy(model), settings, seed=seed)
    batcher = ContiguousBatcher(
        ids_to_device(ids, learner.device), batch_size=batch_size, seq_len=seq_len
    )
    rates: list[float] = []
    losses: list[float] = []
    state, past, weight = None, 0.0, 0.0
    with learner.training():
        batches = chain.from_iterable(repeat(batcher))
        for rate, (x, y) in zip(np.geomspace(_LOWEST, _HIGHEST, steps), batches, strict=False):
            learner.learning_rate = float(rate)
            learner.set_rates(1.0)
            loss, state = learner.step(x, y, state)
            past = _MEMORY * past + (1 - _MEMORY) * float(loss)
            weight = _MEMORY * weight + (1 - _MEMORY)  # so that the first losses count fully
            if not math.isfinite(past) or past / weight > _DIVERGED * min(losses, default=math.inf):
                break
            rates.append(float(rate))
            losses.append(past / weight)
    if len(losses) < 2:
        raise NonFiniteError(
            "The loss is not finite even at the lowest learning rates; the model's weights are "
            f"beyond repair. Received: a loss of {float(loss)} at the rate {rate:g}"
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
