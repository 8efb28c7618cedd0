"""What was measured is kept, drawn as it is, and survives a file."""

import json
import math
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from textrnn.history import History


@pytest.fixture
def history():
    """Three epochs, from the fourth on."""
    history = History()
    for epoch, loss, val_loss in [(3, 2.5, 2.4), (4, 2.25, 2.3), (5, 2.125, 2.35)]:
        history.append(epoch, {"loss": loss, "val_loss": val_loss})
    return history


def test_append_collects_the_values_by_name(history):
    """Every quantity is a list of floats, one an epoch; NaN where it was not measured."""
    history.append(6, {"loss": 2, "seconds": 7})
    assert math.isnan(history.history["val_loss"].pop())
    assert [math.isnan(history.history["seconds"].pop(0)) for _ in range(3)] == [True] * 3
    assert history.history == {
        "loss": [2.5, 2.25, 2.125, 2.0],
        "val_loss": [2.4, 2.3, 2.35],
        "seconds": [7.0],
    }
    assert {type(value) for values in history.history.values() for value in values} == {float}
    assert history.epoch == [3, 4, 5, 6]
    assert len(history) == 4


def test_histories_are_apart():
    """A new history is empty, whatever was written to another one."""
    History().append(0, {"loss": 1.0})
    assert (History().history, History().epoch, History().stopped_by) == ({}, [], None)
    assert len(History()) == 0


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([], "History(0 epochs)"),
        ([{}], "History(1 epoch)"),
        (
            [{"loss": 3}, {"loss": 2.34567, "val_loss": math.nan, "perplexity": 9}],
            "History(2 epochs: loss=2.346, val_loss=nan)",
        ),
        (
            [{"loss": 2, "bits_per_char": 2.8, "val_bits_per_char": 3.0, "seconds": 1}],
            "History(1 epoch: loss=2, val_bits_per_char=3)",
        ),
        ([{"loss": 2, "bits_per_char": 2.8}], "History(1 epoch: loss=2, bits_per_char=2.8)"),
    ],
)
def test_repr_has_the_last_losses(epochs, expected):
    """A history is shown as the number of its epochs and its last losses, in one line."""
    history = History()
    for epoch, logs in enumerate(epochs):
        history.append(epoch, logs)
    assert repr(history) == expected


def cells_of(history):
    """Return the text of every cell of the table that a notebook shows, row by row."""
    table = ElementTree.fromstring(history._repr_html_())
    return [[cell.text or "" for cell in row] for row in table.iter("tr")]


def test_a_notebook_shows_the_last_ten_epochs():
    """Loss, validation loss, bits per character and seconds, where they were measured."""
    history = History()
    for epoch in range(3, 15):
        logs = {"loss": 1 / 3, "bits_per_char": 2.0, "seconds": 7, "gradient_norm": 0.5}
        history.append(epoch, logs | ({"val_loss": epoch / 8} if epoch == 14 else {}))
    header, *rows = cells_of(history)
    assert [name.split(" (")[0] for name in header] == [
        "epoch", "loss", "val_loss", "bits per character", "seconds",
    ]  # fmt: skip
    assert [row[0] for row in rows] == [str(epoch) for epoch in range(6, 16)]
    assert rows[0] == ["6", "0.3333", "", "2.000", "7.0"]
    assert rows[-1] == ["15", "0.3333", "1.7500", "2.000", "7.0"]


def test_a_notebook_shows_a_history_without_epochs():
    """As a table without rows."""
    assert cells_of(History()) == [["epoch"]]


@pytest.mark.parametrize("stopped_by", [None, "interrupt", "callback"])
def test_a_history_survives_strict_json(history, stopped_by):
    """What was written as JSON that has no NaN comes back the same, NaN and infinities too."""
    history.stopped_by = stopped_by
    history.params = {"epochs": np.int64(3), "minutes": None, "learning_rate": np.float64(0.1)}
    for epoch, value in enumerate([math.nan, math.inf, -math.inf, 5e-324, 1 / 3], start=6):
        history.append(epoch, {"loss": value})
    again = History.from_config(json.loads(json.dumps(history.to_config(), allow_nan=False)))
    assert repr(again.history) == repr(history.history)
    assert again.epoch == history.epoch
    assert again.params == history.params
    assert again.stopped_by == stopped_by


def test_plot_draws_both_losses(history):
    """Training and validation loss are drawn over the epochs, counted from 1."""
    ax = Figure().subplots()
    assert history.plot(ax) is ax
    assert {line.get_label(): line.get_xydata().tolist() for line in ax.lines} == {
        "training": [[4.0, 2.5], [5.0, 2.25], [6.0, 2.125]],
        "validation": [[4.0, 2.4], [5.0, 2.3], [6.0, 2.35]],
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats per token)")
    assert ax.get_title() == "lowest validation loss: 2.3000 in epoch 5"
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["training", "validation"]


@pytest.mark.parametrize("unmeasured", [{}, {"val_loss": math.nan}])
def test_plot_without_validation(unmeasured):
    """Where no epoch has a validation loss, the title names none."""
    history = History()
    history.append(0, {"loss": 2.5, "seconds": 1.0, **unmeasured})
    ax = history.plot(Figure().subplots())
    line = ax.lines[0]
    assert ax.get_title() == ""
    assert line.get_xydata().tolist() == [[1.0, 2.5]]


@pytest.mark.parametrize("epochs", [[], [{"seconds": 1.0}]])
def test_plot_of_nothing_is_empty(epochs):
    """A history without losses (of an n-gram model, say) is drawn as empty axes."""
    history = History()
    for epoch, logs in enumerate(epochs):
        history.append(epoch, logs)
    assert list(history.plot(Figure().subplots()).lines) == []


@pytest.mark.slow
def test_plot_makes_a_figure_of_its_own(history, tmp_path):
    """Without axes a figure is made, which can be saved as the docstring says."""
    mpl.use("agg")
    from matplotlib import pyplot

    ax = history.plot()
    try:
        assert len(ax.lines) == 2
        ax.figure.savefig(tmp_path / "loss.png")
        assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    finally:
        pyplot.close(ax.figure)


def test_without_matplotlib_there_is_a_hint(history, monkeypatch):
    """Without matplotlib the error says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'need matplotlib: pip install "textrnn\[plot\]"'):
        history.plot()
