"""Rows 51 and 60 to 65 of the fault table: disks that are full, and clocks that jump."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
import traceback

import numpy as np
import pytest
import torch

from tests.faults.training import (
    TEXT,
    Killed,
    assert_whole,
    kill_at,
    run,
)
from textrnn import (
    BackupAndRestore,
    ModelCheckpoint,
)
from textrnn.files import model_file
from textrnn.training.train_step import TrainStep

pytestmark = pytest.mark.faults


def test_51_stale_temporary_files_are_removed(tmp_path):
    """Those of dead processes after an hour; those of a process that may run stay."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {
        f".textrnn.{dead.pid}.aaaaaaaa.tmp": 4000,  # dead for more than an hour
        f".textrnn.{dead.pid}.bbbbbbbb.tmp": 10,  # perhaps not dead, in another container
        f".textrnn.{os.getpid()}.cccccccc.tmp": 4000,  # running
        f".textrnn.{os.getpid()}.dddddddd.tmp": 100_000,  # more than a day old
        "notes.tmp": 100_000,
    }
    for name, age in names.items():
        (tmp_path / name).write_text("half a file")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    model_file.save(tmp_path / "model", {}, {"w": np.zeros(2)})
    left = {path.name for path in tmp_path.iterdir()} - {"model"}
    assert left == {name for i, name in enumerate(names) if i in (1, 2, 4)}


# 60 to 65: disks and clocks


def on_a_small_disk(action):
    """Call an action where no file can become larger than 4 kB, as on a full disk.

    That is so for all files of a process, the log of the tests too: so it is a child process.
    """
    reading, writing = os.pipe()  # not a file
    child = os.fork()
    if child == 0:
        failure = ""
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            action()
        except BaseException:
            failure = traceback.format_exc()
        finally:
            os.write(writing, failure[-4000:].encode())
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        assert pipe.read() == ""
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_60_a_full_disk_and_an_explicit_save(tmp_path):
    """An error with the path; the old file is whole, and nothing else lies there."""
    path = tmp_path / "m"
    model_file.save(path, {"n": 1}, {"w": np.zeros(8)})

    def save():
        with pytest.raises(OSError, match="File too large") as caught:
            model_file.save(path, {"n": 2}, {"w": np.zeros(8000)})
        assert caught.value.filename == str(path)
        assert str(caught.value).endswith(f"File too large: {str(path)!r}")

    on_a_small_disk(save)
    assert model_file.load(path)[0] == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_60_a_full_disk_and_savings_on_the_way(tmp_path):
    """They are warnings; training comes to its end."""
    backup, checkpoint = BackupAndRestore(tmp_path / "b", 20), ModelCheckpoint(tmp_path / "m")

    def train():
        with pytest.warns(UserWarning, match="training continues") as caught:
            _, history = run(backup, checkpoint)
        messages = {str(warning.message)[:18] for warning in caught}
        assert messages == {"The backup could n", "The model could no"}
        assert len(history) == 3

    on_a_small_disk(train)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "message"),
    [("nowhere/m", "No such file"), ("file/m", "Not a directory"), (".", "This is a folder")],
)
def test_61_a_place_that_cannot_be_written(tmp_path, where, message):
    """OSError with the path, for a save and for a backup, whoever the user is."""
    (tmp_path / "file").write_text("")
    gen, _ = run()
    path = tmp_path / where
    with pytest.raises(OSError, match=message) as caught:
        gen.save(path)
    assert caught.value.filename == str(path)
    assert "None" not in str(caught.value)
    with pytest.raises(OSError, match=r"no folder to save in|This is a folder"):
        run(BackupAndRestore(path))


@pytest.mark.parametrize("call", [1, 2])
def test_62_the_disk_fails_when_asked_to_keep(tmp_path, monkeypatch, call):
    """An error; before the rename the old file is there, after it the new one; never half."""
    path, calls = tmp_path / "m", []
    model_file.save(path, {"n": 1}, {"w": np.zeros(8)})

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        model_file.save(path, {"n": 2}, {"w": np.zeros(8)})
    assert model_file.load(path)[0] == {"n": call}
    assert list(tmp_path.iterdir()) == [path]


def test_62_a_folder_that_may_be_written_to_and_not_read(tmp_path, monkeypatch):
    """As a letter box: the file is there, so the save was one."""
    opens = os.open

    def refuse_folders(path, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opens(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse_folders)
    model_file.save(tmp_path / "m", {"n": 1}, {"w": np.zeros(8)})
    assert model_file.load(tmp_path / "m")[0] == {"n": 1}


def test_62_a_system_that_cannot_be_asked_to_begin_writing(tmp_path, monkeypatch):
    """Then all is written when the file is complete, as where there is no such call."""

    def fail(*args):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", fail, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    model_file.save(tmp_path / "refused", {"n": 1}, {"w": np.arange(8)})
    monkeypatch.delattr(os, "posix_fadvise")
    model_file.save(tmp_path / "absent", {"n": 1}, {"w": np.arange(8)})
    assert model_file.load(tmp_path / "absent")[1]["w"].tolist() == list(range(8))
    assert (tmp_path / "refused").read_bytes() == (tmp_path / "absent").read_bytes()


def test_63_mode_umask_and_links(tmp_path):
    """A new file follows the umask, an old one keeps its mode, a link its target."""
    before = os.umask(0o027)
    try:
        model_file.save(tmp_path / "new", {}, {"w": np.zeros(1)})
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new").chmod(0o604)
    (tmp_path / "link").symlink_to(tmp_path / "new")
    model_file.save(tmp_path / "link", {"n": 2}, {"w": np.zeros(1)})
    assert (tmp_path / "link").is_symlink()
    assert model_file.load(tmp_path / "new")[0] == {"n": 2}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604


def test_63_a_private_model_is_private_while_it_is_written(tmp_path, monkeypatch):
    """The temporary file has the old one's mode when its first byte is written, not at the end."""
    path, modes = tmp_path / "m", []
    model_file.save(path, {}, {"w": np.zeros(1)})
    path.chmod(0o600)

    def look_first(file):
        modes.extend(oct(p.stat().st_mode & 0o777) for p in tmp_path.glob(".textrnn.*.tmp"))

    monkeypatch.setattr(model_file, "start_flush", look_first)
    model_file.save(path, {}, {"w": np.zeros(1)})
    assert modes == ["0o600"]


@pytest.mark.slow
def test_64_a_clock_that_jumps(whole, tmp_path, monkeypatch):
    """Neither the course of training nor the files depend on the time of day."""
    times = iter(range(10**9, 0, -100_000))
    monkeypatch.setattr(time, "time", lambda: next(times))
    backup = BackupAndRestore(tmp_path / "b", 5)
    with pytest.raises(Killed, match="now"):
        run(backup, kill_at("on_train_batch_end", 30))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "b.previous"]
    assert_whole(whole, *run(backup))


def test_65_lr_find_interrupted(monkeypatch):
    """Weights, optimiser and random numbers are as before; no file was written for that."""
    gen, _ = run()
    before = [p.detach().clone() for p in gen.model.parameters()]
    torch.manual_seed(3)
    chance, steps = torch.get_rng_state(), []

    def step(*args):
        steps.append(args)
        if len(steps) == 7:
            raise Killed("now")
        return real(*args)

    real = TrainStep.__call__
    monkeypatch.setattr(TrainStep, "__call__", step)
    with pytest.raises(Killed, match="now"):
        gen.lr_find(TEXT)
    assert all(map(torch.equal, gen.model.parameters(), before))
    assert torch.equal(torch.get_rng_state(), chance)
