"""What ``fit`` says of a text before it trains on it: only what a person should know."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from textrnn.text.corpus import Corpus
from textrnn.text.pieces import release

FEW = 20_000  # characters
_PIECE = 40  # tokens that hardly repeat by chance
_PIECES = 50_000  # the most pieces of the text that are looked up
_RELEASED = 500  # pieces of a memory map that stay in memory
_REGION, _REGIONS = 1_000, 10  # tokens, and parts, of the validation text that are looked at
_LONG_LINE = 20  # characters of a line that hardly repeats by chance
_FEW_LINES = 20  # lines that may be sorted by chance
_LOOK = 500_000  # tokens at the beginning of a text, whose lines are looked at
_MOST = 3  # remarks


def remarks(corpus: Corpus, *, is_new: bool = True) -> list[str]:
    r"""Return at most three short lines on what is wrong or surprising in a text.

    Of a large text a sample is examined. Rare characters are not among them: the headline of
    ``fit`` counts those.

    Args:
        corpus: the text.
        is_new: whether a new model learns from it; an existing one may learn from a short text.

    >>> from textrnn.text.corpus import read_corpus
    >>> remarks(read_corpus("the cat sat on the mat\r\n" * 1000, "char"))[0][:47]
    '100% of the validation text also stands in the '
    """
    beginning = "" if corpus.vocab is None else corpus.vocab.decode(corpus.ids[:_LOOK])
    lines = beginning.split("\n")[:-1] if corpus.starts is None else []
    again = _copies(corpus) or _overlap(corpus) or _repeated_lines(lines)
    length = _length(corpus) if is_new else ""
    found = [again, _sorted_lines(lines), _line_ends(beginning), length]
    return [line for line in found if line][:_MOST]


def shared(ids: NDArray[np.integer], others: NDArray[np.integer]) -> float:
    """Return the share of a text that stands in another one, in pieces of 40 tokens or more.

    Args:
        ids: (N,) the text, of which ten parts of 1,000 tokens are looked at.
        others: (M,) the other text. Of more than two million tokens only longer pieces are found.

    >>> text = np.random.default_rng(0).integers(0, 99, 3000)
    >>> shared(text[2000:], text[:2000]), shared(text[1500:2500], text[:2000])
    (0.0, 0.5)
    """
    dtype = np.promote_types(ids.dtype, others.dtype)
    step = max(_PIECE, len(others) // _PIECES)
    pieces = dict[bytes, int]()
    for number, first in enumerate(range(0, len(others) - _PIECE + 1, step)):
        pieces[others[first : first + _PIECE].astype(dtype).tobytes()] = first
        if number % _RELEASED == 0:
            release(others)
    found = read = 0
    for start in range(0, len(ids), max(_REGION, len(ids) // _REGIONS)):
        region = ids[start : start + _REGION]
        data = region.astype(dtype).tobytes()
        known = np.zeros(len(region), dtype=bool)
        for j in range(len(region) - _PIECE + 1):
            piece = data[j * dtype.itemsize : (j + _PIECE) * dtype.itemsize]
            if not known[j] and (i := pieces.get(piece)) is not None:
                back = _run(region[:j][::-1], others[max(0, i - j) : i][::-1])
                known[j - back : j + _run(region[j:], others[i : i + len(region) - j])] = True
        found += int(np.count_nonzero(known))
        read += len(region)
    return found / max(read, 1)


def count_repeats(lines: Sequence[str]) -> int:
    """Return how many lines, of those with 20 characters or more, repeat an earlier one."""
    long = [line for line in lines if len(line) >= _LONG_LINE]
    return len(long) - len(set(long))


def in_order(lines: Sequence[str]) -> bool:
    """Return whether lines are in alphabetical order."""
    return all(a <= b for a, b in pairwise(lines))


def _run(a: NDArray[np.integer], b: NDArray[np.integer]) -> int:
    """Return how many elements two arrays have in common at their beginnings."""
    n = min(len(a), len(b))
    differs = a[:n] != b[:n]
    return int(differs.argmax()) if differs.any() else n


def _copies(corpus: Corpus) -> str:
    """Return what to say of documents that are there more than once."""
    vocab = corpus.vocab
    if corpus.starts is None or corpus.hashes is None or vocab is None:
        return ""
    documents = len(corpus.starts) - 1
    if corpus.valid_ids is not None:
        documents += int(np.count_nonzero(corpus.valid_ids == vocab.eot_id)) - 1
    if (copies := documents - len(corpus.hashes)) <= documents // 10:
        return ""
    return (
        f"{copies:,} of {documents:,} documents are copies of others, so the validation loss will "
        "be too good: dict.fromkeys(documents) drops them."
    )


def _overlap(corpus: Corpus) -> str:
    """Return what to say of a validation text that training reads, too."""
    if corpus.valid_ids is None or (share := shared(corpus.valid_ids, corpus.ids)) <= 0.2:
        return ""
    return (
        f"{share:.0%} of the validation text also stands in the text to train on, word for word: "
        "the validation loss will be too good."
    )


def _repeated_lines(lines: list[str]) -> str:
    """Return what to say of lines that repeat each other."""
    if (copies := count_repeats(lines)) <= len(lines) // 10:
        return ""
    share = copies / len(lines)
    return f"{share:.0%} of the lines repeat an earlier one: the model will learn them by heart."


def _sorted_lines(lines: list[str]) -> str:
    """Return what to say of records in alphabetical order."""
    if len(set(lines)) <= _FEW_LINES or not in_order(lines):
        return ""
    return (
        "The lines are sorted, so the end, which validates, is unlike the rest: pass records "
        "as a list, text.splitlines(), or --lines."
    )


def _line_ends(text: str) -> str:
    """Return what to say of the line ends of Windows, which only a ``str`` can have."""
    if "\r" not in text:
        return ""
    return r'Lines end in "\r\n": text.replace("\r\n", "\n") makes each end one character.'


def _length(corpus: Corpus) -> str:
    """Return what to say of a text that is too short for a good generator."""
    parts = zip((corpus.ids, corpus.valid_ids), corpus.chars_per_token, strict=True)
    characters = sum(len(ids) * length for ids, length in parts if ids is not None)
    if characters >= FEW:
        return ""
    return f"{characters:,.0f} characters are very few: some 300,000 make a good generator."
