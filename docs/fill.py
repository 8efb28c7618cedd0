"""Run the Python blocks of documentation pages and write what they print below them.

    python docs/fill.py [--check] [--data DIR] docs/quickstart.md docs/guide/*.md docs/seeds/*.md

A fenced block of Python that is followed by a fenced block of text gets that filled with what it
printed; --check shows the differences instead and exits with 1 if there are any (seconds and
tokens a second aside). DIR holds nietzsche.txt and the other texts that pages in docs/seeds/ name;
the blocks run in an empty folder into which they are copied. The tests run the same blocks on
short texts, and compare nothing.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.M | re.S)
TIMES = re.compile(r"\d[\d,.]* (s\b|tokens/s)")
SKIP = "<!--- skip: next --->"


def run(code: str, name: str, namespace: dict[str, object]) -> str:
    """Run a block and give what it wrote to standard output and standard error."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        exec(compile(code, name, "exec"), namespace)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def fill(page: Path, data: Path | None) -> tuple[str, str]:
    """Return a page's text, and the same with fresh outputs."""
    text = page.read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    namespace: dict[str, object] = {}
    parts, done, home = [], 0, Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for path in data.rglob("*.txt") if data else ():
            shutil.copy(path, folder)
        os.chdir(folder)
        try:
            for block, after in zip(fences, [*fences[1:], None], strict=True):
                before = text[: block.start()].rstrip()
                if block[1] != "python" or before.endswith(SKIP) or 'exec="on"' in block[2]:
                    continue
                printed = run(
                    block[3], f"{page}:{text[: block.start()].count(chr(10)) + 1}", namespace
                )
                if after and after[1] == "text" and not text[block.end() : after.start()].strip():
                    parts += [text[done : after.start()], f"```text\n{printed}```"]
                    done = after.end()
                elif printed:
                    print(f"{page}: nowhere to write this to:\n{printed}", file=sys.stderr)
        finally:
            os.chdir(home)
    return text, "".join([*parts, text[done:]])


def main() -> int:
    """Fill or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("pages", type=Path, nargs="+")
    args = parser.parse_args()
    os.environ["MPLBACKEND"] = "agg"
    stale = 0
    for page in args.pages:
        before, after = fill(page.absolute(), args.data and args.data.absolute())
        if TIMES.sub("", before) == TIMES.sub("", after):
            continue
        stale = 1
        print(f"{page}: {'differs' if args.check else 'filled'}", flush=True)
        if not args.check:
            page.write_text(after, encoding="utf-8")
    return stale if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
