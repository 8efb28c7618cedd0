"""The values of a column are documents."""

import re

import pytest

from textrnn.errors import DataError
from textrnn.text.records import read_column

TABLES = {
    "csv": 'id,title\n1,One\n2,"Two, and\nmore"\n3,\n4,"a ""b"""\n',
    "tsv": 'id\ttitle\n1\tOne\n2\t"Two, and\nmore"\n3\t\n4\t"a ""b"""\n',
    "semicolons": 'id;title\n1;One\n2;"Two, and\nmore"\n3;\n4;"a ""b"""\n',
    "json lines": '{"id": 1, "title": "One"}\n\n{"title": "Two, and\\nmore"}\n{"id": 3}\n'
    '{"title": "a \\"b\\""}\n',
    "json": '[{"title": "One"}, {"title": "Two, and\\nmore"}, {"title": null}, '
    '{"title": "a \\"b\\""}]',
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_column_of_any_table(kind):
    """Every kind of table gives the same texts; missing ones are left out."""
    assert read_column(TABLES[kind], "title") == ["One", "Two, and\nmore", 'a "b"']


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLES["csv"], "There is no column 'name'; there are: 'id', 'title'."),
        (TABLES["json"], "There is no column 'name'; there are: 'title'."),
        ('{"name": 5}', "The column 'name' must hold texts. Received: 5 in row 1"),
        ('{"name": "a"}\n{"name"\n', "Line 2 is not JSON"),
        ('{"name": "a"}\n["name"]\n', "Each line must be a JSON object"),
        ('name\n"a', "The table cannot be read as CSV"),
        ("", "There is no column 'name'"),
    ],
)
def test_what_is_no_such_table(table, message):
    """It is a DataError that says where the fault is."""
    with pytest.raises(DataError, match=re.escape(message)):
        read_column(table, "name")
