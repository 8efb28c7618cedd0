"""What a symbol is: a text cut into code points or words, words put together, kinship."""

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNK = "<unk>"
"""How the symbol for "none of the others" is written. No text holds it as one token."""

MAX_CODE_POINT = 0x10FFFF

_BLOCK = 1 << 16  # characters worked on at a time: code points and ids stay in the cache

# A word, with its inner apostrophes; a sign with the space after it; white space. The one thing
# left out is a single space between two words, which `join_words` puts back.
_WORD = re.compile(r"\w")
WORD_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s] ?|(?!(?<=\w) (?=\w))\s")  # noqa: RUF001
"""Matches the symbols of a text at level "word", one after the other."""


def check_str(text: object) -> None:
    """Raise ``TypeError`` unless a text is a ``str``."""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise TypeError(f"`text` must be str; decode bytes first. Received: {kind} {text!r:.60}")


def count_symbols(text: str, level: str) -> Mapping[str, int]:
    """Count how often each symbol occurs in a text, at level "char" or "word"."""
    if level == "word":
        return Counter(WORD_TOKEN.findall(text))
    counts = np.zeros(MAX_CODE_POINT + 1, dtype=np.int64)
    for start in range(0, len(text), 16 * _BLOCK):
        found = np.bincount(_code_points(text[start : start + 16 * _BLOCK]))
        counts[: len(found)] += found
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}


class CodeTable:
    """Numbers code points, whole texts at once: an array from code point to id, and one back.

    Args:
        symbols: one code point each, in the order of their ids.
        missing: the id that stands for every other code point.
    """

    def __init__(self, symbols: Sequence[str], missing: int) -> None:
        self._codes = np.array([ord(symbol) for symbol in symbols], dtype="<u4")
        self._ids = np.full(int(self._codes.max()) + 2, missing, dtype=smallest_uint(missing))
        self._ids[self._codes] = np.arange(len(symbols))

    def encode(self, text: str) -> NDArray[Any]:
        """Return the ids (N,) of a text."""
        ids = np.empty(len(text), dtype=self._ids.dtype)
        for start in range(0, len(text), _BLOCK):
            codes = _code_points(text[start : start + _BLOCK])
            # mode="clip": a code point past the table reads its last entry, "missing"
            np.take(self._ids, codes, out=ids[start : start + _BLOCK], mode="clip")
        return ids

    def decode(self, ids: NDArray[Any]) -> str:
        """Return the text of ids (N,), none of them missing."""
        return self._codes[ids.astype(np.int64)].tobytes().decode("utf-32-le", "surrogatepass")


def smallest_uint(number: int) -> np.dtype[Any]:
    """Return the smallest unsigned integer type that holds ``number``."""
    return np.min_scalar_type(number)


def join_words(symbols: list[str], before: str = "") -> str:
    """Put symbols of level "word" together; ``before`` is the symbol that stands before them."""
    return "".join(_with_spaces(symbols, before))


def fallback_forms(symbol: str) -> Iterator[str]:
    """Return the symbols that one is most like, the nearest first: other case, no diacritics.

    >>> list(dict.fromkeys(fallback_forms("É")))
    ['é', 'É', 'e', 'E', 'é ', 'É ']
    """
    plain = unicodedata.normalize("NFKD", symbol)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    for form in (symbol, plain, symbol.strip(), f"{symbol} "):  # a sign may have a space after it
        yield from (form.lower(), form.capitalize(), form.upper(), form)


def from_codes(codes: object) -> str:
    """Return the symbol that a file holds as a list of code points, or raise what ``chr`` does."""
    if not isinstance(codes, list) or any(type(code) is not int for code in codes):
        raise TypeError(f"{codes!r:.60} is no list of whole numbers")
    return "".join(map(chr, codes))


def other_form(text: str, start: int, end: int, known: Container[str], level: str) -> str | None:
    r"""Name the Unicode form, NFC or NFD, in which ``text[start:end]`` has known symbols only.

    What belongs to it is taken with it: the letter before a combining mark, the marks after it.

    >>> other_form("cafe\u0301", 4, 5, {"\xe9"}, "char")
    'NFC'
    """
    while start > 0 and end - start < 30 and unicodedata.combining(text[start]):
        start -= 1
    while end < len(text) and end - start < 30 and unicodedata.combining(text[end]):
        end += 1
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, text[start:end])
        symbols = WORD_TOKEN.findall(other) if level == "word" else other
        if other != text[start:end] and all(symbol in known for symbol in symbols):
            return form
    return None


def _with_spaces(symbols: list[str], before: str) -> Iterator[str]:
    """Put a space between two words that follow each other."""
    after_word = _is_word(before)
    for symbol in symbols:
        is_word = _is_word(symbol)
        if after_word and is_word:
            yield " "
        yield symbol
        after_word = is_word


def _is_word(symbol: str) -> bool:
    return symbol == UNK or _WORD.match(symbol) is not None


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
