"""One step's choice: logits to the id of the next token. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import check_int, check_number


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Says how the next token is chosen from the model's logits.

    The settings act in this order: repetition penalty, temperature, top-k, top-p, min-p; then
    one token is drawn from what is left. At least one token is always left.

    Args:
        temperature: divides the logits, at least 0. Below 1 the likely tokens become likelier;
            0 is greedy: the likeliest token, of equals the one with the lowest id.
        top_k: keep the k likeliest tokens (Fan et al. 2018); None keeps all.
        top_p: keep the smallest set of likeliest tokens whose probabilities sum to at least
            this, in (0, 1] (nucleus sampling, Holtzman et al. 2020); None keeps all.
        min_p: keep the tokens at least this fraction as likely as the likeliest, in [0, 1]
            (Nguyen et al. 2024); None keeps all.
        repetition_penalty: above 1 makes tokens that stand in the text already less likely;
            positive logits are divided by it, negative ones multiplied (Keskar et al. 2019,
            section 4.1). Made for words: characters repeat in any text.
        banned: ids that are never chosen.

    Raises:
        TypeError, ValueError: a setting is not a number in its range.

    >>> import numpy as np
    >>> Sampling(temperature=0).choose(np.log([0.1, 0.6, 0.3]), np.random.default_rng(0))
    1
    >>> Sampling(top_k=2).probabilities(np.log([0.1, 0.6, 0.3])).round(3).tolist()
    [0.0, 0.667, 0.333]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    banned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, "of at least 0", lambda t: t >= 0)
        if self.top_k is not None:
            check_int("top_k", self.top_k, 1)
        if self.top_p is not None:
            check_number("top_p", self.top_p, "in (0, 1]", lambda p: 0 < p <= 1)
        if self.min_p is not None:
            check_number("min_p", self.min_p, "in [0, 1]", lambda p: 0 <= p <= 1)
        check_number("repetition_penalty", self.repetition_penalty, "above 0", lambda r: r > 0)

    def choose(
        self,
        logits: NDArray[Any],
        rng: np.random.Generator,
        previous: Sequence[int] | NDArray[Any] = (),
    ) -> int:
        """Choose the next token.

        Args:
            logits: (V,) float, log-probabilities up to a constant; minus infinity for never.
            rng: where chance comes from: one uniform number, none if greedy.
            previous: ids already in the text, for the repetition penalty.

        Returns:
            An id in [0, V).
        """
        if self.temperature == 0:
            return int(self._adjusted(logits, previous).argmax())
        cumulative = self.probabilities(logits, previous).cumsum()
        draw = rng.random() * cumulative[-1]
        return int(np.searchsorted(cumulative, draw, side="right"))

    def probabilities(
        self, logits: NDArray[Any], previous: Sequence[int] | NDArray[Any] = ()
    ) -> NDArray[np.float64]:
        """Give the distribution that ``choose`` draws from.

        Args:
            logits: (V,) float.
            previous: ids already in the text, for the repetition penalty.

        Returns:
            (V,) float64, summing to 1.
        """
        logits = self._adjusted(logits, previous)
        likeliest = int(logits.argmax())
        if self.temperature == 0:
            return np.asarray(np.arange(len(logits)) == likeliest, dtype=np.float64)
        # Subtracting the maximum first keeps a tiny temperature from overflowing upwards.
        with np.errstate(over="ignore"):
            p = np.exp((logits - logits[likeliest]) / self.temperature)
        if self.top_k is not None and self.top_k < len(p):
            p[~_largest(logits, self.top_k)] = 0
        p /= p.sum()
        if self.top_p is not None and self.top_p < 1:
            order = np.argsort(-p, kind="stable")
            reached = int(np.searchsorted(p[order].cumsum(), self.top_p))
            p[order[reached + 1 :]] = 0
        if self.min_p is not None:
            p[p < self.min_p * p[likeliest]] = 0
        return np.asarray(p / p.sum(), dtype=np.float64)

    def _adjusted(
        self, logits: NDArray[Any], previous: Sequence[int] | NDArray[Any]
    ) -> NDArray[np.float64]:
        logits = np.array(logits, dtype=np.float64)
        if self.repetition_penalty != 1 and len(previous):
            seen = np.unique(np.asarray(previous))
            values = logits[seen]
            penalty = self.repetition_penalty
            with np.errstate(over="ignore"):
                logits[seen] = np.where(values > 0, values / penalty, values * penalty)
        banned = list(self.banned) if len(self.banned) < len(logits) else []
        logits[banned] = -np.inf
        if logits.max() == -np.inf:  # nothing is possible: then all that is allowed is
            logits[:] = 0
            logits[banned] = -np.inf
        return logits


def _largest(values: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Mark exactly k largest values; of equal ones those with the lowest index."""
    kth = np.partition(values, -k)[-k]
    keep: NDArray[np.bool_] = values > kth
    keep[np.flatnonzero(values == kth)[: k - int(keep.sum())]] = True
    return keep
