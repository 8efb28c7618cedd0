"""Run the blocks of documentation pages and write what they print below them.

    python docs/fill.py [--check] [--data DIR] docs/quickstart.md docs/guide/*.md docs/seeds/*.md

The blocks of a page run in order, in a folder of its own, which is empty but for the texts of
DIR (nietzsche.txt and the others that pages in docs/seeds/ name). Two kinds are run:

- A fenced block of ``python``. A fenced block of ``text`` below it gets what it printed.
- In a fenced block of ``console`` each line that begins with ``$``, in bash. The lines below it
  become what it printed. A block without such lines is not run.

What pages show is the same on every x86-64 processor with AVX2: computed on one thread, in float32,
with NumPy and AVX2, without a GPU or the native kernel. Other numbers are marked by their unit: a
number before `` s`` or `` tokens/s`` is a measurement of the machine that filled the page.
``--check`` writes nothing, compares everything but those numbers, shows the differences, and exits
with 1 if there are any.

The tests run the Python blocks too, on short texts, and compare nothing.
"""

import argparse
import contextlib
import difflib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path
from unittest import mock

FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.M | re.S)
MEASURED = re.compile(r"\d[\d,.]*(?= (?:s|tokens/s)\b)")
SKIP = "<!--- skip: next --->"
SAME_EVERYWHERE = {
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "TEXTRNN_NATIVE": "0",
    "COLUMNS": "80",
    "MPLBACKEND": "agg",
}
COMMAND = f"""#!{sys.executable}
import sys
from textrnn.cli import main

if sys.argv[1:2] == ["train"]:
    from textrnn.training import device

    assert device._cpu_precision
    device._cpu_precision = lambda: "float32"
sys.exit(main())
"""


def tidy(written: str) -> str:
    """Return lines without spaces at their ends."""
    return "".join(f"{line.rstrip()}\n" for line in written.splitlines())


def run_python(code: str, name: str, namespace: dict[str, object]) -> str:
    """Run a block and return what it wrote to standard output and standard error."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        exec(compile(code, name, "exec"), namespace)
    return tidy(written.getvalue())


def run_console(block: str) -> str:
    """Run the commands of a block and return it with what they wrote."""
    lines = []
    for line in block.splitlines():
        if line.startswith("$ "):
            command = ["bash", "-c", line[2:]]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode == 127:
                sys.exit(f"There is no such command: {line}")
            lines += [line, tidy(done.stdout.decode())[:-1]]
    return "".join(f"{line}\n" for line in lines if line)


def fill(page: Path) -> tuple[str, str]:
    """Return a page's text, and the same with fresh outputs."""
    text = page.read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    namespace: dict[str, object] = {}
    parts, done = [], 0
    for block, after in zip_longest(fences, fences[1:]):
        before = text[: block.start()].rstrip()
        if before.endswith(SKIP):
            continue
        if block[1] == "console" and re.search(r"^\$ ", block[3], re.M):
            parts += [text[done : block.start(3)], run_console(block[3]), "```"]
            done = block.end()
        if block[1] == "python" and 'exec="on"' not in block[2]:
            line = text[: block.start()].count("\n") + 1
            printed = run_python(block[3], f"{page}:{line}", namespace)
            if after and after[1] == "text" and not text[block.end() : after.start()].strip():
                parts += [text[done : after.start()], f"```text\n{printed}```"]
                done = after.end()
            elif printed:
                print(f"{page}: nowhere to write this to:\n{printed}", file=sys.stderr)
    return text, "".join([*parts, text[done:]])


def in_own_folder(page: Path, data: Path | None) -> tuple[str, str]:
    """Fill a page in a folder of its own, with a ``textrnn`` that computes in float32."""
    from textrnn.training import device

    python = str(Path(sys.executable).parent)
    with (
        tempfile.TemporaryDirectory() as commands,
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, PATH=os.pathsep.join([commands, python, os.environ["PATH"]])),
        mock.patch.object(device, "_cpu_precision", return_value="float32"),
    ):
        command = Path(commands, "textrnn")
        command.write_text(COMMAND)
        command.chmod(0o755)
        for path in data.rglob("*.txt") if data else ():
            shutil.copy(path, folder)
        return fill(page)


def differences(before: str, after: str) -> str:
    """Return what differs, as a diff, but for measurements."""
    old, new = (MEASURED.sub("…", text).splitlines(keepends=True) for text in (before, after))
    return "".join(difflib.unified_diff(old, new, "as it stands", "as it is run", n=1))


def main() -> int:
    """Fill or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("pages", type=Path, nargs="+")
    args = parser.parse_args()
    if not os.environ.items() >= SAME_EVERYWHERE.items():  # libraries read it when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **SAME_EVERYWHERE})
    stale = 0
    for page in args.pages:
        before, after = in_own_folder(page.absolute(), args.data and args.data.absolute())
        if not (difference := differences(before, after)):
            continue
        stale = 1
        print(f"{page}: {'differs' if args.check else 'filled'}", flush=True)
        if args.check:
            print(difference, flush=True)
        else:
            page.write_text(after, encoding="utf-8")
    return stale if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
