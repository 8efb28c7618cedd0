"""How fast is text written, alone, 32 at once, from a cold start and by several threads?

    python benchmarks/generation.py [--sizes 128 256 512 1024] [--quick]

LSTMs of one and two layers over 65 tokens, with the random weights they begin with: how long a
step takes does not depend on them. Each is compared in the same process, in turns, with a plain
PyTorch loop (an embedding, nn.LSTM called for one step at a time with the state carried, softmax,
multinomial), as it is and with `torch.backends.mkldnn` off, because oneDNN's LSTM is slow at single
steps; and with the bound: what NumPy needs for the bare products of a vector and a matrix of one
step. Speeds and ratios are medians of five turns, each of about 0.2 s (three of 0.05 s with
--quick) and of 20 characters at least; 32 texts begin with one step for all, so that theirs is up
to a twentieth too high. The ways of computing a step are compared by their CPU time, on one
thread. Machines differ and are busy: read the ratios.
"""

import itertools
import math
import os
import statistics
import string
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import PlainLSTM, arguments, head, in_turns, machine, plain_write, ratio, row

from textrnn import LSTMModel, TextGenerator, Vocab
from textrnn.datasets import load_human_numbers
from textrnn.generation.native.library import backend_name, load_kernel
from textrnn.generation.native.precision import accelerated
from textrnn.generation.sampler import Sampler
from textrnn.generation.steppers import STEPPERS
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import build, make_stepper

SYMBOLS = string.ascii_letters + string.digits + "\n ."
Work = Callable[[int], object]  # writes so many characters, in each stream

AFTERWARDS = """
import sys
from pathlib import Path
status = Path("/proc/self/status")  # Linux; ru_maxrss would count the process that started this
peak = status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else "nan"
print("torch" in sys.modules, "|", round(float(peak) / 1024), end="")
"""
THREADS = """
import statistics, sys, time
from concurrent.futures import ThreadPoolExecutor
from textrnn import LSTMModel, Sampler, Vocab
from textrnn.models.registry import make_stepper

size, turns, symbols = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sampler = Sampler(Vocab.from_text(symbols), make_stepper(LSTMModel(65, hidden_size=size)))
speeds = {1: [], 8: []}
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda _: sampler.generate("", 30), range(8)))
    for _ in range(turns):
        for threads in speeds:
            began = time.perf_counter()
            list(pool.map(lambda _: sampler.generate("", 300), range(threads)))
            speeds[threads].append(threads * 300 / (time.perf_counter() - began))
ratio = statistics.median(b / a for a, b in zip(*speeds.values()))
print(statistics.median(speeds[1]), statistics.median(speeds[8]), ratio)
"""


def speeds(works: dict[str, Work], turns: int, seconds: float) -> dict[str, list[float]]:
    """Return the characters a second of each work in each turn, for one stream.

    A work does as many characters a turn as take it about ``seconds``, but at least 20.
    """
    counts = {}
    for name, work in works.items():
        work(2)
        began = time.perf_counter()
        work(8)
        counts[name] = max(20, int(8 * seconds / (time.perf_counter() - began)))
    times = in_turns({name: partial(work, counts[name]) for name, work in works.items()}, turns)
    return {name: [counts[name] / second for second in times[name]] for name in works}


def plain(model: PlainLSTM, texts: int, onednn: bool) -> Work:
    """Return the loop of the tutorials, with oneDNN or without."""

    @torch.backends.mkldnn.flags(enabled=onednn)
    def work(n: int) -> object:
        return plain_write(model, n, texts)

    return work


def bound(size: int, layers: int) -> Work:
    """Return the bare products of a vector and a matrix of each step, and nothing else."""
    rng = np.random.default_rng(0)
    shapes = [(size, 4 * size)] + [(2 * size, 4 * size)] * (layers - 1) + [(size, len(SYMBOLS))]
    pairs = [[rng.random(shape, np.float32) for shape in (s[0], s)] for s in shapes]

    def work(n: int) -> None:
        for _ in range(n):
            for vector, matrix in pairs:
                vector @ matrix

    return work


