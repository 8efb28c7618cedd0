"""The stepper of n-gram models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError
from textrnn.generation.steppers.base import (
    Layout,
    State,
    Stepper,
    Tensors,
    config_choice,
    config_int,
)


class NGramStepper(Stepper):
    """Steps ``NGramModel``, which also uses it to score whole texts.

    Level k of the tables holds the tokens that followed the contexts of k tokens. A context is
    found from its newest token backwards: node 0 is the empty context, and a context of k+1 tokens
    is the pair (node of its newest k tokens, the token before them). Level k+1's table
    ``contexts`` lists these pairs (n, t) as n * V + t in ascending order. Node n of a level was
    followed by ``tokens[starts[n] : starts[n + 1]]``, ``counts`` times each.
    """

    @classmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Yield the tensors that a model with this config has: four tables per level."""
        config_int(config, "vocab_size")
        config_choice(config["smoothing"], ("witten_bell", None))
        for k in range(config_int(config, "order")):
            yield f"levels.{k}.contexts", None, np.int64
            yield f"levels.{k}.starts", None, np.int64
            yield f"levels.{k}.tokens", None, np.int32
            yield f"levels.{k}.counts", None, np.int32

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.vocab_size, self.order = config["vocab_size"], config["order"]
        self.smoothing = config["smoothing"]
        self.levels = [self._level(tensors, k) for k in range(self.order)]
        self.totals = [
            np.add.reduceat(counts, starts[:-1]) if len(counts) else np.zeros(1, dtype=np.int64)
            for _, starts, _, counts in self.levels
        ]

    def _level(self, tensors: Tensors, k: int) -> tuple[NDArray[Any], ...]:
        names = ("contexts", "starts", "tokens", "counts")
        contexts, starts, tokens, counts = (tensors[f"levels.{k}.{name}"] for name in names)
        if not len(starts):  # nothing was counted
            starts = np.zeros(1, dtype=np.int64)
        whole = (
            len(starts) == len(contexts) + 1
            and starts[0] == 0
            and starts[-1] == len(tokens) == len(counts)
            and bool((starts[1:] > starts[:-1]).all() or len(tokens) == 0)
            and bool((contexts[1:] > contexts[:-1]).all())
            and bool(((tokens >= 0) & (tokens < self.vocab_size) & (counts > 0)).all())
        )
        if not whole:
            raise CorruptModelError(
                f"The n-gram tables of level {k} contradict each other; the file is damaged. "
                f"Received: {len(contexts)} contexts, {len(starts)} starts, {len(tokens)} tokens"
            )
        return contexts, starts, tokens, counts

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is the last n-1 tokens, (N, n - 1)."""
        if state is None:
            before = np.full((len(ids), self.order - 1), -1, dtype=np.int64)
        else:
            before = state[0]
        context = np.concatenate([before, np.asarray(ids)[:, None]], axis=1)[:, 1:]
        context = context if self.order > 1 else before
        return self.log_probabilities(context), (context,)

    def log_probabilities(self, contexts: NDArray[Any]) -> NDArray[np.float32]:
        """Score every token after each of M contexts.

        Args:
            contexts: (M, order - 1) int64, the newest token last; -1 for "before the text".

        Returns:
            (M, V) float32, natural logarithms; minus infinity for probability 0.
        """
        p = np.full((len(contexts), self.vocab_size), 1 / self.vocab_size)
        where = np.arange(len(contexts))  # contexts seen at this level
        nodes = np.zeros(len(contexts), dtype=np.int64)
        for k, (_, starts, tokens, counts) in enumerate(self.levels):
            if k:
                nodes, found = self._extend(k, nodes, contexts[where, -k])
                nodes, where = nodes[found], where[found]
            if not len(where) or not len(tokens):
                break
            first, size = starts[nodes], starts[nodes + 1] - starts[nodes]
            # entry j of the flat lists belongs to context row[j] and is at table index at[j]
            row = np.repeat(where, size)
            at = np.arange(len(row)) + np.repeat(first - (size.cumsum() - size), size)
            total = self.totals[k][nodes]
            if self.smoothing is None:
                p[where] = 0
                p[row, tokens[at]] = counts[at] / np.repeat(total, size)
            else:
                # Witten and Bell 1991, method C: new tokens are as likely as they were so far.
                p[where] *= (size / (total + size))[:, None]
                p[row, tokens[at]] += counts[at] / np.repeat(total + size, size)
        with np.errstate(divide="ignore"):
            return np.log(p).astype(np.float32)

    def _extend(
        self, k: int, nodes: NDArray[Any], older: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the nodes of contexts that are one token longer, and which of them exist."""
        table = self.levels[k][0]
        pairs = nodes * self.vocab_size + older
        found = np.minimum(np.searchsorted(table, pairs), len(table) - 1)
        if not len(table):
            return found, np.zeros(len(pairs), dtype=bool)
        return found, (table[found] == pairs) & (older >= 0)
