"""What do a save and a backup cost?

    python benchmarks/saving.py [--megabytes 10] [--turns 15]

A save is compared in turns with `safetensors.numpy.save_file` and an fsync of the file, in the same
folder; what ours does besides are the digests, the fsync of the folder and the rename. A backup is
timed in the training of an LSTM of 512 (with AdamW's moments, the best weights and the state of 32
rows) and put beside the 30 seconds that may pass between two.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from common import arguments, head, in_turns, machine, ratio, row

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

    def theirs() -> None:
        safetensors.numpy.save_file(tensors, folder / "theirs")
        with (folder / "theirs").open("rb") as file:
            os.fsync(file.fileno())

    works = {"ours": lambda: model_file.save(folder / "ours", {"a": 1}, tensors), "theirs": theirs}
    times = in_turns(works, turns)
    head(f"save of {megabytes:g} MB", "seconds", "ratio")
    took = {name: f"{statistics.median(values):.4f}" for name, values in times.items()}
    row("textrnn", took["ours"], f"{ratio(times['ours'], times['theirs']):.2f}")
    row("safetensors save_file and fsync", took["theirs"], 1)


def backups(turns: int, folder: Path) -> None:
    """Print the seconds of a backup, and which part of 30 seconds they are."""
    times: list[float] = []

    class Timed(BackupAndRestore):
        """Times what a batch adds when it ends with a backup."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            began = time.perf_counter()
            super().on_train_batch_end(batch, logs)
            times.append(time.perf_counter() - began)

    ids = np.random.default_rng(0).integers(0, 65, 32 * 64 * turns + 1)
    model = build("lstm", 65, {"hidden_size": 512, "dropout": 0.4}, 0)
    trainer = Trainer(model, OptimizerConfig(), seed=0)
    callbacks = [KeepBestWeights(), Timed(folder / "b", 1, delete_checkpoint=False)]
    plan = Plan(epochs=2, batch_size=32, seq_len=64)
    trainer.fit(Corpus(ids, ids[:2000]), plan, callbacks=callbacks)
    size = (folder / "b").stat().st_size / 1e6
    middle = statistics.median(times)
    print()
    head("backup", "MB", "seconds", "of 30 s")
    row("LSTM 1x512 in training", f"{size:.1f}", f"{middle:.4f}", f"{middle / 30:.2%}")


def main() -> None:
    """Print both tables."""
    parser = arguments(__doc__, data=False)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--turns", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        saves(args.megabytes, args.turns, Path(folder))
        backups(args.turns, Path(folder))


if __name__ == "__main__":
    main()