def texts(sizes: list[int], turns: int, seconds: float) -> None:
    """Print the speed of one text, and then of 32 at once, with and without a seed."""
    columns = "LSTM, char/s, us/char, plain PyTorch char/s, ours / plain, without oneDNN char/s"
    columns += ", ours / that, bound us/char, ours / bound (time)"
    head(*columns.split(", "), title="One text, random weights, 65 tokens")
    vocab, rows = Vocab.from_text(SYMBOLS), []
    for size, layers in itertools.product(sizes, (1, 2)):
        model = LSTMModel(len(SYMBOLS), hidden_size=size, num_layers=layers)
        other = PlainLSTM(len(SYMBOLS), size, layers)
        write = Sampler(vocab, make_stepper(model)).generate
        works: dict[str, Work] = {
            "one": partial(write, ""),
            "plain": plain(other, 1, True),
            "other": plain(other, 1, False),
            "bound": bound(size, layers),
            "free": partial(write, "", num_return_sequences=32),
            "seeded": partial(write, "", num_return_sequences=32, seed=0),
            "plain 32": plain(other, 32, True),
            "other 32": plain(other, 32, False),
        }
        got = speeds(works, turns, seconds)
        for name in ("free", "seeded", "plain 32", "other 32"):
            got[name] = [32 * speed for speed in got[name]]
        mid = {name: f"{statistics.median(values):,.0f}" for name, values in got.items()}
        cost = {name: f"{1e6 / statistics.median(values):,.0f}" for name, values in got.items()}
        row(
            *(f"{layers}x{size}", mid["one"], cost["one"]),
            *(mid["plain"], f"{ratio(got['one'], got['plain']):.2f}"),
            *(mid["other"], f"{ratio(got['one'], got['other']):.2f}"),
            *(cost["bound"], f"{ratio(got['bound'], got['one']):.2f}"),
        )
        pairs = [("free", "one"), ("seeded", "one"), ("free", "plain 32"), ("free", "other 32")]
        free, seeded, beside, without = (f"{ratio(got[a], got[b]):.2f}" for a, b in pairs)
        ours = mid["free"], free, mid["seeded"], seeded
        theirs = mid["plain 32"], beside, mid["other 32"], without
        rows.append((f"{layers}x{size}", mid["one"], *ours, *theirs))
    columns = "LSTM, one text, no seed, / one, seed=0, / one, plain PyTorch, no seed / plain"
    columns += ", without oneDNN, no seed / that"
    title = "32 texts at once, the same models and turns, char/s of all"
    head(*columns.split(", "), title=title)
    for cells in rows:
        row(*cells)


