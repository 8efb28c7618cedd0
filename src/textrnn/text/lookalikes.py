"""What is passed as a text by mistake: file names, addresses, tables, single characters.

Each is an error that says what to pass instead. Without it, the mistake would show only in the text
that the model generates.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textrnn.errors import DataError

_LONGEST = 259  # characters of a file name
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\w")
_ABSOLUTE = re.compile(r"(~\w*)?/\w|[A-Za-z]:[/\\]|\\\\\w")  # at its beginning
_PATH = re.compile(r"\w:?[/\\](\w|$)|^\.{0,2}/\w|^~\w*/|^\\\\\w")  # with a folder, anywhere
_SUFFIX = re.compile(r"\w\.(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{1,8}$")
_TEXT_SUFFIX = re.compile(
    r"\.(txt|text|md|csv|tsv|jsonl?|xml|html?|gz|bz2|xz|zip|pdf|docx?)$", re.I
)


def check_text(text: str) -> None:
    """Raise ``DataError`` if a text is the name of a file or folder, or looks like one.

    A text with a line break or of 260 characters never does. One with a space only does if it is a
    whole path to a file.
    """
    if not _may_be_a_name(text):
        return
    path = _existing(text)
    if path is not None:
        kind = "folder" if path.is_dir() else "file"
        raise DataError(
            f"`text` is the text itself, but this one is the name of a {kind}. To read the {kind}, "
            f"pass Path({text!r}). Received: {text!r}"
        )
    if text.split() != [text] and not (_ABSOLUTE.match(text) and _SUFFIX.search(text)):
        return
    if _ADDRESS.match(text):
        raise DataError(
            "`text` is the text itself, but this looks like an address. Download the file, and "
            f"pass Path(its name); if it is a text, pass [text]. Received: {text!r}"
        )
    if _PATH.search(text) or _SUFFIX.search(text):
        home = ".expanduser()" if text.startswith("~") else ""
        raise DataError(
            "`text` is the text itself, but this looks like the name of a file, and there is none "
            f"of this name. To read a file, correct the name and pass Path({text!r}){home}; if it "
            f"is a text, pass [text]. Received: {text!r}"
        )


def check_collection(text: object) -> None:
    """Raise ``TypeError`` for a table or a mapping, which holds more than one column of texts."""
    if isinstance(text, Mapping):
        keys = [repr(key) for key in text]
        raise TypeError(
            "`text` must be one of the values of this mapping, not all of it: pass data[key]. "
            f"Its keys: {', '.join(keys)[:200]}. Received: {type(text).__name__}"
        )
    columns: Any = getattr(text, "column_names", None) or getattr(text, "columns", None)
    if columns is not None:
        names = [repr(name) for name in columns]
        raise TypeError(
            "`text` must be one column of this table, not all of it: pass df[column]. "
            f"Its columns: {', '.join(names)[:200]}. Received: {type(text).__name__}"
        )


def check_documents(documents: Sequence[object]) -> None:
    """Raise an error for documents that are file names, addresses, rows or single characters.

    Raises:
        DataError: they are strings, but not texts.
        TypeError: they are rows of a table.
    """
    for i, document in enumerate(documents):
        if isinstance(document, str):
            if _is_file_name(document):
                raise _names_for_texts(i, document)
        elif isinstance(document, Mapping):
            name = next((key for key, value in document.items() if isinstance(value, str)), "text")
            raise TypeError(
                f"`text[{i}]` must be a document, not a row: pass [row[{name!r}] for row in rows]. "
                f"Received: {document!r:.60}"
            )
    strings = [document for document in documents if isinstance(document, str)]
    if len(strings) != len(documents) or len(documents) < 2:
        return
    if all(_may_be_a_name(d) and _existing(d) is not None for d in strings):
        raise _names_for_texts(0, strings[0])
    if all(_looks_like_a_place(d) for d in strings):
        raise _names_for_texts(0, strings[0])
    if all(len(d) == 1 for d in strings):
        raise DataError(
            "`text` must be a text or documents, not its characters one by one: pass the str, or "
            f"''.join(text). Received: {strings[:5]!r}"
        )


def _names_for_texts(index: int, name: str) -> DataError:
    return DataError(
        f"`text[{index}]` is the name of a file or an address, not a text. To read files, pass "
        "[Path(name) for name in names]; if these are the texts, pass '\\n'.join(text). "
        f"Received: {name!r}"
    )


def _may_be_a_name(text: str) -> bool:
    short = 0 < len(text) <= _LONGEST
    return short and not {"\n", "\r"} & set(text) and any(map(str.isalnum, text))


def _is_file_name(document: str) -> bool:
    """Return whether a document names an existing file; a bare word never does."""
    if len(document) > _LONGEST:
        return False
    named = "." in document[-9:] and _SUFFIX.search(document[-10:]) is not None
    placed = ("/" in document or "\\" in document) and document.split() == [document]
    return (named or placed) and _may_be_a_name(document) and _existing(document) is not None


def _looks_like_a_place(document: str) -> bool:
    return document.split() == [document] and bool(
        _ADDRESS.match(document) or _ABSOLUTE.match(document) or _TEXT_SUFFIX.search(document)
    )


def _existing(name: str) -> Path | None:
    try:
        return Path(name) if Path(name).exists() else None
    except (OSError, ValueError):  # not a possible name on this system
        return None
