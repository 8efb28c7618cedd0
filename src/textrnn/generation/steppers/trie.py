"""A trie of n-grams and their counts, in a few flat arrays. NumPy only.

A node is an n-gram; its children are the n-grams one token longer. Nodes are numbered level by
level: 0 is the empty n-gram, the root; then come all single tokens, all pairs, and so on. Within a
level they are sorted by their tokens, so the children of a node are side by side, and the trie is
three numbers per node: its token, its count, and the number of its children.

If an n-gram is stored, so is its suffix, the n-gram without its first token.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError

Tensors = Mapping[str, NDArray[Any]]
_ESCAPE = 255  # stands for a number that does not fit in a byte


class Level(NamedTuple):
    """All n-grams of one length, in the order of their tokens.

    Attributes:
        parents: (M,) int64, the index, in the level above, of the n-gram without its last token.
        tokens: (M,) the last token.
        counts: (M,) int64, how often the n-gram was seen.
    """

    parents: NDArray[np.int64]
    tokens: NDArray[Any]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Trie:
    """n-grams up to a length, each with its count.

    Attributes:
        vocab_size: V.
        tokens: (M,) int32, the last token of each node; 0 for the root.
        counts: (M,) int64, how often it was seen; for the root, the number of tokens.
        starts: (C + 1,) int64; the children of node i, unless it has the greatest length, are the
            nodes ``starts[i]`` to ``starts[i + 1]``.
        offsets: where each level begins: level d is ``offsets[d]`` to ``offsets[d + 1]``.
        min_counts: (order,) uint8; an n-gram of length d seen less often than
            ``min_counts[d - 1]`` (1 or 2) is left out.
    """

    vocab_size: int
    tokens: NDArray[np.int32]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    offsets: list[int]
    min_counts: NDArray[np.uint8]

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.min_counts)

    @property
    def contexts(self) -> int:
        """The number of nodes that can have children: the first ones."""
        return len(self.starts) - 1

    def level(self, depth: int) -> slice:
        """Return the nodes of one length."""
        return slice(self.offsets[depth], self.offsets[depth + 1])

    @cached_property
    def parents(self) -> NDArray[np.int64]:
        """The parent of each node except the root, (M - 1,)."""
        return np.repeat(np.arange(self.contexts), np.diff(self.starts))

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return self.parents * self.vocab_size + self.tokens[1:]

    def children(self, nodes: NDArray[Any], tokens: NDArray[Any]) -> NDArray[np.int64]:
        """Return the child of each node by a token, or -1; a node -1 has none."""
        wanted = nodes * np.int64(self.vocab_size) + tokens
        if not len(self._keys):
            return np.full(wanted.shape, -1, dtype=np.int64)
        at = np.searchsorted(self._keys, wanted)
        found = self._keys[np.minimum(at, len(self._keys) - 1)] == wanted
        return np.where(found, at + 1, -1)

    @cached_property
    def suffixes(self) -> NDArray[np.int32]:
        """The suffix of each node, (M,); the root's is the root."""
        result = np.zeros(len(self.tokens), dtype=np.int32)
        for depth in range(2, self.order + 1):
            nodes = self.level(depth)
            parents = self.parents[nodes.start - 1 : nodes.stop - 1]
            result[nodes] = self.children(result[parents], self.tokens[nodes])
        return result

    def levels(self) -> list[Level]:
        """Return the n-grams level by level, as ``from_levels`` takes them."""
        levels = []
        for depth in range(1, self.order + 1):
            nodes = self.level(depth)
            parents = self.parents[nodes.start - 1 : nodes.stop - 1] - self.offsets[depth - 1]
            levels.append(Level(parents, self.tokens[nodes], self.counts[nodes]))
        return levels

    @classmethod
    def from_levels(
        cls, levels: Sequence[Level], vocab_size: int, min_counts: NDArray[np.uint8]
    ) -> "Trie":
        """Return the trie of these n-grams, length 1 first."""
        sizes = [1, *(len(level.tokens) for level in levels)]
        children = [
            np.bincount(level.parents, minlength=size)
            for level, size in zip(levels, sizes, strict=False)
        ]
        root = np.array([levels[0].counts.sum()], dtype=np.int64)
        return cls(
            vocab_size,
            np.concatenate([np.zeros(1, np.int32), *(level.tokens for level in levels)]).astype(
                np.int32
            ),
            np.concatenate([root, *(level.counts for level in levels)]),
            np.cumsum(np.concatenate([np.ones(1, np.int64), *children])),
            [0, *np.cumsum(sizes).tolist()],
            min_counts,
        )

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the trie as tensors for a file; ``layout`` has their names and dtypes."""
        counts, large_counts = _pack(self.counts)
        children, large_children = _pack(np.diff(self.starts))
        return {
            "tokens": self.tokens.astype(_token_type(self.vocab_size)),
            "counts": counts,
            "large_counts": large_counts,
            "branches": children,
            "large_branches": large_children,
            "sizes": np.diff(self.offsets[1:]).astype(np.int64),
            "min_counts": self.min_counts,
        }

    @classmethod
    def from_tensors(cls, vocab_size: int, tensors: Tensors) -> "Trie":
        """Return the trie that ``to_tensors`` described; without tokens it is only a root.

        Raises:
            CorruptModelError: the tensors contradict each other.
        """
        sizes, min_counts = tensors["sizes"], tensors["min_counts"]
        nodes = len(tensors["tokens"])
        plausible = bool((sizes >= 0).all() and (sizes <= nodes).all())
        if not nodes and plausible:
            empty = Level(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
            return cls.from_levels([empty] * len(sizes), vocab_size, min_counts)
        counts = _unpack(tensors["counts"], tensors["large_counts"])
        children = _unpack(tensors["branches"], tensors["large_branches"])
        offsets = [0, *np.cumsum([1, *sizes.tolist()]).tolist()] if plausible else [0]
        if (
            plausible
            and counts is not None
            and children is not None
            and offsets[-1] == nodes == len(counts)
            and len(children) == offsets[-2]
            and bool((children >= 0).all() and (children <= vocab_size).all())
            and counts[0] == counts[1 : offsets[2]].sum()
            and bool((counts[1:] > 0).all() and ((min_counts == 1) | (min_counts == 2)).all())
            and bool((tensors["tokens"] >= 0).all() and (tensors["tokens"] < vocab_size).all())
        ):
            starts = np.cumsum(np.concatenate([np.ones(1, np.int64), children]))
            tokens = tensors["tokens"].astype(np.int32)
            trie = cls(vocab_size, tokens, counts, starts, offsets, min_counts)
            if (
                starts[offsets[:-1]].tolist() == offsets[1:]  # each level's first child
                and bool((np.diff(trie._keys) > 0).all())
                and bool((trie.suffixes >= 0).all())
            ):
                return trie
        raise CorruptModelError(
            "The tables of n-grams contradict each other; the file is damaged. "
            f"Received: {nodes:,} n-grams"
        )


def layout(vocab_size: int, order: int) -> Iterator[tuple[str, tuple[int, ...] | None, type]]:
    """Yield name, shape and dtype of the tensors of a trie; the shape None is any length."""
    yield "sizes", (order,), np.int64
    yield "min_counts", (order,), np.uint8
    yield "tokens", None, _token_type(vocab_size)
    for name in ("counts", "branches"):
        yield name, None, np.uint8
        yield f"large_{name}", None, np.int64


def _token_type(vocab_size: int) -> type[np.integer[Any]]:
    return np.uint8 if vocab_size <= 1 << 8 else np.int16 if vocab_size <= 1 << 15 else np.int32


def _pack(numbers: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return numbers as bytes, and in a second array those that do not fit.

    >>> _pack(np.array([3, 1000, 4]))
    (array([  3, 255,   4], dtype=uint8), array([1000]))
    """
    return np.minimum(numbers, _ESCAPE).astype(np.uint8), numbers[numbers >= _ESCAPE]


def _unpack(small: NDArray[np.uint8], large: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the numbers that were packed; None if there are too many or too few."""
    numbers, escaped = small.astype(np.int64), small == _ESCAPE
    if int(escaped.sum()) != len(large):
        return None
    numbers[escaped] = large
    return numbers
