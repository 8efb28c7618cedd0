"""When callbacks are due, with a clock that the test moves."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from textrnn import TextGenerator
from textrnn.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, SampleText
from textrnn.callbacks import report as report_module
from textrnn.callbacks.interval import Interval
from textrnn.callbacks.report import ProgressBar

TEXT = "the cat sat on the mat. " * 60
FIT = {"batch_size": 4, "seq_len": 16, "verbose": 0}


@pytest.fixture
def wall(monkeypatch):
    """Return the time: ``wall.now`` in seconds, which stands still until a test moves it."""
    wall = SimpleNamespace(now=100.0)
    fake = SimpleNamespace(monotonic=lambda: wall.now)
    monkeypatch.setattr("textrnn.callbacks.interval.time", fake)
    monkeypatch.setattr("textrnn.callbacks.report.time", fake)
    return wall


def test_a_time_is_counted_from_when_it_was_last_due(wall):
    """Ten seconds are over after the batch in which they end, and then count anew."""
    interval, due = Interval("every", timedelta(seconds=10)), []
    for seconds in (4, 4, 4, 9, 1, 0):
        wall.now += seconds
        due.append(interval.after_batch())
    assert due == [False, False, True, False, True, False]


@pytest.mark.parametrize("value", [0, -1, timedelta(0), "batch"])
def test_what_is_no_interval_is_refused(value):
    """The message has the argument's name."""
    with pytest.raises(ValueError, match=r"`save_freq` must be .*Received: "):
        ModelCheckpoint("x", save_freq=value)


def test_samples_come_in_the_middle_of_an_epoch():
    """With a time, a text is printed whenever it has passed: here after every batch."""
    got = []
    gen = TextGenerator("gru", hidden_size=4, seed=0)
    sample = SampleText("the ", 3, every=timedelta(microseconds=1), print_fn=got.append)
    gen.fit(TEXT, epochs=1, callbacks=[sample], **FIT)
    assert len(got) > 5
    assert {len(text) for text in got} == {7}


def test_checkpoints_come_in_the_middle_of_an_epoch(tmp_path):
    """With a time, the model is saved whenever it has passed."""
    save = ModelCheckpoint(tmp_path / "{loss:.9f}.x", save_freq=timedelta(microseconds=1))
    TextGenerator("gru", hidden_size=4, seed=0).fit(TEXT, epochs=1, callbacks=[save], **FIT)
    assert len(list(tmp_path.iterdir())) > 5


def test_a_long_epoch_has_a_line_every_half_minute(wall, monkeypatch):
    """Without a bar, something is written within an epoch and within its validation."""
    told = []
    monkeypatch.setattr(report_module, "tell", told.append)
    bar = ProgressBar("headline", bar=False)
    bar.set_params({"validation_tokens": 100})
    bar.on_train_begin()
    bar.on_epoch_begin(1)
    logs = {"loss": 2.5, "tokens_per_second": 8100.0, "progress": 0.125}
    for batch in range(7):
        wall.now += 10
        bar.on_train_batch_end(batch, logs)
    bar.on_test_begin()
    wall.now += 31
    bar.on_test_batch_end(0)
    bar.on_epoch_end(1, {"loss": 2.5, "val_loss": 2.25, "val_tokens": 40, "seconds": 101})
    line = "epoch 2  12% · loss 2.500 · 8.1k tokens/s"
    last = (
        "epoch 2  loss 2.5000  val_loss 2.2500  101.0 s  (validated on the first 40 of 100 tokens)"
    )
    assert told == ["headline", line, line, "epoch 2  validating for 31 s", last]


def test_patience_counts_validated_epochs():
    """An epoch that was not validated is neither better nor worse."""
    stop = EarlyStopping(patience=1, baseline=0.0)  # nothing is better than that
    gen = TextGenerator("gru", hidden_size=4, seed=0)
    history = gen.fit(TEXT, epochs=9, validation_freq=3, callbacks=[stop], **FIT)
    assert len(history) == 3


def test_a_log_leaves_out_what_was_not_measured(tmp_path):
    """All lines have the same columns; those of validation are empty where there was none."""
    log = CSVLogger(tmp_path / "log.csv")
    gen = TextGenerator("gru", hidden_size=4, seed=0)
    gen.fit(TEXT, epochs=2, validation_freq=2, callbacks=[log], **FIT)
    header, *rows = (line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines())
    column = header.index("val_loss")
    assert [row[column] == "" for row in rows] == [True, False]
    assert {len(row) for row in rows} == {len(header)}
