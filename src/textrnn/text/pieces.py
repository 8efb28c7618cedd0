"""One text in pieces, so that a file larger than memory can be counted and encoded."""

import mmap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import DataError, UnknownTokenError
from textrnn.text.tokenizer import Tokenizer
from textrnn.text.tokens import check_str

_PIECE = 1 << 20  # characters of a text in memory that are encoded at a time
_BLOCK = 1 << 16  # ids that are decoded at a time
_SPARE = 64  # a growing array is made larger than is needed by one part in so many
_RELEASED = 64  # blocks of a memory map that stay in memory


@dataclass(frozen=True)
class Pieces:
    """Holds one text as a function that reads it again, piece by piece.

    Args:
        read: returns an iterator over the pieces, which are the text when joined.

    >>> list(Pieces.of("abc")), Pieces.of("abc").text()
    (['abc'], 'abc')
    """

    read: Callable[[], Iterator[str]]

    @classmethod
    def of(cls, text: str) -> "Pieces":
        """Return a text that is in memory, in pieces."""
        return cls(lambda: (text[i : i + _PIECE] for i in range(0, len(text), _PIECE)))

    def __iter__(self) -> Iterator[str]:
        """Yield the pieces, of which none is empty."""
        return filter(None, self.read())

    def text(self) -> str:
        """Return the whole text."""
        return "".join(self)

    def cut(self, border: Callable[[str], int]) -> Iterator[str]:
        r"""Yield the text in pieces that end where a token ends.

        Args:
            border: as ``Tokenizer.border``. A piece without a border is joined with the next one.

        >>> pieces = Pieces(lambda: iter(["to be", " or\nn", "ot\n", "to be"]))
        >>> list(pieces.cut(lambda text: text.rfind("\n") + 1))
        ['to be or\n', 'not\n', 'to be']
        """
        held: list[str] = []
        for piece in self:
            if at := border(piece):
                yield "".join([*held, piece[:at]])
                held = []
            if at < len(piece):
                held.append(piece[at:])
        if held:
            yield "".join(held)


def check_texts(
    text: str | Iterable[str], border: Callable[[str], int], *, one_to_one: bool
) -> Iterable[str]:
    """Return a text, its pieces or documents as texts that no token spans, at least one.

    Args:
        text: a text, at once or in pieces, or documents.
        border: as ``Tokenizer.border``.
        one_to_one: whether no token spans two characters, so that documents may be joined.

    Raises:
        DataError: all of them are empty.
        TypeError: one is no ``str``.
    """
    if isinstance(text, Pieces):
        return text.cut(border)
    documents = [text] if isinstance(text, str | bytes | bytearray) else list(text)
    for document in documents:
        check_str(document)
    if not any(documents):
        raise DataError(
            f"The text is empty: there are no tokens to collect. Received: {text!r:.60}"
        )
    return ["".join(documents)] if one_to_one else documents


def encode_pieces(
    pieces: Pieces, vocab: Tokenizer, unknown: str | None = None
) -> tuple[NDArray[Any], int]:
    """Return the ids (N,) of a text and its length in characters.

    The ids are those of ``vocab.encode`` on the whole text. Memory is needed for the ids and for
    one piece.

    Args:
        pieces: the text.
        vocab: the tokenizer.
        unknown: as in ``Tokenizer.encode``.

    Raises:
        UnknownTokenError: as ``Tokenizer.encode``.

    >>> from textrnn import Vocab
    >>> encode_pieces(Pieces.of("abba"), Vocab("ab"))
    (array([0, 1, 1, 0], dtype=uint8), 4)
    """
    ids, used, characters = np.asarray(vocab.encode("", unknown=unknown)), 0, 0
    for piece, part in encode_each(pieces, vocab, unknown):
        if not used:
            ids = np.empty(len(part), part.dtype)
        elif used + len(part) > len(ids):  # in place, where the system can
            ids.resize(used + len(part) + used // _SPARE, refcheck=False)
        np.copyto(ids[used : used + len(part)], part, casting="safe")
        used, characters = used + len(part), characters + len(piece)
    if used < len(ids):
        ids.resize(used, refcheck=False)
    return ids, characters


def encode_each(
    pieces: Pieces, vocab: Tokenizer, unknown: str | None = None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield a text piece by piece, each with its ids (N,); the arguments are as above."""
    characters = 0
    for piece in pieces.cut(vocab.border):
        try:
            yield piece, np.asarray(vocab.encode(piece, unknown=unknown))
        except UnknownTokenError as error:
            if not characters:
                raise
            raise UnknownTokenError(f"After {characters:,} characters: {error}") from None
        characters += len(piece)


def decoded_length(vocab: Tokenizer, parts: Iterable[NDArray[Any]]) -> int:
    """Return how many characters ids (N,) have when they are decoded.

    Args:
        vocab: the tokenizer.
        parts: the ids, in one or more arrays.

    >>> from textrnn import Vocab
    >>> decoded_length(Vocab(["to", "be"], "word"), [np.array([0, 1]), np.array([1])])
    8
    """
    decoder = vocab.decoder()
    return sum(len(decoder.push(i)) for part in parts for i in part.tolist()) + len(decoder.flush())


def blocks(ids: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield views of ids (N,), one part after the other; a memory map does not stay in memory."""
    for number, first in enumerate(range(0, len(ids), _BLOCK)):
        yield ids[first : first + _BLOCK]
        if number % _RELEASED == 0:
            release(ids)
    release(ids)


def release(ids: NDArray[Any]) -> None:
    """Let the system drop what was read of a memory map; it is read again when it is needed.

    Nothing happens to other arrays, and to maps that may be written to.
    """
    if isinstance(ids, np.memmap) and ids.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        base: Any = ids
        while not isinstance(base, mmap.mmap | None):
            base = base.base
        if base is not None:
            base.madvise(mmap.MADV_DONTNEED)
