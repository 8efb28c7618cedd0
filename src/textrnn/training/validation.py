"""Validation during training: of the whole text, or of as much of it as the time budget allows."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch

from textrnn.callbacks.base import CallbackList
from textrnn.evaluation.loss import WARM_UP, checked, metrics, score
from textrnn.models.base import LanguageModel, device_of
from textrnn.text.corpus import Corpus
from textrnn.training import distributed
from textrnn.training.plan import Plan
from textrnn.training.progress import LAST_SHARE, VALIDATION_COST, Progress

_SHARE = 1 / 20  # of the time budget: what a validation may take during training
_FIRST = 1 << 12  # tokens to read before the clock is looked at, where the speed is unknown
_LEAST = 1 << 10  # fewer tokens than this are not worth a pass of their own


@dataclass
class _Sums:
    """Holds what was read of a text: its first ``tokens`` predictions."""

    loss: float = 0.0
    right: int = 0
    tokens: int = 0


class Validation:
    """Measures how well a model in training predicts the validation text.

    Without a time budget it reads the whole text. With one, the first validation reads on from
    the beginning of the text until a twentieth of the budget is spent, or the text is read. Later
    ones read the same part, so that their numbers can be compared. The last validation of a
    training reads the whole text if there is time; its numbers for the part stand beside it.

    Args:
        corpus: it has the validation text.

    Attributes:
        part: how many tokens of the validation text every validation predicts; None before the
            first one.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._ids = corpus.valid_ids
        self._train_ids, self._held_out = corpus.ids, corpus.held_out
        self._unit = corpus.chars_per_token[1], corpus.spelling[1]
        self._total = 0 if corpus.valid_ids is None else len(corpus.valid_ids) - 1
        self._seconds_per_token = 0.0  # as measured; 0 before
        self.part: int | None = None

    def measure(
        self,
        model: LanguageModel,
        progress: Progress,
        hooks: CallbackList | None = None,
        *,
        last: bool = False,
    ) -> dict[str, float]:
        """Return ``val_loss`` and its relatives; nothing without a validation text.

        With a time budget ``val_tokens`` is how many tokens were predicted. Where the last
        validation reads more than those before it, ``part_val_loss`` and so on are the numbers
        of the part.

        Args:
            model: the model.
            progress: the time budget, and what is left of it.
            hooks: the callbacks to tell; None for none.
            last: whether no other validation follows.
        """
        if self._held_out is not None:
            model.calibrate(self._train_ids, self._held_out)
        if self._ids is None:
            return {}
        checked(self._ids)
        hooks = hooks or CallbackList((), None, None)
        hooks.call("on_test_begin", {})
        self._on_chunk = _numbered(hooks.hooks("on_test_batch_end"))
        began, sums, first = time.perf_counter(), _Sums(), self.part is None
        timed = first and progress.seconds is not None
        limit = (progress.left if last else _SHARE * (progress.seconds or 0)) if timed else math.inf
        self._read(model, sums, self.part or self._total, limit, progress.speed)
        self.part = sums.tokens
        result = self._metrics(sums, "val_")
        if last and not first and self._rest_fits(progress, device_of(model)):
            result = {f"part_{name}": value for name, value in result.items()}
            self._read(model, sums, self._total, math.inf, progress.speed)
            result |= self._metrics(sums, "val_")
        took = time.perf_counter() - began
        self._seconds_per_token = took / sums.tokens
        progress.add_validation_time(took, self._expected(progress))
        if progress.seconds is not None:
            result["val_tokens"] = sums.tokens
        hooks.call("on_test_end", result)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return what later validations depend on, for ``load_state_dict``."""
        return {"part": self.part, "seconds_per_token": self._seconds_per_token}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Read the same part as before."""
        self.part, self._seconds_per_token = state["part"], state["seconds_per_token"]

    def _read(
        self, model: LanguageModel, sums: _Sums, stop: int, limit: float, speed: float
    ) -> None:
        """Read on until ``stop`` tokens are predicted, or for about ``limit`` seconds."""
        assert self._ids is not None
        began, spent, read, device = time.perf_counter(), 0.0, 0, device_of(model)
        if not math.isinf(limit):  # all processes read as much
            limit, speed = _mean(limit, device), _mean(speed, device)
        while sums.tokens < stop:
            rest = stop - sums.tokens
            size = self._block(limit, spent, read, speed)
            if read and size < min(rest, _LEAST):
                break
            size = rest if size > 0.9 * rest else int(size)
            first = max(0, sums.tokens - WARM_UP)
            text = self._ids[first : sums.tokens + size + 1]
            loss, right = score(model, text, skip=sums.tokens - first, on_chunk=self._on_chunk)
            sums.loss, sums.right = sums.loss + loss, sums.right + right
            sums.tokens, read = sums.tokens + size, read + size
            spent = _mean(time.perf_counter() - began, device)

    def _block(self, limit: float, spent: float, read: int, speed: float) -> float:
        """Return how many tokens to read next: a quarter of the time, at most what is left."""
        if math.isinf(limit):
            return limit
        if read:
            return min(limit / 4, 0.9 * (limit - spent)) * read / spent
        guess = speed / VALIDATION_COST * limit / 4
        return max(_LEAST, guess) if speed else _FIRST

    def _rest_fits(self, progress: Progress, device: torch.device) -> bool:
        """Return whether there is time for the rest of the text, and there is a rest."""
        rest = self._total - (self.part or 0)
        return rest > 0 and _mean(progress.left - rest * self._seconds_per_token, device) > 0

    def _expected(self, progress: Progress) -> float:
        """Return the seconds that the last validation will take."""
        whole = self._total * self._seconds_per_token
        fits = progress.seconds is None or whole <= LAST_SHARE * progress.seconds
        return whole if fits else (self.part or 0) * self._seconds_per_token

    def _metrics(self, sums: _Sums, prefix: str) -> dict[str, float]:
        found = metrics(sums.loss / sums.tokens, *self._unit)
        found["accuracy"] = sums.right / sums.tokens
        return {f"{prefix}{name}": value for name, value in found.items()}


def names(corpus: Corpus, plan: Plan) -> list[str]:
    """Return the names of what ``Validation.measure`` returns."""
    if corpus.valid_ids is None:
        return []
    timed = [] if plan.minutes is None else ["val_tokens"]
    return [*(f"val_{name}" for name in (*metrics(0.0), "accuracy")), *timed]


def _numbered(hooks: Sequence[Callable[..., None]]) -> Callable[[], None]:
    """Return a function that calls hooks with the number of its call, from 0."""
    numbers = count()

    def call() -> None:
        number = next(numbers)
        for hook in hooks:
            hook(number, {})

    return call


def _mean(seconds: float, device: torch.device) -> float:
    """Return the mean of a number over all processes."""
    return float(distributed.all_reduce_mean(torch.tensor(seconds, device=device)))
