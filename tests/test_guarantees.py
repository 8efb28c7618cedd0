"""The pages of guarantees speak of tests that exist, and of all of them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMISES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "guarantees-tests.md").read_text(encoding="utf-8")
FAULTS = sorted((ROOT / "tests" / "faults").glob("test_*.py"))


def rows_named():
    """Return the numbers of all rows that the first table of the tests' page names."""
    for cell in re.findall(r"^\| .*\. \| ([\d, -]+) \|$", PAGE, re.M):
        for part in cell.split(","):
            first, _, last = part.strip().partition("-")
            yield from range(int(first), int(last or first) + 1)


def rows_tested():
    """Return the numbers of all rows that have a test."""
    for path in FAULTS:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield from map(int, re.findall(r"(?<=_)\d+(?=_)", node.name))


def test_every_guarantee_has_its_tests_and_every_test_its_guarantee():
    """The rows of the page are the rows of tests/faults, each named once."""
    promised = re.findall(r"^\*\*(.*?\.)\*\*", PROMISES, re.M)
    assert re.findall(r"^\| (.*\.) \| [\d, -]+ \|$", PAGE, re.M) == promised
    named = list(rows_named())
    assert len(named) == len(set(named))
    assert set(named) == set(rows_tested())


@pytest.mark.slow
@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.name)
def test_faults_are_marked_and_named_after_their_rows(path):
    """So that ``pytest -m faults`` runs them all, and each can be found."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert "pytestmark = pytest.mark.faults" in ast.unparse(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            assert re.match(r"test_\d\d_", node.name), node.name
            assert ast.get_docstring(node), node.name
