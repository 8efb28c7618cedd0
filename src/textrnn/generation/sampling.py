"""One step of sampling: logits to the id of the next token. NumPy only."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int, check_number
from textrnn.errors import NonFiniteError

_FARTHEST = 1e50  # the largest logit after a penalty, beyond any float32
_COLDEST = 1e-250  # the lowest temperature: it is greedy, and divides such logits without overflow


class SamplingArguments(TypedDict, total=False):
    """The arguments of ``SamplingParams`` that a user chooses."""

    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float
    no_repeat_ngram_size: int | None


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen from the model's logits.

    The settings apply in this order: repetition penalty, no repeated n-grams, suppressed ids,
    temperature, top-k, top-p, min-p. Then one token is drawn from the rest, which is never empty.

    Args:
        temperature: divides the logits, at least 0. Below 1 the likely tokens become likelier;
            0 is greedy: it takes the likeliest token, among equals the one with the lowest id.
        top_k: keep the k likeliest tokens (Fan et al. 2018); None keeps all.
        top_p: keep the smallest set of likeliest tokens whose probabilities sum to at least
            this, in (0, 1] (nucleus sampling, Holtzman et al. 2020); None keeps all.
        min_p: keep the tokens at least this fraction as likely as the likeliest, in [0, 1]
            (Nguyen et al. 2024); None keeps all.
        repetition_penalty: above 1 makes tokens that are already in the text less likely;
            positive logits are divided by it, negative ones multiplied (Keskar et al. 2019,
            section 4.1). Made for words: characters repeat in any text.
        no_repeat_ngram_size: n, at least 1; a run of n tokens that is already in the text is not
            repeated (Paulus et al. 2018, section 2.5). None allows all.
        suppressed: ids that are never chosen.

    Raises:
        TypeError, ValueError: a setting is not a number in its range.

    >>> import numpy as np
    >>> SamplingParams(temperature=0).choose(np.log([0.1, 0.6, 0.3]), np.random.default_rng(0))
    1
    >>> SamplingParams(top_k=2).probabilities(np.log([0.1, 0.6, 0.3])).round(3).tolist()
    [0.0, 0.667, 0.333]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int | None = None
    suppressed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, "of at least 0", lambda t: t >= 0)
        if self.top_k is not None:
            check_int("top_k", self.top_k, 1)
        if self.top_p is not None:
            check_number("top_p", self.top_p, "in (0, 1]", lambda p: 0 < p <= 1)
        if self.min_p is not None:
            check_number("min_p", self.min_p, "in [0, 1]", lambda p: 0 <= p <= 1)
        check_number("repetition_penalty", self.repetition_penalty, "above 0", lambda r: r > 0)
        if self.no_repeat_ngram_size is not None:
            check_int("no_repeat_ngram_size", self.no_repeat_ngram_size, 1)

    def choose(
        self, logits: NDArray[Any], rng: np.random.Generator, previous: Iterable[int] = ()
    ) -> int:
        """Choose the next token of one text.

        Args:
            logits: (V,) float, log-probabilities up to a constant; minus infinity for never.
            rng: the source of one uniform number; greedy choice draws none.
            previous: ids already in the text, in their order, for the repetition settings.

        Returns:
            An id in [0, V).
        """
        draw = rng.random() if self.temperature else 0.0
        histories = [TokenHistory(self, previous)] if self.looks_back else []
        return int(self.choose_each(logits[None], [draw], histories)[0])

    def choose_each(
        self,
        logits: NDArray[Any],
        draws: Sequence[float] | NDArray[np.float64],
        histories: Sequence["TokenHistory"],
    ) -> NDArray[np.int64]:
        """Choose the next token of each of N texts, each as if it were alone.

        Args:
            logits: (N, V) float.
            draws: N uniform numbers in [0, 1).
            histories: the tokens of each text so far; empty unless ``looks_back``.

        Returns:
            (N,) ids, each the first one whose cumulative probability exceeds the draw.
        """
        if len(logits) == 1:  # one-dimensional arrays are faster
            scores = self._scores(logits[0], histories)
            if self.temperature == 0:
                return np.array([scores.argmax()])
            cumulative = np.add.accumulate(self._weights(scores))
            return np.asarray(cumulative.searchsorted([draws[0] * cumulative[-1]], side="right"))
        scores = self._scores(logits, histories)
        if self.temperature == 0:
            return np.asarray(scores.argmax(axis=1))
        cumulative = np.add.accumulate(self._weights(scores), axis=1)
        drawn = draws * cumulative[:, -1]
        return np.asarray((cumulative > drawn[:, None]).argmax(axis=1))

    def probabilities(
        self, logits: NDArray[Any], previous: Iterable[int] = ()
    ) -> NDArray[np.float64]:
        """Return the distribution that ``choose`` draws from.

        Args:
            logits: (V,) float.
            previous: ids already in the text, in their order, for the repetition settings.

        Returns:
            (V,) float64, summing to 1.
        """
        histories = [TokenHistory(self, previous)] if self.looks_back else []
        scores = self._scores(logits, histories)
        if self.temperature == 0:
            return np.asarray(np.arange(len(logits)) == scores.argmax(), dtype=np.float64)
        weights = self._weights(scores)
        p: NDArray[np.float64] = weights / weights.sum()
        return p

    @property
    def looks_back(self) -> bool:
        """Whether a choice depends on earlier tokens."""
        return self.repetition_penalty != 1 or self.no_repeat_ngram_size is not None

    @cached_property
    def _suppressed_ids(self) -> NDArray[np.intp]:
        return np.array(self.suppressed, dtype=np.intp)

    def _scores(
        self, logits: NDArray[Any], histories: Sequence["TokenHistory"]
    ) -> NDArray[np.float64]:
        """Return logits (N, V) or (V,) after penalties and suppression, minus the row maxima."""
        scores = np.array(logits, dtype=np.float64)
        if self.looks_back:
            for row, history in zip(np.atleast_2d(scores), histories, strict=True):
                history.penalise(row)
        never = self._suppressed_ids
        never = never if len(never) < scores.shape[-1] else never[:0]
        if len(never):
            scores.T[never] = -np.inf  # faster than [..., never]
        highest: Any
        if scores.ndim == 1:
            highest = scores[scores.argmax()]
            finite = math.isfinite(highest)
        else:
            highest = np.maximum.reduce(scores, axis=1, keepdims=True)
            finite = math.isfinite(sum(highest[:, 0].tolist()))
        if not finite:
            highest = _possible(np.atleast_2d(scores), never).reshape(highest.shape)
        scores -= highest
        return scores

    def _weights(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return numbers proportional to the probabilities; the likeliest token has 1."""
        warm = scores if self.temperature == 1 else scores / max(self.temperature, _COLDEST)
        weights: NDArray[np.float64] = np.exp(warm)
        if self.top_k is not None or self.top_p is not None or self.min_p is not None:
            rows = np.atleast_2d(weights), np.atleast_2d(scores)
            for row, row_scores in zip(*rows, strict=True):
                self._truncate(row, row_scores)
        return weights

    def _truncate(self, weights: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Set the weights that top-k, top-p and min-p leave out to 0, in place."""
        if self.top_k is not None and self.top_k < len(weights):
            weights[~_largest(scores, self.top_k)] = 0
        if self.top_p is not None and self.top_p < 1:
            keep = _nucleus(weights, self.top_p)
            kept = weights[keep]
            weights[:] = 0
            weights[keep] = kept
        if self.min_p is not None:
            weights[weights < self.min_p] = 0


class TokenHistory:
    """The tokens of a text so far, as far as the repetition settings need them.

    Args:
        params: how tokens are chosen.
        ids: the first tokens.

    >>> history = TokenHistory(SamplingParams(no_repeat_ngram_size=2), [0, 1, 2, 0])
    >>> logits = np.zeros(3)
    >>> history.penalise(logits)  # 0 was followed by 1
    >>> logits.tolist()
    [0.0, -inf, 0.0]
    """

    def __init__(self, params: SamplingParams, ids: Iterable[int] = ()) -> None:
        self._penalty, self._size = params.repetition_penalty, params.no_repeat_ngram_size
        self._seen: set[int] = set()
        self._followers: dict[tuple[int, ...], set[int]] = {}  # of each run of n - 1 tokens
        self._last: tuple[int, ...] = ()
        for token in ids:
            self.add(int(token))

    def add(self, token: int) -> None:
        """Add the next token."""
        self._seen.add(token)
        if self._size is not None:
            if len(self._last) == self._size - 1:
                self._followers.setdefault(self._last, set()).add(token)
            self._last = (*self._last, token)[max(0, len(self._last) + 2 - self._size) :]

    def penalise(self, logits: NDArray[np.float64]) -> None:
        """Make earlier tokens less likely and repeated runs impossible, in place."""
        if self._penalty != 1 and self._seen:
            seen = sorted(self._seen)
            values = logits[seen]
            with np.errstate(over="ignore"):
                far = np.where(values > 0, values / self._penalty, values * self._penalty)
            logits[seen] = np.where(values > -np.inf, far.clip(-_FARTHEST, _FARTHEST), values)
        if self._size is not None:
            logits[list(self._followers.get(self._last, ()))] = -np.inf


def _possible(scores: NDArray[np.float64], never: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where every token is ruled out, allow all that are not suppressed; return the row maxima.

    Raises:
        NonFiniteError: a score is infinite or NaN.
    """
    highest: NDArray[np.float64] = scores.max(axis=1, keepdims=True)
    if not (highest < np.inf).all():
        raise NonFiniteError(
            "The model's scores are infinite or not numbers: its weights are too large. "
            f"Train it again with a lower learning rate. Received: {highest.max()}"
        )
    impossible = highest[:, 0] == -np.inf
    scores[impossible] = 0
    scores[np.ix_(impossible, never)] = -np.inf
    highest[impossible] = 0
    return highest


def _largest(values: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Return a mask of the k largest values; of equal values the first ones."""
    kth = np.partition(values, -k)[-k]
    keep: NDArray[np.bool_] = values > kth
    keep[np.flatnonzero(values == kth)[: k - int(keep.sum())]] = True
    return keep


def _nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Return the ids of the fewest largest weights whose sum is at least ``top_p`` of all.

    Only as many weights are sorted as are likely to suffice; of equal ones the lowest id is first.
    """
    wanted, size = top_p * weights.sum(), 128
    while True:
        at = np.flatnonzero(_largest(weights, min(size, len(weights))))
        order = at[np.argsort(-weights[at], kind="stable")]
        sums = weights[order].cumsum()
        if sums[-1] >= wanted or size >= len(weights):
            return order[: np.searchsorted(sums, wanted) + 1]
        size *= 8
