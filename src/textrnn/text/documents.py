"""Documents as ids: a boundary before the first one and after each, and their order."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.text.tokenizer import Tokenizer
from textrnn.text.tokens import smallest_uint

_BLOCK = 1 << 20  # ids that are put in another order at a time


def with_boundaries(
    documents: Sequence[str], vocab: Tokenizer, unknown: str | None = None
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return documents as ids (N,), with a boundary before the first one and after each.

    Args:
        documents: D texts.
        vocab: a tokenizer with an ``eot_id``.
        unknown: as in ``Tokenizer.encode``.

    Returns:
        The ids, and (D + 1,) where each document begins, and N.

    >>> from textrnn import Vocab
    >>> with_boundaries(["a", "ab"], Vocab("ab", eot=True))
    (array([2, 0, 2, 0, 1, 2], dtype=uint8), array([1, 3, 6]))
    """
    tokens, lengths = vocab.encode_documents(documents, unknown=unknown)
    starts = np.concatenate([[1], 1 + np.cumsum(lengths + 1)])
    is_token = np.ones(starts[-1], dtype=bool)
    is_token[starts - 1] = False
    ids = np.full(
        starts[-1], vocab.eot_id, np.promote_types(tokens.dtype, smallest_uint(len(vocab) - 1))
    )
    ids[is_token] = tokens
    return ids, starts


def chars_per_token(documents: Sequence[str], ids: NDArray[Any]) -> float:
    """Return the mean length of what is predicted in the ``ids`` of ``with_boundaries``.

    A boundary is as long as the line break that stands at its place in a file of lines.
    """
    return (sum(map(len, documents)) + len(documents)) / (len(ids) - 1)


def reorder(ids: NDArray[Any], starts: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[Any]:
    """Return documents in another order.

    Args:
        ids: (N,) of D documents, as ``with_boundaries`` returns them.
        starts: (D + 1,) likewise.
        order: (D,) the numbers of the documents, in the new order.

    >>> reorder(np.array([9, 0, 9, 1, 2, 9]), np.array([1, 3, 6]), np.array([1, 0]))
    array([9, 1, 2, 9, 0, 9])
    """
    begins, lengths = starts[:-1][order], np.diff(starts)[order]
    ends = 1 + np.cumsum(lengths)  # in the new order
    result = ids.copy()
    cuts = np.searchsorted(ends, np.arange(0, len(ids) + _BLOCK, _BLOCK))
    for first, last in pairwise(cuts.tolist()):
        if first == last:
            continue
        block = slice(first, last)
        moved = begins[block] - (ends[block] - lengths[block])
        to = np.arange(ends[first] - lengths[first], ends[last - 1])
        result[to[0] : to[-1] + 1] = ids[to + np.repeat(moved, lengths[block])]
    return result
