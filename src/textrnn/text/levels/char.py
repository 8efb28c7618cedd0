"""Level "char": a token is a code point. Nothing is normalised, lone surrogates included."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.text.levels.base import Level
from textrnn.text.tokens import MAX_CODE_POINT, smallest_uint

_BLOCK = 1 << 16  # characters worked on at a time: code points and ids stay in the cache


class CharLevel(Level):
    """Cuts a text into its code points, whole blocks of it at once."""

    form = "one code point"
    one_to_one = True

    def misfits(self, tokens: Sequence[object]) -> list[object]:
        """Return those that are not one code point."""
        return [token for token in tokens if not isinstance(token, str) or len(token) != 1]

    def border(self, text: str) -> int:
        """Return the end of the text: a token is never longer than a character."""
        return len(text)

    def cut(self, text: str) -> Sequence[str]:
        """Return the text, which is the sequence of its code points."""
        return text

    def span(self, text: str, index: int) -> tuple[int, int]:
        """Return the place of code point number ``index``."""
        return index, index + 1

    def count(self, text: str) -> Mapping[str, int]:
        """Return how often each code point occurs in a text."""
        counts = np.zeros(MAX_CODE_POINT + 1, dtype=np.int64)
        for start in range(0, len(text), 16 * _BLOCK):
            found = np.bincount(_code_points(text[start : start + 16 * _BLOCK]))
            counts[: len(found)] += found
        return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}

    def encoder(self, tokens: Sequence[str], missing: int) -> Callable[[str], NDArray[Any]]:
        """Return a function from a text to ids (N,), which looks code points up in an array."""
        codes = np.array([ord(token) for token in tokens], dtype=np.int64)
        ids = np.full(int(codes.max()) + 2, missing, dtype=smallest_uint(missing))
        ids[codes] = np.arange(len(codes))
        return partial(_look_up, ids)


def _look_up(ids_by_code: NDArray[Any], text: str) -> NDArray[Any]:
    ids = np.empty(len(text), dtype=ids_by_code.dtype)
    for start in range(0, len(text), _BLOCK):
        codes = _code_points(text[start : start + _BLOCK])
        # mode="clip": a code point past the table reads its last entry, "missing"
        np.take(ids_by_code, codes, out=ids[start : start + _BLOCK], mode="clip")
    return ids


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
