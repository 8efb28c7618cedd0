"""The history of a training: the measurements of each epoch."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from textrnn.checks import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Param = int | float | str | bool | None
"""A setting of ``fit``, as ``History.params`` holds it."""

_PLAIN = int | float | str | bool | None  # as Param, for isinstance
_SHOWN = 10  # the number of epochs in a notebook's table


class History:
    """Holds what ``fit`` measured: one value per epoch for each quantity, as in Keras.

    ``print`` shows one line; a notebook shows a table of the last epochs.

    Attributes:
        history: name to list of values. ``loss`` and ``val_loss`` are nats per token,
            ``bits_per_char`` and ``perplexity`` derive from them, ``val_accuracy`` is the share
            of tokens that the model found likeliest, ``gradient_norm`` the mean norm of the
            gradients before clipping, ``learning_rate`` the rate of the epoch's last step (in
            the last layer group), ``seconds`` the wall time of the epoch, validation included.
            With ``minutes``, ``val_tokens`` is how many tokens were validated on. What was not
            measured in an epoch is NaN.
        epoch: the numbers of the epochs, from 0.
        params: the settings ``fit`` used, given or chosen: ``epochs``, ``minutes``, ``seed``,
            ``learning_rate`` (the peak), ``batch_size``, ``seq_len``, ``precision`` (of matrix
            products) and ``speed``: how many tokens per second an LSTM of width 256 reads on this
            machine. ``fit(minutes=...)`` chooses sizes by it; it is 0 if it was not measured.
        stopped_by: None if training ran to its end, else ``"interrupt"`` (Ctrl-C),
            ``"terminate"`` (SIGTERM, SIGHUP) or ``"callback"`` (something set ``stop_training``).

    >>> history = History()
    >>> history.append(0, {"loss": 2.5, "val_loss": 2.4})
    >>> history.append(1, {"loss": 2.1, "val_loss": 2.2})
    >>> history.history
    {'loss': [2.5, 2.1], 'val_loss': [2.4, 2.2]}
    >>> history
    History(2 epochs: loss=2.1, val_loss=2.2)
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.params: dict[str, Param] = {}
        self.stopped_by: str | None = None

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Add the values of one epoch; what was not measured in it is NaN."""
        before = len(self.epoch)
        self.epoch.append(int(epoch))
        for name in {**self.history, **logs}:
            column = self.history.setdefault(name, [])
            column += [math.nan] * (before - len(column))
            column.append(float(logs.get(name, math.nan)))

    def __len__(self) -> int:
        return len(self.epoch)

    def __repr__(self) -> str:
        names = [name for name in ("loss", "val_loss", self._bits) if name in self.history]
        last = ", ".join(f"{name}={self.history[name][-1]:.4g}" for name in names)
        epochs = f"{len(self)} epoch{'' if len(self) == 1 else 's'}"
        return f"History({epochs}{': ' + last if last else ''})"

    def _repr_html_(self) -> str:
        """Return a table of the last epochs as HTML, for Jupyter."""
        columns = {
            "loss": ("loss (nats per token)", ".4f"),
            "val_loss": ("val_loss (nats per token)", ".4f"),
            self._bits: ("bits per character", ".3f"),
            "seconds": ("seconds", ".1f"),
        }
        present = {name: columns[name] for name in columns if self.history.get(name)}
        titles = ["epoch", *(title for title, _ in present.values())]
        rows = [
            [
                str(self.epoch[i] + 1),
                *(self._cell(name, i, spec) for name, (_, spec) in present.items()),
            ]
            for i in range(-min(len(self), _SHOWN), 0)
        ]
        return html_table(repr(self), titles, rows)

    def _cell(self, name: str, i: int, spec: str) -> str:
        """Return a quantity as text, i epochs before the end; empty if it was not measured."""
        values = self.history[name]
        return format(values[i], spec) if len(values) >= -i and values[i] == values[i] else ""

    @property
    def _bits(self) -> str:
        """The bits per character to show: those of the validation text, if there is one."""
        return "val_bits_per_char" if "val_bits_per_char" in self.history else "bits_per_char"

    def to_config(self) -> dict[str, Any]:
        """Return the history as plain values for a JSON file, NaN and infinities as strings."""
        history = {
            name: [value if math.isfinite(value) else str(value) for value in values]
            for name, values in self.history.items()
        }
        facts = {"epoch": self.epoch, "params": plain(self.params), "stopped_by": self.stopped_by}
        return {"history": history, **facts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "History":
        """Return the history that ``to_config`` described.

        Raises:
            KeyError, TypeError, ValueError: no training can have this history.
        """
        history = cls()
        history.history = {str(k): [float(v) for v in vs] for k, vs in config["history"].items()}
        history.epoch = [int(epoch) for epoch in config["epoch"]]
        history.params = dict(config.get("params", {}))
        history.stopped_by = config["stopped_by"]
        odd = [v for v in history.params.values() if not isinstance(v, _PLAIN)]
        if odd or not isinstance(history.stopped_by, str | None):
            raise TypeError(f"A history's settings are plain values, not {odd or 'another end'}")
        return history

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw training and validation loss over the epochs.

        Args:
            ax: the matplotlib axes to draw in; a new figure if None.

        Returns:
            The axes, to label or save: ``ax.figure.savefig("loss.png")``. The title names the
            epoch with the lowest validation loss.

        Raises:
            ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
        """
        ax = ax or new_axes()
        for name, label in (("loss", "training"), ("val_loss", "validation")):
            if values := self.history.get(name):
                pairs = zip(self.epoch[-len(values) :], values, strict=True)
                known = [(epoch + 1, value) for epoch, value in pairs if not math.isnan(value)]
                ax.plot(*zip(*known, strict=True), marker=".", label=label)
        ax.set_title(self._best())
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss (nats per token)")
        ax.locator_params(axis="x", integer=True)
        if ax.lines:
            ax.legend()
        return ax

    def _best(self) -> str:
        """Return in words which epoch had the lowest validation loss; empty without validation."""
        values = self.history.get("val_loss", [])
        epochs = self.epoch[len(self) - len(values) :]
        finite = [(v, e + 1) for v, e in zip(values, epochs, strict=True) if math.isfinite(v)]
        if not finite:
            return ""
        value, epoch = min(finite)
        return f"lowest validation loss: {value:.4f} in epoch {epoch}"


def html_table(caption: str, header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML, with all its text escaped.

    >>> html_table("n < 2", ["n"], [[1]])
    '<table><caption>n &lt; 2</caption><tr><th>n</th></tr><tr><td>1</td></tr></table>'
    """
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    body = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    lines = "".join(f"<tr>{line}</tr>" for line in [head, *body])
    return f"<table><caption>{html.escape(caption)}</caption>{lines}</table>"


def new_axes() -> "Axes":
    """Return the axes of a new figure, or raise ``ImportError`` if matplotlib is missing."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError('Plots need matplotlib: pip install "textrnn[plot]"') from None
    return pyplot.subplots(figsize=(6, 4), layout="constrained")[1]
