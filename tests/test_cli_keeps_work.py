"""The command line loses neither what a user has nor what was trained."""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys

import pytest

from textrnn import TextGenerator
from textrnn.cli import main
from textrnn.datasets import load_human_numbers

SMALL = ["--hidden-size", "8", "--epochs", "1", "--device", "cpu", "--seed", "0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Make a folder with a text, a model of it and another file the working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    text = load_human_numbers(1, 110)
    (folder / "text.txt").write_text(text)
    (folder / "latin.txt").write_bytes("é".encode("latin-1") * 50)
    gen = TextGenerator("ngram", order=3, seed=0)
    gen.fit(text, verbose=0)
    gen.save(folder / "model")
    monkeypatch.chdir(folder)
    return folder


def test_ctrl_c_in_train_saves_what_was_learnt(here, tmp_path, monkeypatch):
    """After a SIGINT in training the model is saved, and the exit status is 130."""
    monkeypatch.setattr(
        "textrnn.callbacks.report.print_above_bar",
        lambda text, file=None: file or signal.raise_signal(signal.SIGINT),
    )
    arguments = ["--sample", "one", *SMALL, "--epochs", "50"]
    assert main(["train", "text.txt", "-o", str(tmp_path / "m"), *arguments]) == 130
    history = TextGenerator.load(tmp_path / "m").history
    assert history.epoch == [0]
    assert history.stopped_by == "interrupt"


def test_a_backup_stays_until_the_model_is_saved(here, tmp_path, monkeypatch, capsys):
    """If saving fails at the end, the same command saves what was trained, and trains no more."""
    folder = tmp_path / "models"
    folder.mkdir()
    output, backup = folder / "m", tmp_path / "b"
    arguments = ["train", "text.txt", "-o", str(output), "--backup", str(backup), *SMALL]
    arguments += ["--epochs", "3", "--sample", "one"]

    def run(at_each_sample):
        samples = []

        def print_above_bar(text, file=None):
            if file is None:
                samples.append(text)
                at_each_sample()

        monkeypatch.setattr("textrnn.callbacks.report.print_above_bar", print_above_bar)
        return main(arguments), len(samples)

    assert run(lambda: signal.raise_signal(signal.SIGINT)) == (130, 1)
    assert run(lambda: shutil.rmtree(folder, ignore_errors=True)) == (1, 2)
    assert "No such file or directory" in capsys.readouterr().err
    assert backup.exists()
    folder.mkdir()
    assert run(lambda: None) == (0, 0)
    assert TextGenerator.load(output).history.epoch == [0, 1, 2]
    assert not list(tmp_path.glob("b*"))


def test_a_sample_prompt_is_checked_first(here, tmp_path, capsys):
    """A prompt with a letter that the text does not have costs no epoch."""
    assert main(["train", "text.txt", "-o", str(tmp_path / "m"), "--sample", "Once", *SMALL]) == 1
    err = capsys.readouterr().err
    assert "'O' (U+004F) at index 0" in err
    assert "epoch 1" not in err


def test_an_output_that_cannot_be_written_is_said_first(here, tmp_path, capsys):
    """A folder that does not exist is an error before training, not after."""
    output = str(tmp_path / "nowhere" / "model")
    assert main(["train", "text.txt", "-o", output, *SMALL]) == 1
    err = capsys.readouterr().err
    assert "epoch 1" not in err
    assert "nowhere" in err
    assert ".tmp" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["text.txt", "-o", "text.txt"], "would overwrite a file that it is trained"),
        (["text.txt", "-o", "link.txt"], "would overwrite a file that it is trained"),
        (["text.txt", "-o", "b", "--backup", "b"], "would overwrite a file that it is trained"),
        (["-", "-o", "text.txt"], "not a textrnn model; move it away or choose another"),
        (["text.txt", "-o", "latin.txt"], "not a textrnn model; move it away or choose another"),
        (["text.txt", "-o", "."], "This is a folder; name a file in it: ."),
        (["text.txt", "-o", "pipe"], "a device, a pipe or a loop of links, not a file"),
        (["text.txt", "-o", "x" * 300], "No file can have this name (File name too long)"),
    ],
)
def test_an_output_that_would_destroy_something_is_refused(here, capsys, arguments, message):
    """Before any work, in one line; what was there is there to the byte."""
    (here / "link.txt").symlink_to("text.txt")
    os.mkfifo(here / "pipe")
    before = {path.name: path.is_file() and path.read_bytes() for path in here.iterdir()}
    assert main(["train", *arguments, *SMALL]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    after = {path.name: path.is_file() and path.read_bytes() for path in here.iterdir()}
    assert after == before
    assert stat.S_ISFIFO((here / "pipe").stat().st_mode)


def test_demo_replaces_nothing_but_a_model(tmp_path, capsys):
    """It is refused before the text is read."""
    (tmp_path / "notes").write_text("mine")
    assert main(["demo", "-o", str(tmp_path / "notes")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "not a textrnn model" in err
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "command", [["generate", "model"], ["info", "model"], ["evaluate", "model", "text.txt"]]
)
def test_nowhere_to_write_to_is_an_error(here, monkeypatch, capsys, command):
    """Where standard output is closed, what the command is for cannot be had."""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(command) == 1
    message = "textrnn: Standard output is closed, so there is nowhere to write to.\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("command", [["generate", "model"], ["info", "model"]])
def test_a_full_disk_is_an_error_of_one_line(here, monkeypatch, capsys, command):
    """What cannot be written is not said to be done, and not said again when Python ends."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(command) == 1
        full.flush()
    assert capsys.readouterr().err == "textrnn: No space left on device\n"


@pytest.mark.parametrize(
    "command", [["generate", "model", "-"], ["train", "-", "-o", "x"], ["evaluate", "model", "-"]]
)
def test_nothing_to_read_from_is_an_error(here, monkeypatch, capsys, command):
    """Where standard input is closed, ``-`` is an error of one line."""
    monkeypatch.setattr(sys, "stdin", None)
    assert main(command) == 1
    message = "textrnn: Standard input is closed, so there is nothing to read for -.\n"
    assert capsys.readouterr() == ("", message)


def test_errors_are_not_written_elsewhere(here, monkeypatch, capsys):
    """Where standard error is closed, standard output does not get what was meant for it."""
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["info", "nothing"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["", "1>&-", "2>&-", "<&- 1>&- 2>&-"])
def test_nothing_that_cannot_be_written_costs_a_model(here, tmp_path, closed):
    """Neither pipes that nobody reads nor streams that are closed; and the exit status is 0."""
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ["train", "text.txt", "-o", str(tmp_path / "m"), "--sample", "one", *SMALL]
    command = shlex.join([sys.executable, "-m", "textrnn", *arguments])
    run = subprocess.run(f"{command} {closed}", shell=True, stdout=writing, stderr=writing)
    os.close(writing)
    assert run.returncode == 0
    assert TextGenerator.load(tmp_path / "m").history.epoch == [0]
