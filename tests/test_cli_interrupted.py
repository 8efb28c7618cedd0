"""A training on the command line that does not reach its end: what it saves, and where."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from textrnn import TextGenerator
from textrnn.cli import main
from textrnn.datasets import load_human_numbers
from textrnn.files import model_file
from textrnn.training.train_step import TrainStep

SMALL = ["--hidden-size", "8", "--epochs", "4", "--device", "cpu", "--seed", "0"]
SMALL += ["--batch-size", "2", "--seq-len", "16"]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a text, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(load_human_numbers(1, 110))
    return tmp_path


@pytest.fixture
def after_an_epoch(monkeypatch):
    """Return a function that puts an action at the end of the first epoch."""

    def put(action):
        def print_above_bar(text, file=None):
            return None if file else action()

        monkeypatch.setattr("textrnn.callbacks.report.print_above_bar", print_above_bar)

    return put


def train(output, *arguments):
    """Train a little model on the text that is here."""
    return main(["train", "text.txt", "-o", output, "--sample", "one", *SMALL, *arguments])


@pytest.mark.slow
@pytest.mark.parametrize("backup", [(), ("--backup", "b")], ids=["alone", "with a backup"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_good_model_is_not_replaced_by_an_interrupted_one(
    here, capsys, after_an_epoch, number, backup
):
    """What was learned goes beside it, and the message names both; a finished training replaces."""
    assert train("good") == 0
    before = (here / "good").read_bytes()
    handler = signal.getsignal(number)
    after_an_epoch(lambda: signal.raise_signal(number))
    assert train("good", *backup) == 128 + number
    assert (here / "good").read_bytes() == before
    assert TextGenerator.load(here / "good.interrupted").history.epoch == [0]
    said = "good is unchanged; the unfinished model is saved as good.interrupted."
    assert capsys.readouterr().err.endswith(f"{said}\n")
    assert (here / "b").exists() == bool(backup)
    assert signal.getsignal(number) is handler
    after_an_epoch(lambda: None)
    assert train("good", *backup) == 0
    assert TextGenerator.load(here / "good").history.epoch == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "a good model there"])
def test_a_loss_that_is_not_finite_late_costs_nothing(here, capsys, monkeypatch, there):
    """The last good weights are saved, the exit status is 1, the good model is unchanged."""
    if there:
        assert train("m") == 0
        before = (here / "m").read_bytes()
    real, steps = TrainStep.__call__, []

    def step(self, *arguments):
        steps.append(arguments)
        loss, hidden = real(self, *arguments)
        return (loss * float("nan") if len(steps) > 40 else loss), hidden

    monkeypatch.setattr(TrainStep, "__call__", step)
    with pytest.warns(UserWarning, match="not finite"):
        assert train("m") == 1
    err = capsys.readouterr().err
    assert "textrnn: The loss or its gradient is not finite" in err
    name = "m.interrupted" if there else "m"
    assert f"saved as {name}." in err.lower()
    assert all(np.isfinite(tensor).all() for tensor in model_file.load(here / name)[1].values())
    if there:
        assert (here / "m").read_bytes() == before


@pytest.mark.slow
def test_the_place_beside_is_checked_before_training(here, capsys):
    """What is no model there is found out first, and only where it would be needed."""
    (here / "m.interrupted").write_text("mine")
    assert train("m") == 0
    capsys.readouterr()
    assert train("m") == 1
    err = capsys.readouterr().err
    assert err.endswith("move it away or choose another name: m.interrupted\n")
    assert "epoch" not in err


SCRIPT = """
import signal, sys
from pathlib import Path
from textrnn import BackupAndRestore, LambdaCallback, TextGenerator
from textrnn.datasets import load_human_numbers

number, with_backup = getattr(signal, sys.argv[1]), sys.argv[2] == "backup"
tell = LambdaCallback(on_epoch_end=lambda epoch, logs: signal.raise_signal(number))
for n in range(3):
    print("training", n, flush=True)
    callbacks = [tell, BackupAndRestore(f"backup{n}")] if with_backup else [tell]
    gen = TextGenerator(hidden_size=8, seed=0)
    gen.fit(load_human_numbers(1, 110), epochs=2, verbose=0, callbacks=callbacks)
    print("saving", n, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("backup", ["backup", "none"])
def test_a_signal_ends_a_program_of_three_trainings(here, name, backup):
    """With a backup at once; without one the program may save, and ends where a second begins."""
    command = [sys.executable, "-c", SCRIPT, name, backup]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)
    said = ["training 0"] if backup == "backup" else ["training 0", "saving 0", "training 1"]
    assert done.stdout.splitlines() == said
    assert done.returncode == -getattr(signal, name)
    assert (here / "backup0").exists() == (backup == "backup")
