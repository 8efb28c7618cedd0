"""How much memory does ``fit`` need for a file, and for a token file?

    python benchmarks/memory.py --data DIR [--megabytes 100] [--levels char word]

DIR holds `tinyshakespeare.txt`, which is repeated, with one emoji in it. Each line of the table is
a process of its own. "peak" is the largest resident memory; "fixed" is what the same training needs
for a megabyte of text, PyTorch included; the ratio is that of the rest to the size of the file.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, head, machine, row

from textrnn import TextGenerator
from textrnn.cli import main as textrnn

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def make_file(corpus: bytes, size: int, path: Path) -> None:
    """Write a corpus again and again until a file has this size; an emoji is at its beginning."""
    with path.open("wb") as file:
        left = size - file.write("😀\n".encode())
        while left > 0:
            left -= file.write(corpus[:left])


def in_process(work: str, *args: object) -> dict[str, float]:
    """Return the peak memory in MB and the seconds of work in a new process."""
    command = [sys.executable, __file__, "--data", ".", "--work", work, *map(str, args)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def work(name: str, path: Path, level: str, minutes: float) -> None:
    """Do one piece of work; print the peak memory and the time as JSON."""
    began = time.perf_counter()
    if name == "tokenize":
        textrnn(["tokenize", str(path), "-o", f"{path}.{level}.bin", "--level", level])
    else:
        TextGenerator(level=level, seed=0).fit(path, minutes=minutes, verbose=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 1e6
    print(json.dumps({"peak": peak, "seconds": time.perf_counter() - began}))


def measure(
    folder: Path, corpus: bytes, sizes: list[int], levels: list[str], minutes: float
) -> None:
    """Print the table."""
    head("work", "level", "file, MB", "peak, MB", "(peak - fixed) / file", "seconds")
    fixed: dict[str, float] = {}
    for size in (1, *sizes):
        path = folder / f"{size}.txt"
        make_file(corpus, size * 1_000_000, path)
        for level in levels:
            tokens = folder / f"{path.name}.{level}.bin"
            works = {"fit": path, "tokenize": path, "fit, token file": tokens}
            for name, file in works.items():
                found = in_process(name.split(",")[0], file, level, minutes)
                base = fixed.setdefault(f"{name} {level}", found["peak"])
                ratio = "" if size == 1 else f"{(found['peak'] - base) / size:.2f}"
                row(name, level, size, f"{found['peak']:,.0f}", ratio, f"{found['seconds']:.0f}")


def main() -> None:
    """Print the table, or do one piece of work in a process of its own."""
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100])
    parser.add_argument("--levels", nargs="+", default=["char", "word"])
    parser.add_argument("--minutes", type=float, default=0.05)
    parser.add_argument("--work", nargs=4, help="for a process of its own")
    args = parser.parse_args()
    if args.work:
        name, path, level, minutes = args.work
        work(name, Path(path), level, float(minutes))
        return
    print(machine())
    corpus = (args.data / "tinyshakespeare.txt").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), corpus, args.megabytes, args.levels, args.minutes)


if __name__ == "__main__":
    main()
