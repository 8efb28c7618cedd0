"""Callbacks that tell how training goes."""

import csv
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from textrnn.callbacks.base import Callback, Logs
from textrnn.callbacks.weights import KeepBestWeights
from textrnn.checks import check_int

_log = logging.getLogger("textrnn")

VERBOSE = ("auto", 0, 1, 2)
"""What ``fit`` may be asked to show."""


class CSVLogger(Callback):
    """Writes the epoch's logs to a CSV file, a line an epoch.

    Args:
        filename: the file.
        separator: between the columns.
        append: go on writing in a file that exists, instead of replacing it.
    """

    def __init__(self, filename: str | Path, *, separator: str = ",", append: bool = False) -> None:
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._keep: int | None = None  # bytes of the file that stay; None for all

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See that the file can be written; it is emptied, or not, when there is a line."""
        self.filename.open("a").close()
        self._keep = None if self.append else 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line, and the names of the columns above the first one."""
        row = {"epoch": epoch, **(logs or {})}
        with self.filename.open("a", newline="") as file:
            if self._keep is not None:
                file.seek(file.truncate(self._keep))
                self._keep = None
            writer = csv.DictWriter(file, row, delimiter=self.separator)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)

    def state_dict(self) -> dict[str, Any]:
        """Return how long the file is, so that no line is written twice."""
        return {"bytes": self.filename.stat().st_size if self._keep is None else self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take away what was written after the backup."""
        if self.filename.stat().st_size >= state["bytes"]:
            self._keep = state["bytes"]


class SampleText(Callback):
    """Prints a text by the model after every epoch. It does not disturb training.

    Args:
        prompt: what the text begins with.
        max_new_tokens: its length.
        every: epochs between two texts.
        print_fn: where it goes; by default to standard output, above a progress bar.
        **settings: any further settings of ``generate``, ``temperature`` and ``seed`` say.
    """

    def __init__(
        self,
        prompt: str = "",
        max_new_tokens: int = 200,
        *,
        every: int = 1,
        print_fn: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> None:
        self.prompt, self.max_new_tokens, self.settings = prompt, max_new_tokens, settings
        self.every = check_int("every", every, 1)
        self.print_fn = print_fn or print_above_bar

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print a text."""
        if (epoch + 1) % self.every == 0:
            text = self.model.generate(self.prompt, self.max_new_tokens, **self.settings)
            self.print_fn(text)


class ProgressBar(Callback):
    """Shows how training goes, on standard error: what ``fit(verbose=...)`` adds.

    Args:
        headline: what is written first: what was chosen.
        bar: draw a moving bar besides the line after each epoch.
    """

    def __init__(self, headline: str, *, bar: bool) -> None:
        self.headline, self.draws_bar = headline, bar
        self.bar: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Write the headline, draw the empty bar."""
        print_above_bar(self.headline, file=sys.stderr)
        if self.draws_bar:
            self.bar = _tqdm()(
                total=1000,
                bar_format="{percentage:3.0f}%|{bar:24}| {postfix[0]} · {remaining} left",
                postfix=["starting"],
                mininterval=0.5,
                file=sys.stderr,
                leave=False,
            )
        self.val = ""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Move the bar."""
        if self.bar is not None and logs:
            speed = f"{logs['tokens_per_second'] / 1000:.1f}k tokens/s"
            self.bar.postfix[0] = f"loss {logs['loss']:.3f}{self.val} · {speed}"
            self.bar.update(int(1000 * logs["progress"]) - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's line."""
        logs = logs or {}
        epochs = self.params.get("epochs")
        parts = [f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "")]
        parts += [f"{k} {logs[k]:.4f}" for k in ("loss", "val_loss") if k in logs]
        bits = "val_bits_per_char" if "val_bits_per_char" in logs else "bits_per_char"
        if bits in logs:
            parts.append(f"{bits} {logs[bits]:.3f}")
        parts.append(f"{logs.get('seconds', 0):.1f} s")
        self.val = f" · val_loss {logs['val_loss']:.3f}" if "val_loss" in logs else ""
        print_above_bar("  ".join(parts), file=sys.stderr)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def progress(verbose: str | int, headline: str) -> list[Callback]:
    """Return what ``fit`` adds: what it shows, and that it ends with the best weights.

    It shows a bar in a terminal, lines elsewhere, and nothing for 0.
    """
    _log.info(headline)
    level = (1 if sys.stderr.isatty() else 2) if verbose == "auto" else verbose
    if not level:
        return [KeepBestWeights()]
    tell = partial(print_above_bar, file=sys.stderr)
    return [ProgressBar(headline, bar=level == 1), KeepBestWeights(tell)]


def _tqdm() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns where notebooks lack ipywidgets
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    return tqdm


def print_above_bar(text: str, file: Any = None) -> None:
    """Print a text so that it does not tear a progress bar; to standard output as a rule."""
    _tqdm().write(text, file=file or sys.stdout)
