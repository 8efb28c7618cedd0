"""Kill processes with SIGKILL while they save and while they train, and look what is left.

    python tests/fuzz/kills.py [--saves 50] [--trainings 20] [--seed 0]

Saves: a process saves a 4 MB model again and again, says whenever it opens, moves or looks at a
file, and is killed after a random number of such lines; the file must load, and be one that was
saved. Trainings: a process trains with ``BackupAndRestore``, says each step and whatever it does to
files, and is killed likewise, half of the time twice; started again, it must end with the weights
of a training that was never killed, to the last bit. Exit status 1 if one did not. The tests run it
with small numbers.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from textrnn.files import model_file

STEPS = 207  # of the training below
LINES = 100  # the most lines of a process that saves before it is killed


def tell_of_files() -> None:
    """Print a line for everything that is done to files from now on."""

    def tell(event: str, _: object) -> None:
        if event == "open" or event.startswith("os."):
            print("file", event, flush=True)

    sys.addaudithook(tell)


def save(path: str) -> None:
    """Save a model again and again."""
    for n in range(1_000_000):
        model_file.save(path, {"n": n}, {"w": np.full(1_000_000, n, np.float32)})
        if n == 0:
            print("saved", flush=True)
            tell_of_files()


def train(backup: str) -> None:
    """Train a small model, and say each step and in the end what the weights are."""
    import torch

    from textrnn import BackupAndRestore, LambdaCallback, TextGenerator
    from textrnn.datasets import load_human_numbers

    torch.set_num_threads(1)
    gen = TextGenerator(hidden_size=32, num_layers=2, dropout=0.3, weight_drop=0.2, seed=0)
    tell = LambdaCallback(on_train_batch_end=lambda batch, logs: print("step", flush=True))
    callbacks = [tell, BackupAndRestore(backup, 3)]
    tell_of_files()
    size = {"batch_size": 8, "seq_len": 32}
    history = gen.fit(load_human_numbers(1, 900), epochs=3, verbose=0, callbacks=callbacks, **size)
    digest = hashlib.sha256()
    for tensor in gen.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    print("end", digest.hexdigest(), history.history["val_loss"], flush=True)


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a process whose lines can be read."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def kill_saves(number: int, chance: random.Random, folder: Path) -> int:
    """Kill processes that save; give how many files did not load."""
    path, bad, torn = folder / "model.safetensors", 0, 0
    for _ in range(number):
        process = start(__file__, "--save", str(path))
        for _ in range(1 + chance.randrange(LINES)):
            process.stdout.readline()
        process.kill()
        process.communicate()
        torn += len(list(folder.glob(".textrnn.*.tmp")))
        for temporary in folder.glob(".textrnn.*.tmp"):
            temporary.unlink()
        header, tensors = model_file.load(path)
        bad += not (tensors["w"] == header["n"]).all()
    print(f"saves: {number} kills, {torn} of them in the middle of a file, {bad} files not whole")
    return bad


def kill_trainings(number: int, chance: random.Random, folder: Path) -> int:
    """Kill processes that train; give how many ended otherwise than one that was not killed."""

    def train_and_kill(backup: Path, steps: int, lines: int) -> None:
        process = start(__file__, "--train", str(backup))
        left = steps
        while left and (line := process.stdout.readline()):
            left -= line == "step\n"
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
        process.communicate()

    def train_to_the_end(backup: Path) -> list[str]:
        return start(__file__, "--train", str(backup)).communicate()[0].splitlines()

    never_killed = start(__file__, "--train", str(folder / "whole"))
    ends, kills = [], 0
    for n in range(number):
        backup = folder / f"backup{n}"
        for _ in range(1 + n % 2):
            steps = chance.randrange(STEPS // (1 + n % 2))
            train_and_kill(backup, steps, chance.randrange(8))  # a backup has about five lines
            kills += 1
        ends.append(train_to_the_end(backup)[-1])
    whole = never_killed.communicate()[0].splitlines()
    assert whole.count("step") == STEPS
    bad = sum(end != whole[-1] for end in ends)
    print(f"trainings of {STEPS} steps: {kills} kills, {number} finishes, {bad} not bit-equal")
    return bad


def main() -> int:
    """Kill as many as asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--saves", type=int, default=50)
    parser.add_argument("--trainings", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    for work in ("--save", "--train"):  # what a child process does
        parser.add_argument(work, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.save or args.train:
        save(args.save) if args.save else train(args.train)
        return 0
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        bad = kill_saves(args.saves, chance, Path(folder)) if args.saves else 0
        bad += kill_trainings(args.trainings, chance, Path(folder)) if args.trainings else 0
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
