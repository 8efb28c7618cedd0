"""What training measured, epoch by epoch."""

import math
from typing import TYPE_CHECKING, Any

from textrnn.checks import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class History:
    """Holds what ``fit`` measured: one value an epoch of each quantity, as in Keras.

    Attributes:
        history: name to list of values. ``loss`` and ``val_loss`` are nats per token,
            ``bits_per_char`` and ``perplexity`` derive from them, ``gradient_norm`` is the mean
            norm of the gradients before clipping, ``learning_rate`` the rate of the epoch's last
            step (of the last layer group), ``seconds`` the wall time of the epoch, validation
            included.
        epoch: the numbers of the epochs, from 0.
        params: with what ``TextGenerator.fit`` trained, chosen or given: ``epochs``, ``minutes``,
            ``seed``, ``learning_rate`` (the peak), ``batch_size``, ``seq_len``, ``precision``
            of the products, and ``speed``: the tokens a second that an LSTM of 256 was measured
            to read on this machine, from which sizes were chosen for a time (0 where there was
            no need).
        stopped_by: None if training ran to its end, else ``"interrupt"`` (Ctrl-C),
            ``"terminate"`` (SIGTERM) or ``"callback"`` (something set ``stop_training``).

    >>> history = History()
    >>> history.append(0, {"loss": 2.5, "val_loss": 2.4})
    >>> history.append(1, {"loss": 2.1, "val_loss": 2.2})
    >>> history.history
    {'loss': [2.5, 2.1], 'val_loss': [2.4, 2.2]}
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.params: dict[str, Any] = {}
        self.stopped_by: str | None = None

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Add the values of one epoch."""
        self.epoch.append(int(epoch))
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def __len__(self) -> int:
        return len(self.epoch)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self)} epochs{': ' + last if last else ''})"

    def to_config(self) -> dict[str, Any]:
        """Return the history as plain lists, for a JSON file, which has no word for NaN."""
        history = {
            name: [value if math.isfinite(value) else str(value) for value in values]
            for name, values in self.history.items()
        }
        facts = {"epoch": self.epoch, "params": plain(self.params), "stopped_by": self.stopped_by}
        return {"history": history, **facts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "History":
        """Rebuild a history from what ``to_config`` gave."""
        history = cls()
        history.history = {str(k): [float(v) for v in vs] for k, vs in config["history"].items()}
        history.epoch = [int(epoch) for epoch in config["epoch"]]
        history.params = dict(config.get("params", {}))
        history.stopped_by = config["stopped_by"]
        return history

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw training and validation loss over the epochs.

        Args:
            ax: where to draw; a new figure if None.

        Returns:
            The matplotlib axes, to label or save: ``ax.figure.savefig("loss.png")``.

        Raises:
            ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
        """
        ax = ax or new_axes()
        for name, label in (("loss", "training"), ("val_loss", "validation")):
            if values := self.history.get(name):
                ax.plot(
                    [e + 1 for e in self.epoch[-len(values) :]], values, marker=".", label=label
                )
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss (nats per token)")
        ax.locator_params(axis="x", integer=True)
        if ax.lines:
            ax.legend()
        return ax


def new_axes() -> "Axes":
    """Return the axes of a new figure, or say how to get matplotlib."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError('Plots need matplotlib: pip install "textrnn[plot]"') from None
    return pyplot.subplots(figsize=(6, 4), layout="constrained")[1]
