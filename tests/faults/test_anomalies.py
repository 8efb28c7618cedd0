"""Every operation on the disk fails once, and too little memory: rows 60 to 62, 36 and 45.

After each fault the old file is whole or the new one is, and nothing else lies there.
"""

import errno
import functools
import itertools
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from tests.faults.failing_disk import FailingDisk
from tests.faults.training import Killed, kill_at
from textrnn import BackupAndRestore, CSVLogger, ModelCheckpoint, TextGenerator
from textrnn.datasets import load_human_numbers
from textrnn.errors import TextRNNError
from textrnn.files import model_file

pytestmark = pytest.mark.faults

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES]
TEXT = load_human_numbers(1, 40)
FIT = {"epochs": 2, "batch_size": 4, "seq_len": 16, "verbose": 0}


def each_fault(folder, error, prepare, action):
    """Let each operation of an action fail in turn, until none is left.

    Args:
        folder: whose files' operations fail; it is emptied before each try.
        error: the number of the error.
        prepare: makes the files that are there before.
        action: what is tried; a warning, ``OSError`` and errors of ours are right.

    Yields:
        What the action raised, or None.
    """
    for n in itertools.count(1):
        for path in folder.iterdir():
            path.unlink()
        prepare()
        disk, raised = FailingDisk(folder, n, error), None
        with disk.plugged_in(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                action()
            except (TextRNNError, OSError) as caught:
                raised = caught
        left = [path.name for path in folder.glob(".textrnn*")]
        # what cannot be removed stays, and is removed by a later save
        assert left == [] or disk.calls[n - 1] == "unlink", (n, disk.calls, left)
        yield raised
        if not disk.has_failed:
            assert raised is None
            assert n > 3
            return


@pytest.mark.parametrize("error", ERRORS)
def test_60_62_any_fault_of_a_save_leaves_a_whole_file(tmp_path, error):
    """The old one if it is an error, but for the last flush of the folder."""
    path = tmp_path / "m"
    new = {"w": np.arange(5000), "b": np.zeros(3)}
    outcomes = []
    for raised in each_fault(
        tmp_path,
        error,
        prepare=lambda: model_file.save(path, {"n": 1}, {"w": np.zeros(8)}),
        action=lambda: model_file.save(path, {"n": 2}, new),
    ):
        header, tensors = model_file.load(path)
        assert len(tensors["w"]) == (8 if header == {"n": 1} else 5000)
        outcomes.append((header["n"], raised is None))
        assert raised is None or str(path) in str(raised) or header == {"n": 2}
    assert outcomes[0] == (1, False)
    assert outcomes[-1] == (2, True)
    assert len(outcomes) >= 8


@functools.cache
def undisturbed():
    """Return the weights of a training whose disk is sound."""
    return fit()


def fit(*callbacks):
    """Train a very small model; return its weights."""
    gen = TextGenerator("rnn", hidden_size=4, seed=0)
    gen.fit(TEXT, callbacks=callbacks, **FIT)
    return gen.model.state_dict()


def assert_undisturbed(weights):
    """See that a training ended as one with a sound disk."""
    assert all(torch.equal(weights[name], tensor) for name, tensor in undisturbed().items())


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_60_62_any_fault_of_a_backup_leaves_a_training_that_can_be_resumed(tmp_path, error):
    """A training that is killed after it, and run again, ends with the weights of any other."""
    path = tmp_path / "b"

    def killed():
        with pytest.raises((Killed, OSError)):
            fit(BackupAndRestore(path, 2), kill_at("on_train_batch_end", 9))

    number = 0
    for _ in each_fault(tmp_path, error, prepare=lambda: None, action=killed):
        assert_undisturbed(fit(BackupAndRestore(path, 100)))
        assert not path.exists()
        number += 1
    assert number >= 20


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_60_62_any_fault_of_a_checkpoint_leaves_a_whole_model(tmp_path, error):
    """Training comes to its end, unless the fault is found before it begins."""
    path, ends = tmp_path / "m", []
    old = TextGenerator("rnn", hidden_size=4, seed=1)
    old.fit(TEXT, **FIT)
    for raised in each_fault(
        tmp_path,
        error,
        prepare=lambda: old.save(path),
        action=lambda: ends.append(fit(ModelCheckpoint(path))),
    ):
        TextGenerator.load(path, device="cpu")
        if raised is None:
            assert_undisturbed(ends.pop())
        assert ends == []


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("append", [False, True])
def test_60_62_any_fault_of_a_log_leaves_whole_lines(tmp_path, error, append):
    """Old lines stay until the first new one is written, and none is half there."""
    path, old = tmp_path / "log", b"epoch,loss\r\n0,1.5\r\n"
    for raised in each_fault(
        tmp_path,
        error,
        prepare=lambda: path.write_bytes(old),
        action=lambda: fit(CSVLogger(path, append=append)),
    ):
        text = path.read_bytes()
        assert text == b"" or (text.startswith(b"epoch,") and text.endswith(b"\r\n"))
        assert text.startswith(old) or not (append or raised)
        assert len({line.count(b",") for line in text.removeprefix(old).split(b"\r\n")[:-1]}) <= 1


LOAD = """
import resource, sys
import textrnn
from textrnn import load_sampler
from textrnn.errors import TextRNNError
load_sampler(sys.argv[1])  # what is loaded once, is loaded
for megabytes in range(int(sys.argv[3])):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 1_000_000, -1))
    try:
        load_sampler(sys.argv[2])
        print("loaded")
    except (TextRNNError, OSError, MemoryError) as error:
        print(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc here")
def test_36_45_too_little_memory_for_a_model(tmp_path):
    """It is an error each time until there is enough, and that is a small multiple of the file."""
    gen = TextGenerator("rnn", hidden_size=8, seed=0)
    gen.fit(TEXT, **FIT)
    gen.save(tmp_path / "small")
    large = TextGenerator("rnn", hidden_size=1200, seed=0)
    large.fit(TEXT, **{**FIT, "epochs": 1, "batch_size": 4, "seq_len": 16})
    large.save(tmp_path / "large")
    size = (tmp_path / "large").stat().st_size / 1_000_000
    command = [
        sys.executable,
        "-c",
        LOAD,
        tmp_path / "small",
        tmp_path / "large",
        str(int(5 * size)),
    ]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert set(said) == {"loaded", "MemoryError"}
    assert said[0] == "MemoryError"
    assert said[-1] == "loaded"
