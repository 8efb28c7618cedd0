"""The house stands: rows are an order, and a file imports only from the rows above its own."""

import ast
from pathlib import Path

import pytest

import textrnn

SRC = Path(textrnn.__file__).parent

ROWS = [
    {"errors", "symbols", "recipe", "interrupts", "replacing"},
    {"datasets", "vocab", "batching", "history", "saving", "distributed", "device", "sampling",
     "schedules"},
    {"corpus", "stepping.base", "models.base"},
    {"stepping.ngram", "stepping.recurrent", "stepping.window"},
    {"stepping", "models.ngram", "models.recurrent", "models.steppers", "models.window"},
    {"models", "writing"},
    {"sampler", "evaluation", "optim", "progress", "callbacks.base"},
    {"inspection", "callbacks.backup", "callbacks.control", "callbacks.weights", "snapshot"},
    {"callbacks.report"},
    {"callbacks"},
    {"learner", "plan"},
    {"run", "lr_finder"},
    {"trainer"},
    {"generator"},
    {"cli"},
    {"", "__main__"},
]  # fmt: skip
WITHOUT_TORCH = {
    "errors", "symbols", "datasets", "vocab", "batching", "history", "saving", "sampling",
    "schedules", "interrupts", "replacing", "corpus", "stepping", "stepping.base", "stepping.ngram",
    "stepping.recurrent", "stepping.window", "writing", "sampler", "recipe", "callbacks",
    "callbacks.backup", "callbacks.base", "callbacks.control", "callbacks.report",
    "callbacks.weights", "cli", "", "__main__",
}  # fmt: skip
ROW_OF = {name: i for i, row in enumerate(ROWS) for name in row}


def name_of(path):
    """Give a file's module name below textrnn; "" is textrnn itself."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix("__init__").strip(".")


FILES = {name_of(path): path for path in SRC.rglob("*.py")}


def imports_of(path):
    """Give every module that a file imports anywhere, lazily or for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full"
            base = node.module
            for alias in node.names:
                below = f"{base}.{alias.name}".removeprefix("textrnn.")
                yield f"{base}.{alias.name}" if below in FILES else base


def test_every_file_has_a_row():
    """The table above lists the files of src, each once, and no others."""
    assert sorted(FILES) == sorted(name for row in ROWS for name in row)


@pytest.mark.parametrize("name", FILES)
def test_imports_come_from_rows_above(name):
    """A file imports textrnn's own files from rows above its own only."""
    for imported in imports_of(FILES[name]):
        if imported.split(".")[0] == "textrnn":
            target = imported.removeprefix("textrnn").strip(".")
            # the version is the one thing that files ask of the package itself
            assert ROW_OF[target] < ROW_OF[name] or (name, target) == ("cli", ""), imported


@pytest.mark.parametrize("name", FILES)
def test_no_import_from_the_enclosing_package(name):
    """No file imports from the __init__ of a package that contains it: cycles come from that."""
    package = name.rpartition(".")[0]
    if package:
        assert f"textrnn.{package}" not in set(imports_of(FILES[name]))


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_the_numpy_side_imports_no_torch(name):
    """What writes text with a saved model does not import torch, nor anything that does."""
    for imported in imports_of(FILES[name]):
        assert imported.split(".")[0] != "torch"
        below = imported.removeprefix("textrnn").strip(".")
        lazy = name in ("cli", "")  # these name the torch side inside functions only
        if imported.startswith("textrnn") and not lazy:
            assert below in WITHOUT_TORCH


@pytest.mark.parametrize("name", FILES)
def test_files_are_short(name):
    """A file that outgrows 350 lines is a station to be redrawn."""
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("name", FILES)
def test_nothing_in_src_can_run_a_file(name):
    """No pickle, no torch.load, no eval or exec; importlib only where names are lazy."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} - {"eval"}
    named |= {imported.split(".")[0] for imported in imports_of(FILES[name])}
    assert "torch.load(" not in FILES[name].read_text(encoding="utf-8")
    allowed = {"importlib"} if name == "" else set()
    assert named & {"pickle", "eval", "exec", "compile_command", "importlib", "marshal"} <= allowed


CODE = {
    f"{name}.{node.name}": node
    for name, path in FILES.items()
    if name.startswith("models.")
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}


@pytest.mark.parametrize("name", CODE)
def test_a_model_class_can_be_read_in_five_minutes(name):
    """A class in models/ has at most 60 lines of code, docstrings and comments left out."""
    for node in ast.walk(CODE[name]):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    assert len(ast.unparse(CODE[name]).splitlines()) <= 60


def test_architecture_page_names_every_file():
    """docs/architecture.md speaks of each file of src by its name."""
    page = (SRC.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [
        path.relative_to(SRC).as_posix()
        for path in FILES.values()
        if path.relative_to(SRC).as_posix() not in page
    ]
    assert missing == []
