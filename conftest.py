"""Run every example: the docstrings in src/, and the Python blocks of the README and docs/."""

import os
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

# The models here are tiny, and threads that wait for each other on a busy machine are slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def _in_a_folder_of_its_own(tmp_path_factory):
    """Let examples write files, and find short texts under the names that pages use."""
    folder = tmp_path_factory.mktemp("examples")
    from textrnn.datasets import load_human_numbers

    text = load_human_numbers(1, 150)
    folder.joinpath("shakespeare.txt").write_text(f"{text}\nROMEO:\n")
    folder.joinpath("nietzsche.txt").write_text(f"PREFACE\n\n\n{text}\nfor those of part\n" * 3)
    folder.joinpath("andersen_27200.txt").write_text(f"The beetle, and\n{text}\n" * 3)
    folder.joinpath("tinyshakespeare.txt").write_text(f"{text}\nROMEO:\n" * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def _short_minutes(namespace):
    """Make ``minutes=3`` a second: the examples are to run, not to learn."""
    from textrnn import TextGenerator

    fit = TextGenerator.fit

    def short_fit(self, text, **kwargs):
        if "minutes" in kwargs:
            kwargs["minutes"] = min(kwargs["minutes"], 1 / 60)
        return fit(self, text, **kwargs)

    namespace["_patch"] = pytest.MonkeyPatch()
    namespace["_patch"].setattr(TextGenerator, "fit", short_fit)


def _undo(namespace):
    namespace["_patch"].undo()


_docstrings = Sybil(
    parsers=[DocTestParser()],
    path=str(Path(__file__).parent / "src"),
    pattern="**/*.py",
    excludes=["**/__main__.py"],
)
_pages = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    path=str(Path(__file__).parent),
    patterns=["README.md", "docs/**/*.md"],
    fixtures=["_in_a_folder_of_its_own"],
    setup=_short_minutes,
    teardown=_undo,
)
pytest_collect_file = (_docstrings + _pages).pytest()


def pytest_collection_modifyitems(items):
    """Mark the blocks of pages as slow: many train a model, and each needs the ones before it."""
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.slow)
