"""Rows 50 to 53 of the fault table: trainings that are killed, and their backups."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.faults.training import LSTM, STEPS, TEXT, Killed, assert_whole, kill_at, measured, run
from textrnn import (
    BackupAndRestore,
    CSVLogger,
    LambdaCallback,
    TextGenerator,
    load_sampler,
)
from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files import model_file

pytestmark = pytest.mark.faults


KILLS = Path(__file__).parents[1] / "fuzz" / "kills.py"


# 50: killed in the middle of training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "numbers"),
    [
        ("on_train_batch_end", [1]),
        ("on_train_batch_end", [9]),
        ("on_train_batch_end", [STEPS]),  # the last batch of an epoch
        ("on_train_batch_begin", [STEPS + 1]),  # the first one of the next
        ("on_train_batch_end", [9, 5]),  # twice in one epoch
        ("on_train_batch_end", [STEPS + 5, 5, 5]),
        ("on_test_begin", [1]),  # in validation
        ("on_test_end", [2, 1]),
        ("on_epoch_end", [1]),
        ("on_epoch_begin", [2]),
        ("on_epoch_end", [3]),  # when all is done
    ],
)
@pytest.mark.parametrize("save_freq", [1, 4, "epoch"])
def test_50_killed_and_resumed(whole, tmp_path, hook, numbers, save_freq):
    """Started again, it ends with the weights and the history of one that was not killed."""
    backup = tmp_path / "backup"
    for number in numbers:
        with pytest.raises(Killed, match="now"):
            run(BackupAndRestore(backup, save_freq), kill_at(hook, number))
    assert_whole(whole, *run(BackupAndRestore(backup, save_freq)))
    assert list(tmp_path.iterdir()) == []  # it came to its end


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rnn", "gru", "window_mlp", "lstm+ngram"])
def test_50_other_models_resume_too(tmp_path, kind):
    """Whatever their state is made of."""
    model = {"model": kind, "hidden_size": 16, "seed": 0}
    model |= {"window": 3} if kind == "window_mlp" else {"dropout": 0.2}
    expected, history = run(model=model)
    with pytest.raises(Killed, match="now"):
        run(BackupAndRestore(tmp_path / "b", 1), kill_at("on_train_batch_end", 40), model=model)
    gen, resumed = run(BackupAndRestore(tmp_path / "b", 1), model=model)
    assert_whole((expected.model.state_dict(), measured(history)), gen, resumed)


@pytest.mark.slow
def test_50_a_csv_file_has_no_line_twice(tmp_path):
    """What was written after the backup is written again, not added."""
    log, once = tmp_path / "log.csv", tmp_path / "once.csv"
    run(CSVLogger(once))
    for number in (2, 1):
        with pytest.raises(Killed, match="now"):
            run(
                CSVLogger(log), BackupAndRestore(tmp_path / "b", 5), kill_at("on_epoch_end", number)
            )
    run(CSVLogger(log), BackupAndRestore(tmp_path / "b", 5))
    rows = [[line.split(",")[:3] for line in p.read_text().splitlines()] for p in (log, once)]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_50_it_says_that_it_goes_on(tmp_path, capsys):
    """Whoever starts the script again sees that nothing was lost."""
    backup = BackupAndRestore(tmp_path / "b", 1)
    with pytest.raises(Killed, match="now"):
        run(backup, kill_at("on_train_batch_end", 2), verbose=2)
    assert "resumes" not in capsys.readouterr().err
    run(backup, verbose=2)
    assert "; resumes from a backup\n" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("save_freq", ["epoch", 7, timedelta(days=1)])
def test_50_a_backup_that_stays_is_of_the_end(whole, tmp_path, save_freq):
    """With ``delete_checkpoint=False`` nothing is trained again, whatever happens to the model."""
    backup = BackupAndRestore(tmp_path / "b", save_freq, delete_checkpoint=False)
    run(backup)
    epochs = []
    note = LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    assert_whole(whole, *run(backup, note))
    assert epochs == []
    backup.delete()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_50_a_model_that_counts_needs_no_backup(tmp_path, save_freq):
    """It is trained at once, and asking for a backup does no harm."""
    gen = TextGenerator("ngram", order=2)
    backup = BackupAndRestore(tmp_path / "b", save_freq, delete_checkpoint=False)
    assert gen.fit(TEXT, callbacks=[backup], verbose=0).epoch == [0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_50_with_minutes_the_sizes_are_those_of_the_backup(tmp_path, monkeypatch):
    """The machine is not measured again, and the schedule continues where it was."""
    speeds = iter([30_000.0])
    monkeypatch.setattr("textrnn.training.defaults.training_speed", lambda *args: next(speeds))
    seen = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["progress"]))
    backup = BackupAndRestore(tmp_path / "b", 1)
    gen = TextGenerator(seed=0)
    with pytest.raises(Killed, match="now"):
        gen.fit(TEXT, minutes=0.02, verbose=0, callbacks=[backup, kill_at("on_train_batch_end", 6)])
    again = TextGenerator(seed=0)
    again.fit(TEXT, minutes=0.02, verbose=0, callbacks=[backup, watch])
    assert again.history.params == gen.history.params
    assert again.model.config == gen.model.config
    assert seen[0] > 0.1


@pytest.mark.slow
def test_50_and_51_killed_by_the_system(tmp_path):
    """SIGKILL at random moments: files load, trainings end bit-equal (more of it by hand)."""
    command = [sys.executable, str(KILLS), "--saves", "3", "--trainings", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 files not whole" in result.stdout
    assert "0 not bit-equal" in result.stdout


@pytest.mark.parametrize("save_freq", [0, -1, "batch", 1.5, True, timedelta(0)])
def test_50_how_often_must_be_clear(save_freq):
    """An epoch, a number of batches, or a time."""
    with pytest.raises((TypeError, ValueError), match="`save_freq` must be"):
        BackupAndRestore("backup", save_freq)


@pytest.mark.parametrize(("pause", "written"), [({"microseconds": 1}, True), ({"days": 1}, False)])
def test_50_backups_by_time(tmp_path, pause, written):
    """With a timedelta a backup is written when so much time has passed since the last one."""
    path = tmp_path / "b"
    with pytest.raises(Killed, match="now"):
        run(BackupAndRestore(path, timedelta(**pause)), kill_at("on_train_batch_end", 5))
    assert path.exists() == written


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        (".textrnn.99999999999999999999.aaaaaaaa.tmp", False),  # no process has such a number
        (f".textrnn.{'9' * 200}.aaaaaaaa.tmp", False),
        (".textrnn.my-notes.tmp", True),
        (".textrnn.1.aaaaaaaa.tmp.tmp", True),
        (".textrnn.1.notahex!.tmp", True),
        (".textrnn.12.34.tmp", True),
    ],
)
def test_51_only_our_own_temporary_files_are_removed(tmp_path, name, stays):
    """A file that somebody else named, however oddly, neither vanishes nor ends a save."""
    (tmp_path / name).write_text("mine")
    os.utime(tmp_path / name, (time.time() - 200_000,) * 2)
    model_file.save(tmp_path / "model", {}, {"w": np.zeros(2)})
    assert (tmp_path / name).exists() == stays


def test_51_a_planted_process_number_does_not_end_a_save(tmp_path):
    """Younger than a day its process is asked for, and there is none with that number."""
    planted = tmp_path / ".textrnn.99999999999999999999.aaaaaaaa.tmp"
    planted.write_text("")
    os.utime(planted, (time.time() - 7200,) * 2)
    model_file.save(tmp_path / "model", {}, {"w": np.zeros(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# 52 and 53: backups that are damaged, or of another training


def test_52_a_damaged_backup_falls_back_to_the_one_before(whole, tmp_path):
    """With a warning; the damaged file is set aside, and the end is the same."""
    path = tmp_path / "b"
    with pytest.raises(Killed, match="now"):
        run(BackupAndRestore(path, 5), kill_at("on_train_batch_end", 40))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged backup was skipped"):
        gen, history = run(BackupAndRestore(path, 5))
    assert_whole(whole, gen, history)
    assert [p.name for p in tmp_path.iterdir()] == ["b.damaged"]


def test_52_no_backup_that_is_whole(tmp_path):
    """Then it is an error, not a training that begins anew as if nothing were lost."""
    (tmp_path / "b").write_bytes((200).to_bytes(8, "little") + b"{" * 20)
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(CorruptModelError, match="cut short"),
    ):
        run(BackupAndRestore(tmp_path / "b"))


def test_52_a_file_that_is_no_backup_is_left_alone(tmp_path):
    """A text and a model are refused, and still there afterwards."""
    text, model = tmp_path / "novel.txt", tmp_path / "model.safetensors"
    text.write_text("Call me Ishmael." * 10)
    run()[0].save(model)
    for path, message in ((text, "not a textrnn model file"), (model, "a model, not a backup")):
        before = path.read_bytes()
        with pytest.raises(UnsupportedFormatError, match=message):
            run(BackupAndRestore(path, 1))
        assert path.read_bytes() == before


def test_52_a_backup_is_no_model(tmp_path):
    """Loading one says what it is."""
    with pytest.raises(Killed, match="now"):
        run(BackupAndRestore(tmp_path / "b", 1), kill_at("on_train_batch_end", 2))
    for load in (TextGenerator.load, load_sampler):
        with pytest.raises(UnsupportedFormatError, match="a backup of a training"):
            load(tmp_path / "b")


SWAPPED = TEXT.translate(str.maketrans("on", "no"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": TEXT + "x"}, "text was '[0-9]* tokens with sha256"),
        ({"text": SWAPPED}, "text was"),
        ({"text": TEXT.upper()}, "vocabulary was"),
        ({"batch_size": 5}, "batch_size was 4 and is 5"),
        ({"seq_len": 25}, "seq_len was 24 and is 25"),
        ({"epochs": 4}, "epochs was 3 and is 4"),
        ({"validation_split": 0.2}, "validation text was"),
        ({"stateful": False}, "stateful was True and is False"),
        ({"model": {**LSTM, "hidden_size": 17}}, "hidden_size was 16 and is 17"),
        ({"model": {**LSTM, "dropout": 0.4}}, r"dropout was 0\.3 and is 0\.4"),
        ({"model": {**LSTM, "model": "gru"}}, "model was 'mixture' and is 'gru'"),
        ({"model": {**LSTM, "seed": 1}}, "seed was 0 and is 1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_53_a_backup_of_another_training(tmp_path, change, message):
    """It is refused with all that differs, and stays as it is."""
    path = tmp_path / "b"
    with pytest.raises(Killed, match="now"):
        run(BackupAndRestore(path, 1), kill_at("on_train_batch_end", 2))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to a different run.*{message}.*Received: '"):
        run(BackupAndRestore(path, 1), **change)
    assert path.read_bytes() == before
