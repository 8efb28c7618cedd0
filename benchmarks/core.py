"""What the core costs and reaches: encoding, batching, training, the same file elsewhere.

    python benchmarks/core.py --data DIR [--minutes 2]

DIR holds tinyshakespeare.txt and, if there is one, any text that is not ASCII as nonlatin/*.txt.
Speeds are medians of five; training is compared with a plain PyTorch loop in the same process,
in turns. Machines differ and are busy: read the ratios.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from textrnn import ContiguousBatcher, LSTMModel, TextGenerator, Trainer, Vocab
from textrnn.evaluation.scoring import ngram_baseline
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan


def seconds(work: Callable[[], object]) -> float:
    """Return the median wall time of five runs."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def encoding(path: Path) -> None:
    """Print how fast a text is encoded, as UTF-8 bytes."""
    text = path.read_text(encoding="utf-8")
    text *= 1 + 20_000_000 // len(text)
    size = len(text.encode()) / 1e6
    vocab = Vocab.from_text(text)
    stoi = vocab.stoi
    fast = size / seconds(lambda: vocab.encode(text))
    part = text[: len(text) // 10]
    slow = size / 10 / seconds(lambda: np.array([stoi[c] for c in part], dtype=np.uint16))
    print(f"encode {path.name:<26}{fast:>8.0f} MB/s   a dict per character {slow:>5.1f} MB/s")


def batching() -> None:
    """Print what a batch costs."""
    batcher = ContiguousBatcher(np.zeros(2_000_000, np.uint8), batch_size=32, seq_len=64)
    cost = seconds(lambda: sum(1 for _ in batcher)) / len(batcher)
    print(f"one batch of 32 x 64 {cost * 1e6:>17.1f} us")


def plain_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, ids: torch.Tensor) -> None:
    """Train one epoch the way a tutorial does it: batch 32, sequence 64, clip 1."""
    rows = ids[: len(ids) // 32 * 32].view(32, -1)
    state = None
    for start in range(0, rows.shape[1] - 1, 64):
        x = rows[:, start : start + 64][:, : rows.shape[1] - 1 - start]
        y = rows[:, start + 1 : start + 65]
        logits, state = model(x, state)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple((h.detach(), c.detach()) for h, c in state)


def throughput(text: str, precision: str) -> None:
    """Print tokens per CPU-second through Trainer.fit beside the plain loop, same model.

    The plain loop computes in float32.
    """
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text[:200_000])
    wide = torch.from_numpy(ids).long()
    ratios, speeds = [], []
    for turn in range(5):
        models = [LSTMModel(len(vocab), hidden_size=256) for _ in range(2)]
        trainer = Trainer(models[0], OptimizerConfig(learning_rate=2e-3, precision=precision))
        adam = torch.optim.Adam(models[1].parameters(), lr=2e-3)
        jobs: list[Callable[[], object]] = [
            lambda t=trainer: t.fit(ids, Plan(epochs=1, batch_size=32, seq_len=64)),  # type: ignore[misc]
            lambda m=models[1], a=adam: plain_epoch(m, a, wide),  # type: ignore[misc]
        ]
        cost = {}
        for i in (0, 1) if turn % 2 else (1, 0):
            began = time.process_time()
            jobs[i]()
            cost[i] = time.process_time() - began
        ratios.append(cost[1] / cost[0])
        speeds.append(len(ids) / cost[0])
    print(
        f"training, LSTM 1x256, {precision:<8} {statistics.median(speeds):>7,.0f} tokens/CPU-s "
        f"through fit, "
        f"{statistics.median(ratios):.2f} of the plain loop "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def learning(path: Path, minutes: float) -> None:
    """Print what the defaults reach in a time, and that the saved file reaches it too."""
    text = path.read_text(encoding="utf-8")
    wall, cpu = time.perf_counter(), time.process_time()
    gen = TextGenerator(seed=0)
    history = gen.fit(path, minutes=minutes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loss = history.history["val_loss"][-1]
    vocab = gen.vocab
    assert vocab is not None
    cut = int(len(text) * 0.9)
    order, floor = ngram_baseline(vocab.encode(text[:cut]), vocab.encode(text[cut:]), len(vocab))
    print(f"fit(minutes={minutes:g}) took {wall:.1f} s wall, {cpu:.1f} CPU-s")
    print(f"val_loss {loss:.4f} nats per character; best n-gram (order {order}) {floor:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        model, tail = Path(folder, "m.safetensors"), Path(folder, "tail.txt")
        gen.save(model)
        tail.write_text(text[cut:], encoding="utf-8")
        code = (
            "import sys; from pathlib import Path; from textrnn import TextGenerator\n"
            "gen = TextGenerator.load(sys.argv[1])\n"
            "print(gen.evaluate(Path(sys.argv[2]))['loss'])\n"
            "print(gen.generate('ROMEO:', 300, seed=7), end='')"
        )
        run = [sys.executable, "-c", code, str(model), str(tail)]
        out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    other, _, sample = out.partition("\n")
    same = sample == gen.generate("ROMEO:", 300, seed=7)
    print(f"another process: loss differs by {abs(float(other) - loss):.1e}, same text: {same}")
    print(f"\n{sample}")


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=2.0)
    args = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}\n"
    )
    shakespeare = args.data / "tinyshakespeare.txt"
    for path in [shakespeare, *sorted(args.data.glob("nonlatin/*.txt"))]:
        encoding(path)
    batching()
    for precision in ("float32", "auto"):
        throughput(shakespeare.read_text(encoding="utf-8"), precision)
    learning(shakespeare, args.minutes)


if __name__ == "__main__":
    main()
