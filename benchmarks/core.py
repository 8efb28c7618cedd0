"""What the core costs and reaches: encoding, batching, training, the same file elsewhere.

    python benchmarks/core.py --data DIR [--minutes 2]

DIR holds tinyshakespeare.txt and, if there is one, any text that is not ASCII as nonlatin/*.txt.
Speeds are medians of five; training is compared with a plain PyTorch loop in the same process,
in turns. Machines differ and are busy: read the ratios.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import arguments, in_turns, machine, plain_epoch

from textrnn import ContiguousBatcher, LSTMModel, TextGenerator, Trainer, Vocab
from textrnn.evaluation import ngram_baseline
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan


def seconds(work: Callable[[], object]) -> float:
    """Return the median wall time of five runs."""
    return statistics.median(in_turns({"work": work})["work"])


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


def throughput(text: str, precision: str) -> None:
    """Print tokens per CPU-second through Trainer.fit beside the plain loop, same model.

    The plain loop computes in float32.
    """
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text[:200_000])
    wide = torch.from_numpy(ids).long()

    def ours() -> None:
        model = LSTMModel(len(vocab), hidden_size=256)
        trainer = Trainer(model, OptimizerConfig(learning_rate=2e-3, precision=precision))
        trainer.fit(ids, Plan(epochs=1, batch_size=32, seq_len=64))

    def theirs() -> None:
        model = LSTMModel(len(vocab), hidden_size=256)
        adam = torch.optim.Adam(model.parameters(), lr=2e-3)
        for _ in plain_epoch(model, adam, wide):
            pass

    cost = in_turns({"fit": ours, "plain": theirs}, clock=time.process_time)
    ratios = [plain / fit for plain, fit in zip(cost["plain"], cost["fit"], strict=True)]
    speed = len(ids) / statistics.median(cost["fit"])
    print(
        f"training, LSTM 1x256, {precision:<8} {speed:>7,.0f} tokens/CPU-s through fit, "
        f"{statistics.median(ratios):.2f} of the plain loop "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def learning(path: Path, minutes: float) -> None:
    """Print what the defaults reach in a time, and that the saved file reaches it too."""
    text = path.read_text(encoding="utf-8")
    wall, cpu = time.perf_counter(), time.process_time()
    gen = TextGenerator("lstm", seed=0)
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
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    args = parser.parse_args()
    print(f"{machine()}\n")
    shakespeare = args.data / "tinyshakespeare.txt"
    for path in [shakespeare, *sorted(args.data.glob("nonlatin/*.txt"))]:
        encoding(path)
    batching()
    for precision in ("float32", "auto"):
        throughput(shakespeare.read_text(encoding="utf-8"), precision)
    learning(shakespeare, args.minutes)


if __name__ == "__main__":
    main()
