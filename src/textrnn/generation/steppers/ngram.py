"""The stepper of n-gram models."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_vocab_ids
from textrnn.generation.steppers import trie as tries
from textrnn.generation.steppers.base import (
    Layout,
    State,
    Stepper,
    Tensors,
    config_choice,
    config_int,
)
from textrnn.generation.steppers.smoothing import SMOOTHINGS, log_probabilities
from textrnn.generation.steppers.trie import Trie

_MAX_DENSE = 1 << 20  # numbers in the rows of short contexts
_COUNTS = 2, 3, 5, 10, 30, 100  # where the bins of counts after a context begin
_TYPES = 2, 3, 4, 6, 10, 20  # and those of how many tokens differ among them
BINS = (len(_COUNTS) + 1) * (len(_TYPES) + 1)
"""How finely ``NGramStepper.bins`` tells contexts apart."""

_CHUNK = 1 << 18  # tokens that ``loss`` scores at once
_FEW = 4  # up to this number of texts, or of tokens in a row, are treated one by one


class NGramStepper(Stepper):
    """Steps ``NGramModel``, which also uses it to score whole texts.

    The state of a text is one number: the node of the longest stored context. The next state is
    that node's child by the new token, else the child of its suffix, and so on. A row of scores is
    that of a short context, which is stored in full, overwritten for the tokens that followed
    longer contexts.
    """

    normalised = True  # the scores are logarithms of probabilities

    @classmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Yield the tensors that a model with this config has."""
        config_choice(config["smoothing"], SMOOTHINGS)
        return tries.layout(config_int(config, "vocab_size"), config_int(config, "order"))

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.vocab_size = config["vocab_size"]
        self.trie = Trie.from_tensors(self.vocab_size, tensors)
        self._scores, self._gammas = log_probabilities(self.trie, config["smoothing"])
        fits = [n for n in self.trie.offsets[1:-1] if n * self.vocab_size <= _MAX_DENSE]
        self._dense_nodes = max([1, *fits])
        self._dense = self._dense_rows()
        self._longest = self.trie.offsets[-2]  # nodes from here on are not contexts
        self._views = self._make_views()
        self._bins = self._bin_contexts()

    def _bin_contexts(self) -> NDArray[np.intp]:
        """Return the bin of each context, (C,)."""
        trie, contexts = self.trie, np.arange(self.trie.contexts)
        different = np.diff(trie.starts)
        for _ in range(trie.order):  # nothing is known to follow these: their suffix speaks
            ends = different[contexts] == 0
            contexts[ends] = trie.suffixes[contexts[ends]]
        seen = np.bincount(trie.parents, trie.counts[1:], minlength=trie.contexts)
        by_count = np.digitize(seen[contexts], _COUNTS)
        return by_count * (len(_TYPES) + 1) + np.digitize(different[contexts], _TYPES)

    def bins(self, nodes: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return a number below ``BINS`` for each context, which says how much it can be trusted.

        It stands for how often something followed the context, and for how many different tokens
        did.
        """
        return self._bins[nodes]

    def start(self, texts: int, state: State = None, *, batched: bool = False) -> "NGramSession":
        """Return a session that steps so many texts from a state."""
        return NGramSession(self, texts, state)

    def _make_views(self) -> tuple[memoryview, ...]:
        """Return arrays as memory views, in which reading one number takes half the time."""
        trie = self.trie
        arrays: tuple[Any, ...] = (trie.starts, trie.tokens, trie.suffixes)
        arrays += (self._gammas, self._scores)
        return tuple(memoryview(array) for array in arrays)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out memory views, which cannot be copied or pickled."""
        return {name: value for name, value in vars(self).items() if name != "_views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        self.__dict__ |= state
        self._views = self._make_views()

    def _dense_rows(self) -> NDArray[np.float64]:
        """Return the scores after each of the first nodes, (D, V)."""
        trie, v = self.trie, self.vocab_size
        dense = np.empty((self._dense_nodes, v))
        dense[0] = self._gammas[0] - np.log(v)
        for first, end in zip(trie.offsets, trie.offsets[1:], strict=False):
            if end > self._dense_nodes:
                break
            if first:
                dense[first:end] = dense[trie.suffixes[first:end]]
                dense[first:end] += self._gammas[first:end, None]
            children = slice(trie.starts[first], trie.starts[end])
            dense[trie.parents[children.start - 1 : children.stop - 1], trie.tokens[children]] = (
                self._scores[children]
            )
        return dense

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` unless a state is a node of this model."""
        super().check_state(state)
        assert state is not None
        if not 0 <= state[0][0] < self.trie.contexts:
            raise ValueError(
                "`state` comes from another model; call state() of this one. "
                f"Expected: a number below {self.trie.contexts}. Received: {state[0][0]}"
            )

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is one node per text, (N,) int64."""
        session = self.start(len(ids), state)
        return session.step(np.asarray(ids)), session.state(list(range(len(ids))))

    def next_context(self, node: int, token: int) -> int:
        """Return the longest context after one more token."""
        starts, tokens, suffixes, *_ = self._views
        while True:
            end = starts[node + 1]
            child = bisect_left(tokens, token, starts[node], end)
            if child < end and tokens[child] == token:
                return child if child < self._longest else suffixes[child]
            if not node:
                return 0
            node = suffixes[node]

    def score_one(self, node: int, row: NDArray[np.float32]) -> None:
        """Write the scores after one context into ``row`` (V,)."""
        starts, tokens, suffixes, gammas, scores = self._views
        longer, gain = [], 0.0
        while node >= self._dense_nodes:
            longer.append((starts[node], starts[node + 1], gain))
            gain += gammas[node]
            node = suffixes[node]
        np.add(self._dense[node], gain, out=row, casting="same_kind")
        for first, end, gain in reversed(longer):
            if end - first > _FEW:
                row[self.trie.tokens[first:end]] = self._scores[first:end] + gain
            else:  # faster for so few
                for i in range(first, end):
                    row[tokens[i]] = scores[i] + gain

    def advance(self, nodes: NDArray[np.int64], ids: NDArray[Any]) -> NDArray[np.int64]:
        """Return the longest context after each token of some texts.

        Args:
            nodes: (B,) the contexts before these tokens.
            ids: (B, T) integers in [0, V).

        Returns:
            (B, T) int64.
        """
        trie = self.trie
        longest = np.zeros(ids.shape, dtype=np.int64)
        found = np.zeros((len(ids), ids.shape[1] + 1), dtype=np.int64)  # of one length; -1: none
        for depth in range(1, trie.order):
            before = _at_depth(trie, nodes, depth)
            found = np.concatenate([before[:, None], trie.children(found[:, :-1], ids)], axis=1)
            longest = np.where(found[:, 1:] >= 0, found[:, 1:], longest)
        return longest

    def score(self, nodes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every token after each of M contexts.

        Args:
            nodes: (M,) contexts, as ``advance`` returns them.

        Returns:
            (M, V) float32, natural logarithms; minus infinity for probability 0.
        """
        trie, nodes, longer = self.trie, nodes.copy(), []
        gains, rows = np.zeros(len(nodes)), np.flatnonzero(nodes >= self._dense_nodes)
        while len(rows):
            contexts = nodes[rows]
            longer.append((rows, contexts, gains[rows]))
            gains[rows] += self._gammas[contexts]
            nodes[rows] = trie.suffixes[contexts]
            rows = rows[nodes[rows] >= self._dense_nodes]
        scores = np.empty((len(nodes), self.vocab_size), dtype=np.float32)
        np.add(self._dense[nodes], gains[:, None], out=scores, casting="same_kind")
        for rows, contexts, gain in reversed(longer):
            first = trie.starts[contexts]
            size = trie.starts[contexts + 1] - first
            # entry j of the flat lists belongs to context row[j] and is node at[j]
            row = np.repeat(rows, size)
            at = np.arange(len(row)) + np.repeat(first - (size.cumsum() - size), size)
            scores[row, trie.tokens[at]] = self._scores[at] + np.repeat(gain, size)
        return scores

    def score_tokens(self, nodes: NDArray[np.int64], tokens: NDArray[Any]) -> NDArray[np.float64]:
        """Score one token after each of M contexts, without a row for each.

        Args:
            nodes: (M,) contexts, as ``advance`` returns them.
            tokens: (M,) integers in [0, V).

        Returns:
            (M,) natural logarithms of probabilities.
        """
        trie, nodes, tokens = self.trie, nodes.copy(), tokens.astype(np.int64)
        scores, rows = np.zeros(len(nodes)), np.arange(len(nodes))
        while len(rows):
            contexts = nodes[rows]
            found = trie.children(contexts, tokens[rows])
            known = found >= 0
            scores[rows[known]] += self._scores[found[known]]
            rows, contexts = rows[~known], contexts[~known]
            scores[rows] += self._gammas[contexts] - np.log(self.vocab_size) * (contexts == 0)
            nodes[rows] = trie.suffixes[contexts]
            rows = rows[contexts > 0]
        return scores

    def loss(self, ids: NDArray[Any]) -> float:
        """Return the mean surprisal of a text in nats per token, like ``evaluate`` but faster.

        Args:
            ids: (N,) integers in [0, V), N at least 2.
        """
        total, node = 0.0, np.zeros(1, dtype=np.int64)
        for first in range(0, len(ids) - 1, _CHUNK):
            part = check_vocab_ids(ids[first : first + _CHUNK + 1], self.vocab_size)
            nodes = self.advance(node, part[None, :-1])[0]
            total -= float(self.score_tokens(nodes, part[1:]).sum())
            node = nodes[-1:]
        return total / (len(ids) - 1)


class NGramSession:
    """Steps N texts through a model of n-grams, and says how far its scores are to be trusted."""

    def __init__(self, stepper: NGramStepper, texts: int, state: State) -> None:
        self._stepper = stepper
        self._nodes = np.zeros(texts, dtype=np.int64) if state is None else state[0].copy()
        self._few = texts <= _FEW
        self._rows = np.empty((texts if self._few else 0, stepper.vocab_size), dtype=np.float32)

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return the scores after it, valid until the next step."""
        stepper = self._stepper
        if not self._few:
            self._nodes = stepper.advance(self._nodes, ids[:, None])[:, -1]
            return stepper.score(self._nodes)
        for i, token in enumerate(ids.tolist()):
            self._nodes[i] = node = stepper.next_context(self._nodes.item(i), token)
            stepper.score_one(node, self._rows[i])
        return self._rows

    def bins(self) -> NDArray[np.intp]:
        """Return the bin (N,) of each text's context after the last step."""
        return self._stepper.bins(self._nodes)

    def state(self, rows: list[int]) -> State:
        """Return the state of some of the texts."""
        return (self._nodes[rows],)


def _at_depth(trie: Trie, nodes: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Return the suffix of this length of each node; -1 for shorter nodes."""
    nodes, end = nodes.copy(), trie.offsets[depth + 1]
    while (longer := nodes >= end).any():
        nodes[longer] = trie.suffixes[nodes[longer]]
    return np.where(nodes >= trie.offsets[depth], nodes, -1)
