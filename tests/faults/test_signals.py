"""Rows 54 to 59 of the fault table: signals, and exceptions in callbacks."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from tests.faults.training import FIT, LSTM, STEPS, TEXT, assert_whole, run
from textrnn import (
    BackupAndRestore,
    Callback,
    LambdaCallback,
    TextGenerator,
    load_sampler,
)

pytestmark = pytest.mark.faults


# 54 to 58: signals


def raise_at(number, signum):
    """Return a callback that sends this process a signal at the n-th batch."""
    batches = []

    def count(batch, logs):
        batches.append(batch)
        if len(batches) == number:
            signal.raise_signal(signum)

    return LambdaCallback(on_train_batch_end=count)


@pytest.fixture
def delivered():
    """What signals reach the program, which takes note of them and stays."""
    numbers = []
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda number, frame: numbers.append(number))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "name"),
    [
        (signal.SIGINT, "interrupt"),
        (signal.SIGTERM, "terminate"),
        (signal.SIGHUP, "terminate"),
    ],
)
@pytest.mark.parametrize("number", [5, STEPS, 2 * STEPS + 3])
def test_54_57_a_signal_ends_training_and_nothing_is_lost(
    whole, tmp_path, delivered, signum, name, number
):
    """The history says so, the program is told, and the next run reaches the same end."""
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    backup = BackupAndRestore(tmp_path / "b")
    gen, history = run(backup, raise_at(number, signum))
    assert history.stopped_by == name
    assert delivered == ([] if signum == signal.SIGINT else [signum])
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


@pytest.mark.slow
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


@pytest.mark.slow
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