def backends(turns: int, characters: int) -> None:
    """Print the CPU time a character of each way to compute a step, of one text and of 32."""
    torch.set_num_threads(1)
    vocab, size = Vocab.from_text(SYMBOLS), 256
    plain_lstm = PlainLSTM(len(SYMBOLS), size, 2)
    for kind in ("lstm", "gru", "rnn"):
        model = build(kind, len(SYMBOLS), {"hidden_size": size, "num_layers": 2}, seed=0)
        numpy_stepper = STEPPERS[kind](model.config, state_arrays(model))
        steppers: dict[str, Any] = {"NumPy": numpy_stepper}
        if load_kernel() is not None:
            steppers["kernel, float32"] = accelerated(numpy_stepper)
            steppers["kernel, int8"] = accelerated(numpy_stepper, "int8")
        works: dict[tuple[str, int], Callable[[], object]] = {}
        for name, stepper in steppers.items():
            write = partial(Sampler(vocab, stepper).generate, "")
            works[name, 1] = partial(write, characters)
            works[name, 32] = partial(write, characters // 32, num_return_sequences=32)
        works["plain PyTorch", 1] = partial(plain_write, plain_lstm, characters)
        spent = in_turns(works, turns, time.process_time)
        columns = "step", "us/char", "NumPy / this", "plain LSTM / this", "32 texts us/char"
        head(*columns, title=f"CPU time on one thread, {kind} 2x{size}, {backend_name(kind)}")
        for name in [*steppers, "plain PyTorch"]:
            one = spent[name, 1]
            many = spent.get((name, 32), [math.nan])
            row(
                *(name, f"{1e6 * statistics.median(one) / characters:.1f}"),
                *(f"{ratio(spent[of, 1], one):.2f}" for of in ("NumPy", "plain PyTorch")),
                f"{1e6 * statistics.median(many) / (characters // 32 * 32):.1f}",
            )


def start(turns: int) -> None:
    """Print the seconds and the memory of processes that write one character, or only import."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "m.safetensors"))
        gen = TextGenerator("lstm", hidden_size=64, seed=0)
        gen.fit(load_human_numbers(1, 500), epochs=1, verbose=0)
        gen.save(path)
        load = f"from textrnn import load_sampler as load; load({path!r}).generate('x', 1)"
        processes = {
            "textrnn generate MODEL x -n 1": ["-m", "textrnn", "generate", path, "x", "-n", "1"],
            "load_sampler, generate": ["-c", load],
            "import torch": ["-c", "import torch"],
            "import numpy": ["-c", "import numpy"],
        }

        def run(arguments: list[str]) -> object:
            return subprocess.run([sys.executable, *arguments], capture_output=True, check=True)

        times = in_turns({name: partial(run, line) for name, line in processes.items()}, turns)
        columns = "process", "seconds", "/ import torch", "imported torch", "peak MiB"
        head(*columns, title=f"A whole process from its start, LSTM 1x64, median of {turns}")
        for name, (option, code, *_) in processes.items():
            seen = ["", ""]
            if option == "-c":
                line = [sys.executable, "-c", code + "\n" + AFTERWARDS]
                out = subprocess.run(line, capture_output=True, text=True, check=True).stdout
                seen = out.split(" | ")
            took, part = statistics.median(times[name]), ratio(times[name], times["import torch"])
            row(name, f"{took:.2f}", f"{part:.2f}", *seen)


def threads(sizes: list[int], turns: int) -> None:
    """Print what eight threads write through one sampler, beside one thread."""
    columns = "LSTM", "OPENBLAS_NUM_THREADS", "1 thread", "8 threads", "8 threads / 1"
    head(*columns, title="300 characters a thread through one Sampler, char/s of all")
    for size in sizes:
        for value in ("1", "unset"):
            env = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
            env |= {"OPENBLAS_NUM_THREADS": "1"} if value == "1" else {}
            line = [sys.executable, "-c", THREADS, str(size), str(turns), SYMBOLS]
            out = subprocess.run(line, env=env, capture_output=True, text=True, check=True).stdout
            one, eight, times = map(float, out.split())
            row(f"1x{size}", value, f"{one:,.0f}", f"{eight:,.0f}", f"{times:.2f}")


def main() -> None:
    """Print all of it."""
    parser = arguments(__doc__, data=False)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--quick", action="store_true", help="three short turns instead of five")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "TF32 acceleration")  # says mkldnn.flags, of Intel's GPUs
    turns, seconds = (3, 0.05) if args.quick else (5, 0.2)
    blas = os.environ.get("OPENBLAS_NUM_THREADS", "unset")
    print(f"{machine()}; OPENBLAS_NUM_THREADS {blas}")
    backends(2 * turns - 1, 500 if args.quick else 2000)
    texts(args.sizes, turns, seconds)
    start(3 if args.quick else 7)
    threads(sorted({min(args.sizes), max(args.sizes)}), 3)


if __name__ == "__main__":
    main()
