"""Records in a file: the values of one column of a CSV, a TSV or of JSON lines."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from textrnn.errors import DataError


def read_column(text: str, name: str) -> list[str]:
    r"""Return the texts in one column of a table.

    A file that begins with ``{`` or ``[`` is JSON: one object a line, or a list of objects. Any
    other file is a table with tabs, semicolons or commas between the columns, and their names in
    the first line. Empty and missing values are left out.

    Args:
        text: the whole file.
        name: of the column.

    Raises:
        DataError: there is no such column, a value in it is not a text, or a line cannot be read.

    >>> read_column("id,title\n1,First\n2,\"Second, and last\"\n", "title")
    ['First', 'Second, and last']
    >>> read_column('{"title": "First"}\n{"title": null}\n', "title")
    ['First']
    """
    rows = _json_rows(text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text)
    values, names = [], dict[str, None]()
    for number, row in enumerate(rows, 1):
        names |= dict.fromkeys(map(str, row))
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"The column {name!r} must hold texts. Received: {value!r:.60} in row {number}"
            )
        values += [value] if value else []
    if name not in names:
        known = ", ".join(map(repr, names))
        raise DataError(f"There is no column {name!r}; there are: {known:.200}.")
    return values


def _csv_rows(text: str) -> Iterator[dict[str, Any]]:
    head = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t;" if mark in head), ",")
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield from csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise DataError(f"The table cannot be read as CSV ({error}).") from None


def _json_rows(text: str) -> Iterator[dict[str, Any]]:
    lines = enumerate(text.split("\n"), 1)
    whole = text.lstrip().startswith("[")
    parts: Iterable[tuple[int, str]] = [(1, text)] if whole else lines
    for number, line in parts:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Line {number} is not JSON ({error!s:.100}).") from None
        for row in value if whole else [value]:
            if not isinstance(row, dict):
                raise DataError(
                    f'Each line must be a JSON object, as {{"title": "..."}}. '
                    f"Received: {row!r:.60} in line {number}"
                )
            yield row
