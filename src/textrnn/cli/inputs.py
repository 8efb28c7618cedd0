"""Reads the FILE arguments: one text, several files as documents, or the records of a table."""

import sys
from pathlib import Path

from textrnn.errors import DataError
from textrnn.text.reading import files_in, read_file
from textrnn.text.records import read_column
from textrnn.text.sources import Text, read_text


def read_input(
    names: list[str], encoding: str | None, *, lines: bool = False, column: str | None = None
) -> Text:
    """Return the text or the documents of some files and folders, as ``fit`` takes them.

    Args:
        names: the files and folders; "-" is standard input.
        encoding: of the files; None is UTF-8.
        lines: whether each line is a document.
        column: the name of the column whose values are documents.

    Raises:
        DataError: the content of a file cannot be read in this way.
        OSError: a file cannot be read at all.
    """
    files: list[Path | None] = []  # None is standard input
    for name in names:
        path = Path(name)
        files += [None] if name == "-" else files_in(path) if path.is_dir() else [path]
    if lines or column is not None:
        records: list[str] = []
        for file in files:
            table = read_stdin() if file is None else read_file(file, encoding)
            records += table.split("\n") if column is None else read_column(table, column)
        return records
    texts: list[str | Path] = []
    for file in files:
        text = read_stdin() if file is None else file
        texts.append(read_text(text, encoding) if encoding and isinstance(text, Path) else text)
    return texts[0] if len(texts) == 1 else texts


def read_stdin() -> str:
    """Return standard input as a text, or raise ``DataError`` unless it is UTF-8."""
    if sys.stdin is None:
        raise DataError("Standard input is closed, so there is nothing to read for -.")
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"Standard input is not UTF-8: byte 0x{data[error.start]:02x} at byte offset "
            f"{error.start}."
        ) from None
