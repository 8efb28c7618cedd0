"""Text that is kept from training, to learn on it what training itself would learn wrongly."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from textrnn.text.corpus import Corpus

SLICES = 8
"""How many slices of one text are held out."""

_LONG = 4_000_000  # tokens
_KEY = 2  # of the random numbers that choose documents


def hold_out(corpus: Corpus, wanted: Callable[[int], int]) -> Corpus:
    """Return a corpus with some tokens of its text to train on as ``held_out`` instead.

    Of one text they are eight slices of one length, evenly spread: the end of a text is likest to
    what comes after it, and the network would miss it. Of a text of more than four million tokens
    they are the end all the same, because slices need a copy of the text. Of documents they are
    whole ones, drawn from the seed, and never all of them.

    Args:
        corpus: the text.
        wanted: how many are wanted, at most, of so many; with less than 8 the corpus stays as it
            is.

    >>> corpus = hold_out(Corpus(np.arange(24)), lambda tokens: tokens // 3)
    >>> corpus.ids.tolist(), corpus.held_out.tolist()
    ([0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23], [1, 4, 7, 10, 13, 16, 19, 22])
    """
    tokens = wanted(len(corpus.ids))
    if tokens < SLICES:
        return corpus
    if corpus.starts is None:
        if len(corpus.ids) > _LONG:
            return replace(corpus, ids=corpus.ids[:-tokens], held_out=corpus.ids[-tokens:])
        return _slices(corpus, tokens // SLICES)
    lengths = np.diff(corpus.starts)
    random = np.random.default_rng(np.random.SeedSequence(corpus.seed, spawn_key=(_KEY,)))
    order = random.permutation(len(lengths))[:-1]
    drawn = np.zeros(len(lengths), dtype=bool)
    drawn[order[np.cumsum(lengths[order]) <= tokens]] = True
    if not drawn.any():
        return corpus
    begins = int(corpus.starts[0])  # after the boundary that the text begins with
    moves = np.repeat(drawn, lengths)
    rest, kept = (np.concatenate([np.ones(begins, dtype=bool), part]) for part in (~moves, moves))
    starts = begins + np.concatenate([[0], np.cumsum(lengths[~drawn])])
    return replace(corpus, ids=corpus.ids[rest], starts=starts, held_out=corpus.ids[kept])


def _slices(corpus: Corpus, length: int) -> Corpus:
    """Hold out slices of a text, each from the middle of an eighth of it."""
    eighth = len(corpus.ids) // SLICES
    begins = np.arange(SLICES) * eighth + (eighth - length) // 2
    moves = np.zeros(len(corpus.ids), dtype=bool)
    moves[(begins[:, None] + np.arange(length)).ravel()] = True
    return replace(corpus, ids=corpus.ids[~moves], held_out=corpus.ids[moves])
