"""Smoothing: from counts to probabilities.

All three methods have one form. After a context w1..wk the token t has the probability

    p(t | w1..wk) = discounted(w1..wk t) / total(w1..wk) + gamma(w1..wk) * p(t | w2..wk)

with gamma such that the probabilities sum to 1. Below the single tokens it is the uniform 1/V.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.generation.steppers.trie import Trie

SMOOTHINGS = ("kneser_ney", "witten_bell", None)


def log_probabilities(
    trie: Trie, smoothing: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability of each stored n-gram, and the weight of shorter ones.

    Args:
        trie: the counts.
        smoothing: one of ``SMOOTHINGS``.

    Returns:
        For each node log p(its token | its parent), (M,) float64, and for each context
        log gamma, (C,) float64; minus infinity where nothing is left.
    """
    p, gamma = np.ones(len(trie.tokens)), np.ones(trie.contexts)
    for depth in range(1, trie.order + 1):
        nodes, above = trie.level(depth), trie.level(depth - 1)
        parents = trie.parents[nodes.start - 1 : nodes.stop - 1] - above.start
        size = above.stop - above.start
        kept = np.bincount(parents, trie.counts[nodes], minlength=size)
        missing = np.zeros(size)  # of each context: n-grams left out, each seen once
        if trie.min_counts[depth - 1] > 1:
            missing = np.maximum(trie.counts[above] - kept, 0)
        if smoothing == "kneser_ney":
            counts = adjusted_counts(trie, depth)
            discounts = estimate_discounts(counts, int(missing.sum()))
            values = counts - discounts[np.minimum(counts, 3) - 1]
            totals = np.bincount(parents, counts, minlength=size) + missing
        else:
            values = trie.counts[nodes].astype(np.float64)
            totals = kept + missing
            if smoothing == "witten_bell":  # new tokens are as likely as they were so far
                totals += np.bincount(parents, minlength=size) + missing
        totals = np.maximum(totals, 1)
        spent = np.bincount(parents, values, minlength=size)
        gamma[above] = (totals - spent) / totals
        lower = 1 / trie.vocab_size if depth == 1 else p[trie.suffixes[nodes]]
        p[nodes] = values / totals[parents] + gamma[above][parents] * lower
    with np.errstate(divide="ignore"):
        return np.log(p), np.log(gamma)


def adjusted_counts(trie: Trie, depth: int) -> NDArray[np.int64]:
    """Return the counts of Kneser and Ney (1995) of all n-grams of a length.

    The longest n-grams have their own counts; a shorter one counts once for each different token
    that it followed. If no longer n-gram is stored, at the start of a text or because it was left
    out, each occurrence counts, as in Chen and Goodman (1999).
    """
    seen: NDArray[np.int64] = trie.counts[trie.level(depth)]
    if depth == trie.order:
        return seen
    longer = trie.level(depth + 1)
    suffixes = trie.suffixes[longer] - trie.offsets[depth]
    different = np.bincount(suffixes, minlength=len(seen))
    explained = np.bincount(suffixes, trie.counts[longer], minlength=len(seen)).astype(np.int64)
    adjusted: NDArray[np.int64] = different + np.maximum(seen - explained, 0)
    return np.maximum(adjusted, 1)


def estimate_discounts(counts: NDArray[Any], missing: int = 0) -> NDArray[np.float64]:
    """Return the discounts of counts of 1, of 2, and of 3 and more.

    These are D1, D2 and D3+ of modified Kneser-Ney smoothing, estimated from the numbers of
    n-grams with counts 1, 2, 3 and 4 (Chen and Goodman 1999, section 3). If these are too few,
    there is one discount for all, Y = n1 / (n1 + 2 n2), or a half.

    Args:
        counts: (M,) the counts of n-grams of one length.
        missing: the number of n-grams with count 1 that were left out.

    >>> estimate_discounts(np.array([1] * 60 + [2] * 20 + [3] * 10 + [4] * 6)).round(2).tolist()
    [0.6, 1.1, 1.56]
    """
    n1, n2, n3, n4 = (np.bincount(np.minimum(counts, 5), minlength=6)[1:5]).tolist()
    n1 += missing
    if not n1 or not n2:
        return np.full(3, 0.5)
    y = n1 / (n1 + 2 * n2)
    if n3 and n4:
        found = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if ((found > 0) & (found < [1, 2, 3])).all():
            return found
    return np.full(3, y)
