"""The text that a user passed, as a string or a list of documents."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from textrnn.checks import check_number
from textrnn.errors import DataError
from textrnn.text.lookalikes import check_collection, check_documents, check_text
from textrnn.text.pieces import Pieces
from textrnn.text.reading import files_in, read_file, read_pieces

Text = str | Path | Iterable[str | Path]
"""What ``fit`` and ``evaluate`` accept: a text, a file, or documents."""


Tokens = TypeVar("Tokens", str, NDArray[Any])


def read_text(text: Text, encoding: str | None = None) -> str:
    r"""Return a text as one string.

    Args:
        text: a ``str`` is the text itself. A ``Path`` is a text file, which may be compressed with
            gzip, bzip2 or xz, or a folder of text files. A list (or any other iterable) holds
            documents, each a ``str`` or a ``Path``; they are joined by a line break. Lines that
            keep their line breaks, as an open file yields them, are one text. In files, line ends
            become ``"\n"``, as ``open`` reads them, and a byte order mark is dropped.
        encoding: of the files; None for UTF-8.

    Returns:
        The text, at least one character long.

    Raises:
        DataError: the text is empty, the file is not UTF-8 (with the offset of the first bad
            byte), or a ``str`` is the name of a file or looks like one.
        TypeError: ``text`` is something else, such as ``bytes``, a table or a dict.
        OSError: the file cannot be read.

    >>> read_text(["first document", "second"])
    'first document\nsecond'
    """
    source = read_source(text, encoding)
    return source if isinstance(source, str) else "\n".join(source)


def open_source(text: Text, encoding: str | None = None) -> str | Pieces | list[str]:
    r"""Return what ``read_source`` returns, but a ``Path`` to a file as pieces of its text.

    Args:
        text: as in ``read_text``.
        encoding: likewise.

    Raises:
        DataError, TypeError, OSError: as ``read_text``; a fault in a later piece of a file shows
            when that piece is read.
    """
    if not isinstance(text, Path) or not text.is_file():  # a pipe can be read only once
        return read_source(text, encoding)
    pieces = Pieces(partial(read_pieces, text, encoding))
    if next(iter(pieces), None) is None:
        raise _is_empty(text)
    return pieces


def read_source(text: Text, encoding: str | None = None) -> str | list[str]:
    r"""Return one text as a ``str``, or a list of two or more documents.

    A single document is one text, and so are lines that keep their line breaks, as an open file
    yields them. Empty documents are left out.

    Args:
        text: as in ``read_text``.
        encoding: likewise.

    Raises:
        DataError, TypeError, OSError: as ``read_text``.

    >>> read_source(["first document", "second"])
    ['first document', 'second']
    >>> read_source(["first line\n", "second"])
    'first line\nsecond'
    """
    result: str | list[str]
    if isinstance(text, bytes | bytearray):
        raise TypeError(
            "`text` must be str, a Path or a list of documents; decode bytes first: "
            f"text.decode('utf-8'). Received: {type(text).__name__} of length {len(text)}"
        )
    if isinstance(text, str):
        check_text(text)
        result = text
    elif isinstance(text, Path):
        result = _documents(files_in(text) if text.is_dir() else [text], encoding)
    elif isinstance(text, Iterable):
        check_collection(text)
        result = _documents(list(text), encoding)
    else:
        raise TypeError(
            "`text` must be str, a Path or a list of documents. "
            f"Received: {type(text).__name__} {text!r:.60}"
        )
    if not result:
        raise _is_empty(text)
    return result


def _is_empty(text: Text) -> DataError:
    return DataError(f"The text is empty. Received: {text!r:.300}")


def split(
    tokens: Tokens, validation_split: float, validation: Tokens | None = None
) -> tuple[Tokens, Tokens]:
    """Split a text for training and validation: its end is for validation.

    Args:
        tokens: the whole text, a ``str`` or an array of ids.
        validation_split: the part kept for validation, in [0, 1); 0 for none.
        validation: a text for validation instead; then all of ``tokens`` is for training.

    Returns:
        The two parts; the second is empty if there is no validation.

    Raises:
        DataError: one of them would have fewer than two tokens.

    >>> split("abcdefghij", 0.2)
    ('abcdefgh', 'ij')
    """
    check_number("validation_split", validation_split, "in [0, 1)", lambda v: 0 <= v < 1)
    cut = int(len(tokens) * (1 - validation_split) + 1e-9)  # 10 * (1 - 0.8) is 1.99...
    train, valid = (tokens[:cut], tokens[cut:]) if validation is None else (tokens, validation)
    wanted = validation_split > 0 or validation is not None
    if len(train) < 2 or (wanted and len(valid) < 2):
        n, choice = len(tokens), ""
        if validation is None and n >= 4:
            choice = f" from {2 / n:.3g} to {math.floor(1000 * (1 - 2 / n)) / 1000}"
        raise DataError(
            "Training and validation need at least 2 tokens each; choose another "
            f"`validation_split`{choice} (0 is none), or a longer text. "
            f"Received: {len(train)} tokens for training, {len(valid)} for validation"
        )
    return train, valid


def _documents(items: Sequence[object], encoding: str | None) -> str | list[str]:
    """Return the non-empty documents, or one text if they are its lines or there is only one."""
    check_documents(items)
    lines = all(isinstance(line, str) and line.find("\n") == len(line) - 1 for line in items[:-1])
    texts = [_read_document(document, i, encoding) for i, document in enumerate(items)]
    documents = [text for text in texts if text]
    return "".join(texts) if lines or len(documents) < 2 else documents


def _read_document(document: object, index: int, encoding: str | None) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, Path):
        return read_file(document, encoding)
    raise TypeError(
        f"`text[{index}]` must be a document: str or Path. "
        f"Received: {type(document).__name__} {document!r:.60}"
    )
