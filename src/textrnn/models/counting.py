"""Counting the n-grams of a text, piece by piece, in little memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_vocab_ids
from textrnn.generation.steppers.trie import Level, Trie

_PIECE = 1 << 22  # tokens that are sorted at once
_FEW, _MANY = 1 << 20, 1 << 24  # the n-grams that are always kept, and the most that are kept
_PER_TOKEN = 1.5  # the n-grams that are kept per token of text
_WHOLE = 3  # up to this length no n-gram is left out


def add_counts(trie: Trie, ids: NDArray[Any], piece: int = _PIECE) -> Trie:
    """Return a trie with the n-grams of a text added.

    If there would be more than 1.5 n-grams per token (a million are always kept), or more than
    16.8 million, those of the greatest length that were seen once are left out, then those one
    token shorter. So 100 million characters are counted in less than 4 GB.

    Args:
        trie: the counts of earlier texts.
        ids: (N,) integers.
        piece: how many n-grams of a length are sorted at once; the result does not depend on it
            unless some are left out.

    Raises:
        DataError: the ids are not in [0, V).
    """
    levels, min_counts = trie.levels(), trie.min_counts.copy()
    for first in range(0, len(ids), piece):
        part = check_vocab_ids(ids[first : first + piece + trie.order - 1], trie.vocab_size)
        new = _sort(part, min(piece, len(ids) - first), trie.order, trie.vocab_size)
        levels = _merge(levels, new, trie.vocab_size)
        _prune(levels, min_counts, _MANY)
    tokens = int(levels[0].counts.sum())
    _prune(levels, min_counts, int(min(max(_FEW, _PER_TOKEN * tokens), _MANY)))
    return Trie.from_levels(levels, trie.vocab_size, min_counts)


def _sort(ids: NDArray[np.int64], positions: int, order: int, vocab_size: int) -> list[Level]:
    """Count the n-grams that begin at the first positions of a text.

    The positions are sorted by the n-grams that begin there, so equal ones are side by side.
    """
    kind = np.uint8 if vocab_size < 256 else np.uint16 if vocab_size < 65536 else np.int64
    text: NDArray[Any] = np.zeros(
        len(ids) + order, dtype=kind
    )  # 0 stands for positions after the text
    text[: len(ids)] = ids + 1
    rows = np.arange(positions)
    for k in reversed(range(order)):
        rows = rows[np.argsort(text[rows + k], kind="stable")]
    levels, is_new = [], np.zeros(positions, dtype=bool)
    is_new[:1] = True
    before = np.zeros(1, dtype=np.int64)  # the row where each n-gram one shorter begins
    for k in range(order):
        column = text[rows + k]
        is_new[1:] |= column[1:] != column[:-1]
        begins = np.flatnonzero(is_new)
        counts = np.diff(begins, append=positions)
        inside = column[begins] > 0
        begins, counts = begins[inside], counts[inside]
        parents = np.searchsorted(before, begins, side="right") - 1
        levels.append(Level(parents, column[begins].astype(np.int32) - 1, counts))
        before = begins
    return levels


def _merge(some: list[Level], others: list[Level], vocab_size: int) -> list[Level]:
    """Add the counts of two sets of n-grams."""
    merged = []
    here = there = np.zeros(1, dtype=np.int64)  # the new indices of the nodes of the level above
    for one, other in zip(some, others, strict=True):
        ours = here[one.parents] * vocab_size + one.tokens
        theirs = there[other.parents] * vocab_size + other.tokens
        keys = np.union1d(ours, theirs)
        here, there = np.searchsorted(keys, ours), np.searchsorted(keys, theirs)
        counts = np.zeros(len(keys), dtype=np.int64)
        counts[here] += one.counts
        counts[there] += other.counts
        parents, tokens = np.divmod(keys, vocab_size)
        merged.append(Level(parents, tokens.astype(np.int32), counts))
    return merged


def _prune(levels: list[Level], min_counts: NDArray[np.uint8], most: int) -> None:
    """Leave out n-grams that were seen once, the longest first, until at most ``most`` are left.

    All parts of a kept n-gram are kept, because they were seen as often. Lengths that were pruned
    before are pruned again.
    """
    for depth in range(len(levels), _WHOLE, -1):
        full = sum(len(level.tokens) for level in levels) > most
        if not full and min_counts[depth - 1] == 1:
            return
        min_counts[depth - 1] = 2
        level = levels[depth - 1]
        kept = level.counts > 1
        levels[depth - 1] = Level(level.parents[kept], level.tokens[kept], level.counts[kept])
        if depth < len(levels):
            places, longer = np.cumsum(kept) - 1, levels[depth]
            levels[depth] = longer._replace(parents=places[longer.parents])
