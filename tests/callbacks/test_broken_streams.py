"""A report that cannot be written ends no training."""

import contextlib
import csv
import io
import os
import sys
import warnings

import pytest

from textrnn import TextGenerator
from textrnn.callbacks import CSVLogger, LambdaCallback, SampleText

FIT = {"batch_size": 8, "seq_len": 32, "verbose": 0}


def full_disk():
    """Return a stream that takes nothing, as on a full disk."""
    return open("/dev/full", "w", buffering=1)


def closed():
    """Return a stream that is closed."""
    with open(os.devnull, "w") as stream:
        return stream


def left_by_its_reader():
    """Return a stream into a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", buffering=1)


BROKEN = {"full": full_disk, "closed": closed, "left": left_by_its_reader, "none": lambda: None}


@pytest.fixture(params=BROKEN)
def broken(request):
    """A stream that cannot be written, or None where there is no stream, as under pythonw."""
    stream = BROKEN[request.param]()
    yield stream
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def fit(text, epochs=3, **settings):
    """Train a small model; return its history."""
    gen = TextGenerator("gru", hidden_size=4, seed=0, device="cpu")
    return gen.fit(text, epochs=epochs, **{**FIT, **settings})


@pytest.mark.slow
@pytest.mark.parametrize("verbose", ["auto", 0, 1, 2])
def test_progress(text, monkeypatch, capsys, broken, verbose):
    """All epochs are trained, and nothing is written elsewhere instead."""
    monkeypatch.setattr(sys, "stderr", broken)
    assert len(fit(text, verbose=verbose)) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_samples(text, monkeypatch, broken):
    """There is one warning if there was a stream to write to."""
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(sys, "stdout", broken)
        assert len(fit(text, callbacks=[SampleText("one", 5)])) == 3
    messages = [str(warning.message) for warning in caught]
    fails = broken is not None and not broken.closed
    assert len(messages) == int(fails)
    assert all(message.startswith("The samples cannot be printed (") for message in messages)


def test_samples_that_a_terminal_has_no_letters_for(text, monkeypatch):
    """They end no training either."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with pytest.warns(UserWarning, match=r"The samples cannot be printed .*ascii"):
        assert len(fit(text + "é", callbacks=[SampleText("é", 5)])) == 3


def test_a_log(tmp_path, text):
    """There is one warning, and what was written before stays."""
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    move = LambdaCallback(on_epoch_begin=lambda epoch, _: epoch == 1 and folder.rename(moved))
    with pytest.warns(UserWarning, match=r"log.csv' cannot be written .*; training") as caught:
        history = fit(text, epochs=4, callbacks=[CSVLogger(folder / "log.csv"), move])
    assert len(caught) == 1
    assert len(history) == 4
    with (moved / "log.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0"]
