r"""Level "byte": a token is a byte of the text in UTF-8; the 256 of them write every text.

A byte that is not a character by itself is shown as by Python's ``surrogateescape``: the byte 0xE4
is the token ``"\udce4"``. Lone surrogates survive (``surrogatepass``); other bytes that are not
UTF-8, which a model may generate, become U+FFFD.
"""

import codecs
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import VocabError
from textrnn.text.levels.base import Level
from textrnn.text.tokenizer import Decoder
from textrnn.text.tokens import smallest_uint


def to_utf8(text: str) -> bytes:
    """Return a text in UTF-8, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def to_token(data: bytes) -> str:
    """Return bytes as the text of a token."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(token: str) -> bytes:
    """Return the bytes of a token."""
    return token.encode("utf-8", "surrogateescape")


BYTES = [to_token(bytes([i])) for i in range(256)]
"""The tokens of single bytes."""


class ByteLevel(Level):
    """Cuts a text into its bytes."""

    form = "one byte"
    complete = True

    def misfits(self, tokens: Sequence[object]) -> list[object]:
        """Return those that do not stand for one byte."""
        return [token for token in tokens if not isinstance(token, str) or token not in _BYTES]

    def border(self, text: str) -> int:
        """Return the end of the text: a token is never longer than a character."""
        return len(text)

    def cut(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""
        return [BYTES[byte] for byte in to_utf8(text)]

    def collect(
        self, texts: Iterable[str], max_size: int | None, min_freq: int
    ) -> tuple[list[str], bool]:
        """Return the 256 bytes, whatever the texts."""
        if (max_size or 256) < 256 or min_freq > 1:
            raise VocabError(
                "Level 'byte' always has 256 tokens; leave out `max_size` and `min_freq`. "
                f"Received: max_size={max_size}, min_freq={min_freq}"
            )
        return BYTES, False

    def encoder(self, tokens: Sequence[str], missing: int) -> Callable[[str], NDArray[Any]]:
        """Return a function from a text to ids (N,), which looks bytes up in an array."""
        check_bytes(tokens)
        ids = np.empty(256, dtype=smallest_uint(missing))
        ids[[to_bytes(token)[0] for token in tokens]] = np.arange(256)
        return partial(_look_up, ids)

    def decoder(self, tokens: Sequence[str], after: int | None) -> Decoder:
        """Return a decoder that holds back incomplete characters."""
        return UTF8Decoder(tokens)


def check_bytes(tokens: Iterable[str]) -> None:
    """Raise ``VocabError`` unless every byte is among the tokens."""
    if missing := _BYTES.difference(tokens):
        first = to_bytes(min(missing))
        raise VocabError(
            f"The tokens must hold all 256 bytes, so that nothing is unknown. "
            f"Received: {256 - len(missing)} of them, without {first!r}"
        )


def _look_up(ids: NDArray[Any], text: str) -> NDArray[Any]:
    return ids[np.frombuffer(to_utf8(text), dtype=np.uint8)]


class UTF8Decoder(Decoder):
    """Writes characters when they are complete.

    Args:
        tokens: the text of every token, by id.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")(_REPAIR)

    def push(self, token: int) -> str:
        """Return the characters that end with this token."""
        return self._decoder.decode(to_bytes(self._tokens[token]))

    def flush(self) -> str:
        """Return U+FFFD for an incomplete character."""
        return self._decoder.decode(b"", final=True)


def _repair(error: UnicodeError) -> tuple[str, int]:
    """Return a lone surrogate if there is one, else U+FFFD, and where to continue."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    end = error.start + 3
    try:
        return error.object[error.start : end].decode("utf-8", "surrogatepass"), end
    except UnicodeDecodeError:
        return "\ufffd", error.end


_BYTES = frozenset(BYTES)
_REPAIR = "textrnn.surrogatepass-or-replace"
codecs.register_error(_REPAIR, _repair)
