"""The shop front: what textrnn exports, and that looking at it costs nothing."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import textrnn
from textrnn.callbacks import Callback
from textrnn.errors import TextRNNError

NAMES = [name for name in textrnn.__all__ if name != "__version__"]


def test_all_is_sorted_and_complete():
    """__all__ is sorted, lists each name once, and is what dir() and the lazy table hold."""
    assert textrnn.__all__ == sorted(set(textrnn.__all__))
    assert sorted(textrnn._HOME) == sorted(NAMES)
    assert dir(textrnn) == textrnn.__all__


def test_type_checkers_see_the_same_names():
    """The imports written for type checkers are those that __getattr__ makes."""
    import ast

    tree = ast.parse(Path(textrnn.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == textrnn._HOME


@pytest.mark.parametrize("name", NAMES)
def test_public_names_have_docstrings_of_their_own(name):
    """Every public class and function says what it is for, and so do its public methods."""
    thing = getattr(textrnn, name)
    assert thing.__doc__
    if inspect.isclass(thing):
        for method, function in vars(thing).items():
            if not method.startswith("_") and callable(function):
                assert inspect.getdoc(function), f"{name}.{method}"


@pytest.mark.parametrize("name", NAMES)
def test_api_page_lists_every_public_name(name):
    """docs/api.md documents each name of __all__; of a module, what is in it."""
    page = Path(textrnn.__file__).parents[2] / "docs" / "api.md"
    thing = getattr(textrnn, name)
    entry = f"{thing.__name__}." if inspect.ismodule(thing) else f"textrnn.{name}\n"
    assert f"::: {entry}" in page.read_text(encoding="utf-8")


def test_api_page_lists_what_there_is():
    """Each name of docs/api.md can be imported from where it says, and stands there once."""
    page = (Path(textrnn.__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: (\S+)$", page, re.M)
    assert len(names) == len(set(names))
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_all_errors_and_callbacks_are_exported():
    """Whatever a user may want to catch or subclass is at the top level."""
    import textrnn.callbacks
    import textrnn.errors

    errors = {c.__name__ for c in vars(textrnn.errors).values() if inspect.isclass(c)}
    errors = {n for n in errors if issubclass(getattr(textrnn.errors, n, str), TextRNNError)}
    callbacks = {
        n
        for n in textrnn.callbacks.__all__
        if issubclass(getattr(textrnn.callbacks, n), Callback) and n != "ProgressBar"
    }
    assert errors | callbacks <= set(NAMES)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelled name fails as it does in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'TextGenerators'"):
        textrnn.TextGenerators  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import textrnn",
        "from textrnn import load_sampler, GeneratedText, Vocab, ContiguousBatcher, DataError",
        "import textrnn.cli",
        "import textrnn.datasets",
    ],
)
def test_import_without_torch(code):
    """Importing textrnn, its command line or its NumPy side does not import torch."""
    check = f"{code}\nimport sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
