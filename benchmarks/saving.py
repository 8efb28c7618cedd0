"""What do a save and a backup cost?

    python benchmarks/model_file.py [--megabytes 10] [--turns 15]

A save is compared in turns with `safetensors.numpy.save_file` and an fsync of the file, in the same
folder; what ours does besides are the digests, the fsync of the folder and the rename. A backup is
timed in the training of an LSTM of 512 (with AdamW's moments, the best weights and the state of 32
rows) and put beside the 30 seconds that may pass between two.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

from textrnn import BackupAndRestore, KeepBestWeights, Trainer
from textrnn.files import model_file
from textrnn.models.registry import build
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan


def saves(megabytes: float, turns: int, folder: Path) -> None:
    """Print the seconds of our save and of theirs, in turns, and the ratios."""
    rng = np.random.default_rng(0)
    size = int(megabytes * 250_000 / 8)
    tensors = {f"layers.{i}": rng.random(size, np.float32) for i in range(8)}
    times: dict[str, list[float]] = {"ours": [], "theirs": []}

    def theirs() -> None:
        safetensors.numpy.save_file(tensors, folder / "theirs")
        with (folder / "theirs").open("rb") as file:
            os.fsync(file.fileno())

    works = {"ours": lambda: model_file.save(folder / "ours", {"a": 1}, tensors), "theirs": theirs}
    for turn in range(turns + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(times["ours"], times["theirs"], strict=True)]
    print(f"| save of {megabytes:g} MB | seconds | ratio |\n|---|---|---|")
    ours, theirs_ = (statistics.median(values) for values in times.values())
    print(f"| textrnn | {ours:.4f} | {statistics.median(ratios):.2f} |")
    print(f"| safetensors save_file and fsync | {theirs_:.4f} | 1 |\n")


def backups(turns: int, folder: Path) -> None:
    """Print the seconds of a backup, and which part of 30 seconds they are."""
    times: list[float] = []

    class Timed(BackupAndRestore):
        """Times all of it, from the question whether it is due to the last byte."""

        def due(self, steps: int | None) -> bool:
            self.began = time.perf_counter()
            return steps is not None and steps > 0

        def write(self, *args: object) -> None:
            super().write(*args)
            times.append(time.perf_counter() - self.began)

    ids = np.random.default_rng(0).integers(0, 65, 32 * 64 * turns + 1)
    model = build("lstm", 65, {"hidden_size": 512, "dropout": 0.4}, 0)
    trainer = Trainer(model, OptimizerConfig(), seed=0)
    callbacks = [KeepBestWeights(), Timed(folder / "b", delete_checkpoint=False)]
    sizes = {"batch_size": 32, "seq_len": 64}
    trainer.fit(Corpus(ids, ids[:2000]), Plan(epochs=2, **sizes), callbacks=callbacks)
    size = (folder / "b").stat().st_size / 1e6
    middle = statistics.median(times)
    print("| backup | MB | seconds | of 30 s |\n|---|---|---|---|")
    print(f"| LSTM 1x512 in training | {size:.1f} | {middle:.4f} | {middle / 30:.2%} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--turns", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        saves(args.megabytes, args.turns, Path(folder))
        backups(args.turns, Path(folder))


if __name__ == "__main__":
    main()
