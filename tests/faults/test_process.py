"""Processes that end too early, disks that are full, signals: rows 50 to 65 of the fault table."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from textrnn import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TextGenerator,
    load_sampler,
)
from textrnn.datasets import load_human_numbers
from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files import model_file

pytestmark = pytest.mark.faults

TEXT = load_human_numbers(1, 150)
FIT = {"epochs": 3, "batch_size": 4, "seq_len": 24, "verbose": 0}
STEPS = 26  # batches of an epoch
LSTM = {"hidden_size": 16, "num_layers": 2, "dropout": 0.3, "weight_drop": 0.2, "seed": 0}
KILLS = Path(__file__).parents[1] / "fuzz" / "kills.py"


class Killed(BaseException):
    """Ends a training where it stands, as far as one can from within."""


def kill_at(hook, number):
    """Return a callback that ends training at the n-th call of a hook, from 1."""
    calls = []

    def count(*arguments):
        calls.append(arguments)
        if len(calls) == number:
            raise Killed("now")

    return LambdaCallback(**{hook: count})


def run(*callbacks, text=TEXT, model=LSTM, **fit):
    """Train a small generator on all that remembers something."""
    gen = TextGenerator(**model)
    remember = [
        EarlyStopping(patience=50),
        ReduceLROnPlateau(patience=1, factor=0.5),
        SwapEMAWeights(0.9),
        LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]
    history = gen.fit(text, callbacks=[*remember, *callbacks], **{**FIT, **fit})
    return gen, history


def measured(history):
    """Return what a history holds but for the seconds, which are never the same."""
    return {k: v for k, v in history.history.items() if k != "seconds"}, history.epoch


@pytest.fixture(scope="module")
def whole():
    """A training that nothing disturbs: its weights and its history."""
    gen, history = run()
    return gen.model.state_dict(), measured(history)


def assert_whole(whole, gen, history):
    """See that a training ended as the undisturbed one, to the last bit."""
    weights = gen.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole[0].items())
    assert measured(history) == whole[1]


# 50: killed in the middle of training


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


@pytest.mark.parametrize("kind", ["rnn", "gru", "window_mlp"])
def test_50_other_models_resume_too(tmp_path, kind):
    """Whatever their state is made of."""
    model = {"model": kind, "hidden_size": 16, "seed": 0}
    model |= {"window": 3} if kind == "window_mlp" else {"dropout": 0.2}
    expected, history = run(model=model)
    with pytest.raises(Killed, match="now"):
        run(BackupAndRestore(tmp_path / "b", 1), kill_at("on_train_batch_end", 40), model=model)
    gen, resumed = run(BackupAndRestore(tmp_path / "b", 1), model=model)
    assert_whole((expected.model.state_dict(), measured(history)), gen, resumed)


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


def test_50_it_says_that_it_goes_on(tmp_path, capsys):
    """Whoever starts the script again sees that nothing was lost."""
    backup = BackupAndRestore(tmp_path / "b", 1)
    with pytest.raises(Killed, match="now"):
        run(backup, kill_at("on_train_batch_end", 2), verbose=2)
    assert "resumes" not in capsys.readouterr().err
    run(backup, verbose=2)
    assert "; resumes from a backup\n" in capsys.readouterr().err


def test_50_with_minutes_the_sizes_are_those_of_the_backup(tmp_path, monkeypatch):
    """The machine is not measured again, and the schedule goes on where it was."""
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
    with pytest.warns(UserWarning, match="damaged and was passed over"):
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
        ({"model": {**LSTM, "model": "gru"}}, "model was 'lstm' and is 'gru'"),
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


# 54 to 58: signals


def raise_at(number, signum):
    """Return a callback that sends this process a signal at the n-th batch."""
    batches = []

    def count(batch, logs):
        batches.append(batch)
        if len(batches) == number:
            signal.raise_signal(signum)

    return LambdaCallback(on_train_batch_end=count)


@pytest.mark.parametrize(
    ("signum", "name"), [(signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminate")]
)
@pytest.mark.parametrize("number", [5, STEPS, 2 * STEPS + 3])
def test_54_57_a_signal_ends_training_and_nothing_is_lost(whole, tmp_path, signum, name, number):
    """The history says so, the generator can be used, and the next run goes on to the same end."""
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    backup = BackupAndRestore(tmp_path / "b")
    gen, history = run(backup, raise_at(number, signum))
    assert history.stopped_by == name
    assert len(gen.generate("", 5)) == 5
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert_whole(whole, *run(backup))


def test_54_the_weights_are_those_after_the_batch():
    """A signal never stops a step halfway."""
    seen = []

    class Note(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([p.detach().clone() for p in self.model.model.parameters()])

    gen = TextGenerator(**LSTM)
    gen.fit(TEXT, callbacks=[Note(), raise_at(7, signal.SIGINT)], validation_split=0.0, **FIT)
    assert len(seen) == 7
    assert all(map(torch.equal, gen.model.parameters(), seen[-1]))


@pytest.mark.parametrize(
    ("signum", "error", "message"),
    [(signal.SIGINT, KeyboardInterrupt, "^$"), (signal.SIGTERM, SystemExit, "143")],
)
def test_55_a_second_signal_ends_it_at_once(signum, error, message):
    """Handlers are put back."""
    before = signal.getsignal(signum)

    def twice(batch, logs):
        signal.raise_signal(signum)
        signal.raise_signal(signum)

    with pytest.raises(error, match=message):
        run(LambdaCallback(on_train_batch_end=twice))
    assert signal.getsignal(signum) is before


def test_55_an_ignored_signal_stays_ignored():
    """A training that a shell put into the background does not hear its Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, history = run(raise_at(3, signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.stopped_by is None


def test_56_ctrl_c_in_generate():
    """It interrupts at once, and the next text is what it would have been."""
    gen, _ = run()
    expected = gen.generate("", 50, seed=1)
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # what a Ctrl-C does
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            gen.generate("", 10**9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert gen.generate("", 50, seed=1) == expected


def test_57_the_command_line_saves_and_says_so(tmp_path):
    """``textrnn train`` ends with the status that shells expect, its model saved."""
    (tmp_path / "text").write_text(TEXT)
    command = [sys.executable, "-m", "textrnn", "train", "text", "--epochs", "999"]
    command += ["--hidden-size", "8"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = {}
    for name, signum, status in [("one", signal.SIGINT, 130), ("two", signal.SIGTERM, 143)]:
        own = [*command, "-o", name, "--backup", f"{name}.backup"]
        process = subprocess.Popen(own, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=env)
        processes[name] = process, signum, status
    try:
        for name, (process, signum, status) in processes.items():
            while "epoch 2" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signum)
            process.communicate()
            assert process.returncode == status
            assert len(load_sampler(tmp_path / name).generate("", 5)) == 5
            assert (tmp_path / f"{name}.backup").exists()
    finally:
        for process, _, _ in processes.values():
            process.kill()
            process.wait()
            process.stderr.close()


def test_58_fit_in_another_thread():
    """No handler is installed there, and training is the same."""
    before, results = signal.getsignal(signal.SIGINT), []
    during = LambdaCallback(on_epoch_end=lambda *_: results.append(signal.getsignal(signal.SIGINT)))
    thread = threading.Thread(target=lambda: results.append(run(during)[1].epoch))
    thread.start()
    thread.join()
    assert results == [before] * 3 + [[0, 1, 2]]


# 59: an exception in a callback


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_end"])
def test_59_an_exception_in_a_callback(hook):
    """It comes out as it is; the others hear the end, and the generator can be used."""
    ends = []

    def fail(*args):
        raise LookupError("mine")

    gen = TextGenerator(**LSTM)
    gen.fit(TEXT, **{**FIT, "epochs": 1})
    torch.manual_seed(7)
    chance = torch.get_rng_state()
    callbacks = [LambdaCallback(on_train_end=ends.append), LambdaCallback(**{hook: fail})]
    with pytest.raises(LookupError, match="mine"):
        gen.fit(TEXT, callbacks=callbacks, **FIT)
    assert ends == [{}]
    assert not gen.model.training
    assert torch.equal(torch.get_rng_state(), chance)
    assert len(gen.generate("", 5)) == 5
    assert gen.fit(TEXT, **FIT).stopped_by is None


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
        with pytest.warns(UserWarning, match="training (goes on|continues)") as caught:
            _, history = run(backup, checkpoint)
        messages = {str(warning.message)[:18] for warning in caught}
        assert messages == {"The backup could n", "The model could no"}
        assert len(history) == 3

    on_a_small_disk(train)
    assert list(tmp_path.iterdir()) == []


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

    real = type(gen._trainer.train_step).__call__
    monkeypatch.setattr(type(gen._trainer.train_step), "__call__", step)
    with pytest.raises(Killed, match="now"):
        gen.lr_find(TEXT)
    assert all(map(torch.equal, gen.model.parameters(), before))
    assert torch.equal(torch.get_rng_state(), chance)
