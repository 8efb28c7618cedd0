"""How far a batch and a character travel through the library, and how much a reader has to hold.

    python benchmarks/calls.py
    PYTHONPATH=/other/checkout/src python benchmarks/calls.py    # another version, to compare

Counted are, with `sys.setprofile`, the calls of Python functions in textrnn's own files (the
resumption of a generator is one), the files that they enter, and the changes from file to file;
calls into PyTorch and NumPy are not. The second part is read from the source: the longest
parameter lists, annotations that say `Any`, the rooms (modules and packages) at the top level,
and the arrows between them, one for each room that another one imports. Only public names are
used, so that every version since 8682512 can be measured. Which files a new tokenizer, a new cell
and a new picture touch cannot be counted: CONTRIBUTING.md walks through them.
"""

import ast
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import textrnn
from textrnn import Callback, TextGenerator, load_sampler
from textrnn.datasets import load_human_numbers

HOME = Path(textrnn.__file__).parent
INLINE = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}  # not called by name
TEXT = load_human_numbers(1, 900)


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Yield a list that grows by the file of each textrnn function that is called."""
    files: list[str] = []
    home = f"{HOME}/"

    def record(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(home) and code.co_name not in INLINE:
            files.append(code.co_filename.removeprefix(home))

    sys.setprofile(record)
    try:
        yield files
    finally:
        sys.setprofile(None)


def calls(work: Callable[[], object]) -> list[str]:
    """Return the files that a piece of work enters, in order."""
    with recorded() as files:
        work()
    return files


def row(what: str, files: list[str]) -> str:
    """Return a line of the table."""
    changes = sum(a != b for a, b in pairwise(files))
    return f"| {what} | {len(files)} | {len(set(files))} | {changes} |"


class Marks(Callback):
    """Notes how many calls there were at the beginning of each batch, and at its end."""

    def __init__(self, files: list[str]) -> None:
        super().__init__()
        self.files = files
        self.begins: list[int] = []
        self.ends: list[int] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Note the beginning."""
        self.begins.append(len(self.files))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note the end."""
        self.ends.append(len(self.files))


def training() -> Iterator[str]:
    """Yield the rows of a training."""
    gen = TextGenerator("lstm", hidden_size=32, seed=0, device="cpu")
    with recorded() as files:
        marks = Marks(files)
        gen.fit(TEXT, epochs=1, batch_size=8, seq_len=32, verbose=0, callbacks=[marks])
    batches = [files[a:b] for a, b in pairwise(marks.ends)]
    typical = median(map(len, batches))
    yield row("`fit(text)` until its first step", files[: marks.begins[0]])
    yield row("one training batch (median)", min(batches, key=lambda b: abs(len(b) - typical)))


def generation() -> Iterator[str]:
    """Yield the rows of a character, and of the first one."""
    gen = TextGenerator("lstm", hidden_size=32, seed=0, device="cpu")
    gen.fit(TEXT, epochs=1, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        gen.save(Path(folder, "model"))
        sampler = load_sampler(Path(folder, "model"))
    for writer in (sampler, gen):
        write = writer.generate
        write("one", 1, seed=0)  # what is made once is made now
        first = calls(lambda write=write: write("one", 1, seed=0))  # type: ignore[misc]
        yield row(f"the first character, `{type(writer).__name__}`", first)
    pieces = sampler.stream("one", 50, seed=0)
    for _ in range(20):
        next(pieces)
    yield row("one more character of a stream", calls(lambda: next(pieces)))


def trees() -> dict[str, ast.Module]:
    """Return each source file, by its name."""
    paths = sorted(HOME.rglob("*.py"))
    return {str(p.relative_to(HOME)): ast.parse(p.read_text(encoding="utf-8")) for p in paths}


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """Return the parameters that a caller may pass."""
    a = function.args
    found = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return [x for x in found if x.arg not in ("self", "cls")]


def functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield all functions with their names, methods with that of their class."""
    for node in ast.iter_child_nodes(tree):
        name = f"{owner}{getattr(node, 'name', '')}"
        if isinstance(node, ast.FunctionDef):
            yield name, node
        inside = isinstance(node, ast.FunctionDef | ast.ClassDef)
        yield from functions(node, f"{name}." if inside else owner)


def imported(file: str, tree: ast.Module) -> set[str]:
    """Return the rooms that a file imports from, its own aside."""
    rooms = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "textrnn":
                names = [f"textrnn.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("textrnn.")}
    return {room for room in rooms if (HOME / room).is_dir() or (HOME / f"{room}.py").exists()}


def source() -> Iterator[str]:
    """Yield the rows about the source."""
    files = trees()
    found = [(file, *item) for file, tree in files.items() for item in functions(tree)]
    longest = sorted(found, key=lambda item: -len(parameters(item[2])))[:3]
    names = ", ".join(f"`{name}` {len(parameters(node))}" for _, name, node in longest)
    yield f"| longest parameter lists | {names} |"
    notes = [
        annotation
        for _, _, node in found
        for annotation in [*(x.annotation for x in parameters(node)), node.returns]
        if annotation is not None
    ]
    loose = sum(any(isinstance(n, ast.Name) and n.id == "Any" for n in ast.walk(a)) for a in notes)
    yield f"| annotations of signatures that hold `Any` | {loose} of {len(notes)} |"
    hidden = {"__init__", "__main__"}
    room_of = {file: file.split("/")[0].removesuffix(".py") for file in files}
    rooms = set(room_of.values()) - hidden
    arrows = {
        (room_of[file], room)
        for file, tree in files.items()
        for room in imported(file, tree) - {room_of[file]}
        if room_of[file] not in hidden
    }
    yield f"| rooms at the top level | {len(rooms)} |"
    yield f"| arrows between them | {len(arrows)} |"
    yield f"| files | {len(files)} |"


def main() -> None:
    """Print both tables."""
    print("| what | calls | files | changes of file |\n|---|---|---|---|")
    print(*training(), *generation(), sep="\n")
    print("\n| source | |\n|---|---|")
    print(*source(), sep="\n")


if __name__ == "__main__":
    main()
