"""The house stands: packages are an order, and each imports only from those above its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import textrnn

SRC = Path(textrnn.__file__).parent

# From the ground up. A file imports from its own package, and from packages that stand before it.
ORDER = [
    "errors", "checks", "history", "files", "text", "datasets", "generation", "models",
    "evaluation", "callbacks", "training", "inspection", "generator", "cli", "", "__main__",
]  # fmt: skip
VERSION = {("cli", ""), ("callbacks", "")}  # what files ask of textrnn itself
WITHOUT_TORCH = [*ORDER[:7], "callbacks", "cli", ""]


def name_of(path):
    """Return a file's module name below textrnn; "" is textrnn itself."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix("__init__").strip(".")


FILES = {name_of(path): path for path in SRC.rglob("*.py")}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imports_of(name):
    """Return every module that a file imports anywhere, lazily or for type checkers too."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; name the module in full"
            for alias in node.names:
                below = f"{node.module}.{alias.name}".removeprefix("textrnn.")
                found.add(f"{node.module}.{alias.name}" if below in FILES else node.module)
    return found


def own_imports_of(name):
    """Return the modules of textrnn that a file imports, without the leading name."""
    return {
        module.removeprefix("textrnn").strip(".")
        for module in imports_of(name)
        if module.split(".")[0] == "textrnn"
    }


def package_of(module):
    """Return the entry of ORDER that a module belongs to."""
    return module.split(".")[0]


def test_every_package_has_a_place():
    """ORDER names what stands at the top level of src, each once, and nothing else."""
    assert sorted(ORDER) == sorted({package_of(name) for name in FILES})


def test_packages_import_only_from_those_before_them():
    """No arrow points up; the version is the one thing that files ask of textrnn itself."""
    rank = {package: i for i, package in enumerate(ORDER)}
    upward = [
        f"{name} imports {module}"
        for name in FILES
        for module in own_imports_of(name)
        if rank[package_of(module)] > rank[package_of(name)]
        and (package_of(name), module) not in VERSION
    ]
    assert upward == []


def test_no_import_cycle():
    """Files in one package form no cycle either, lazy imports included."""
    open_, done = set(), set()

    def visit(name, path):
        if name in done or name not in FILES:
            return
        assert name not in open_, f"a cycle: {' > '.join([*path, name])}"
        open_.add(name)
        for module in own_imports_of(name) - {""}:
            visit(module, [*path, name])
        open_.remove(name)
        done.add(name)

    for name in FILES:
        visit(name, [])
    assert len(done) == len(FILES)


def test_no_import_from_the_enclosing_package():
    """No file imports from the __init__ of a package that contains it: cycles come from that."""
    odd = [name for name in FILES if name.rpartition(".")[0] in own_imports_of(name) - {""}]
    assert odd == []


@pytest.mark.slow
@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_importing_a_package_imports_no_torch(package):
    """Each file of these packages can be imported where torch is not wanted."""
    own = [name for name in FILES if package_of(name) == package]
    names = [f"textrnn.{name}".strip(".") for name in own]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_files_are_short():
    """A file that outgrows 350 lines is a station to be redrawn."""
    long = {n: len(p.read_text(encoding="utf-8").splitlines()) for n, p in FILES.items()}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}


@pytest.mark.parametrize("name", FILES)
def test_nothing_in_src_can_run_a_file(name):
    """No pickle, no torch.load, no eval or exec; importlib only where names are lazy."""
    nodes = list(ast.walk(TREES[name]))
    named = {node.id for node in nodes if isinstance(node, ast.Name)}
    named |= {node.attr for node in nodes if isinstance(node, ast.Attribute)} - {"eval"}
    named |= {imported.split(".")[0] for imported in imports_of(name)}
    assert "torch.load(" not in FILES[name].read_text(encoding="utf-8")
    allowed = {"importlib"} if name == "" else set()
    assert named & {"pickle", "eval", "exec", "compile_command", "importlib", "marshal"} <= allowed


CLASSES = {
    f"{name}.{node.name}": node
    for name, tree in TREES.items()
    if name.startswith("models.")
    for node in tree.body
    if isinstance(node, ast.ClassDef)
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_model_class_can_be_read_in_five_minutes(name):
    """A class in models/ has at most 60 lines of code, docstrings and comments left out."""
    tree = ast.parse(ast.unparse(CLASSES[name]))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    assert len(ast.unparse(tree).splitlines()) <= 60


def test_architecture_page_names_every_package():
    """docs/architecture.md speaks of each package and each file at the top level by its name."""
    page = (SRC.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {path.relative_to(SRC).parts[0] for path in FILES.values()}
    shown = {name: f"`{name}`" if name.endswith(".py") else f"`{name}/`" for name in names}
    assert [name for name in names if shown[name] not in page] == []
