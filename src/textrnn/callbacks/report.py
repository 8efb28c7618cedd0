"""Callbacks that report on training: a log file, sample texts, the progress bar.

A report that cannot be written, because the disk is full or a pipe was closed, never ends training.
"""

import contextlib
import csv
import errno
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from textrnn.callbacks.base import Callback, Logs
from textrnn.callbacks.interval import Interval
from textrnn.callbacks.weights import KeepBestWeights
from textrnn.checks import check_int, warn

_log = logging.getLogger("textrnn")

_LONGEST_SILENCE = 30.0  # seconds without a line, where no bar is drawn
VERBOSE = ("auto", 0, 1, 2)
"""The values of ``fit(verbose=...)``."""


class CSVLogger(Callback):
    """Write the logs of each epoch to a CSV file, one line per epoch.

    Args:
        filename: the file to write. If it exists and is not such a log, that is an error before
            training begins.
        separator: the character between two columns.
        append: add to an existing file instead of replacing it.

    If a line cannot be written later, say because the disk is full, a warning says so, and no
    more lines are written.
    """

    def __init__(self, filename: str | Path, *, separator: str = ",", append: bool = False) -> None:
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._keep: int | None = None  # bytes of the file that stay; None for all
        self._failed = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check that the file can be written. It is emptied when the first line is written.

        Raises:
            FileExistsError: the file exists and is not such a log.
            OSError: it cannot be written.
        """
        if self._size() and self.filename.is_file():
            with self.filename.open("rb") as file:
                if file.read(5) != b"epoch":
                    message = "This file is not a log of epochs; choose another name"
                    raise FileExistsError(errno.EEXIST, message, str(self.filename))
        self.filename.open("a").close()
        self._keep = None if self.append else 0
        self._failed = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line, below a header if the file is empty."""
        if self._failed:
            return
        try:
            values = {k: v for k, v in (logs or {}).items() if not k.startswith("part_")}
            self._write({"epoch": epoch, **values})
        except OSError as error:
            self._failed = True
            _warn(f"{str(self.filename)!r} cannot be written", error)

    def _write(self, row: dict[str, Any]) -> None:
        with self.filename.open("ab", buffering=0) as file:
            if self._keep is not None:
                file.seek(file.truncate(self._keep))
                self._keep = None
            start, lines = file.tell(), io.StringIO(newline="")
            names = dict.fromkeys(["epoch", *getattr(self, "params", {}).get("metrics", ()), *row])
            writer = csv.DictWriter(lines, names, delimiter=self.separator)  # "" if not measured
            if start == 0:
                writer.writeheader()
            writer.writerow(row)
            rest = lines.getvalue().encode()
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(start)  # no half lines
                raise

    def state_dict(self) -> dict[str, Any]:
        """Return the length of the file, so that no line is written twice."""
        return {"bytes": self._size() if self._keep is None else self._keep}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Drop the lines that were written after the backup."""
        if self._size() >= state["bytes"]:
            self._keep = state["bytes"]

    def _size(self) -> int:
        return self.filename.stat().st_size if self.filename.exists() else 0


class SampleText(Callback):
    """Print a generated text now and then. Training is not affected.

    Args:
        prompt: what the text begins with.
        max_new_tokens: the length of the text, in tokens.
        every: print a text after every so many epochs, at least 1, or a ``datetime.timedelta``:
            whenever so much time has passed, in the middle of an epoch too.
        print_fn: called with the text; None prints it to standard output, above a progress bar.
            If it raises OSError, say because a pipe was closed, a warning says so, and no more
            texts are printed.
        **settings: further arguments of ``generate``, such as ``temperature`` or ``seed``.
    """

    needs = ("generate",)

    def __init__(
        self,
        prompt: str = "",
        max_new_tokens: int = 200,
        *,
        every: int | timedelta = 1,
        print_fn: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> None:
        self.prompt, self.settings = prompt, settings
        self.max_new_tokens = check_int("max_new_tokens", max_new_tokens, 0)
        self._interval = Interval("every", every if isinstance(every, timedelta) else "epoch")
        self.every = every if isinstance(every, timedelta) else check_int("every", every, 1)
        self.print_fn = print_fn or print_above_bar
        self._failed = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check the prompt and the settings by generating an empty text."""
        self._failed = False
        self._interval.begin()
        self._write(0)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print a text if one is due."""
        if isinstance(self.every, int) and (epoch + 1) % self.every == 0:
            self._print()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Print a text if enough time has passed."""
        if self._interval.after_batch():
            self._print()

    def _print(self) -> None:
        if self._failed:
            return
        text = self._write(self.max_new_tokens)
        try:
            self.print_fn(text)
        except (OSError, UnicodeError) as error:
            self._failed = True
            _warn("The samples cannot be printed", error)

    def _write(self, max_new_tokens: int) -> str:
        """Return a text, or several joined by line breaks."""
        text = self.model.generate(self.prompt, max_new_tokens, **self.settings)
        return text if isinstance(text, str) else "\n".join(text)


class ProgressBar(Callback):
    """Show the progress of training on standard error: what ``fit(verbose=...)`` adds.

    Args:
        headline: the first line, which says what ``fit`` chose.
        bar: draw a progress bar in addition to the line after each epoch; without one there is
            a line every half minute within a long epoch.
    """

    def __init__(self, headline: str, *, bar: bool) -> None:
        self.headline, self.draws_bar = headline, bar
        self.bar: Any = None
        self.val = ""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Write the headline and draw an empty bar."""
        tell(self.headline)
        self.val, self._epoch, self._told = "", 0, time.monotonic()
        if self.draws_bar and _is_open(sys.stderr):
            with self._until_it_fails():
                self.bar = _tqdm()(
                    total=1000,
                    bar_format="{percentage:3.0f}%|{bar:24}| {postfix[0]} · {remaining} left",
                    postfix=["starting"],
                    mininterval=0.5,
                    file=sys.stderr,
                    leave=False,
                )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Update the bar; without one, write a line if the last one was half a minute ago."""
        if logs and (self.bar is not None or self._is_due()):
            speed = f"{logs['tokens_per_second'] / 1000:.1f}k tokens/s"
            self._show(f"loss {logs['loss']:.3f}{self.val} · {speed}", logs["progress"])

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Take the time."""
        self._tested_from = time.monotonic()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Show that validation is under way."""
        if self.bar is not None or self._is_due():
            self._show(f"validating for {time.monotonic() - self._tested_from:.0f} s", None)

    def _is_due(self) -> bool:
        return not self.draws_bar and time.monotonic() - self._told >= _LONGEST_SILENCE

    def _show(self, text: str, progress: float | None) -> None:
        """Show a text and how much of training is done, 0 to 1; None if that is as before."""
        if self.bar is None:
            self._told = time.monotonic()
            done = "" if progress is None else f"{progress:.0%} · "
            tell(f"epoch {self._epoch + 1}  {done}{text}")
            return
        with self._until_it_fails():
            self.bar.postfix[0] = text
            if progress is None:
                self.bar.update(0)
            else:
                self.bar.update(int(1000 * progress) - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line for this epoch."""
        logs = logs or {}
        epochs = self.params.get("epochs")
        parts = [f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "")]
        parts += [f"{k} {logs[k]:.4f}" for k in ("loss", "val_loss") if k in logs]
        bits = "val_bits_per_char" if "val_bits_per_char" in logs else "bits_per_char"
        if bits in logs:
            parts.append(f"{bits} {logs[bits]:.3f}")
        parts.append(f"{logs.get('seconds', 0):.1f} s")
        total = self.params.get("validation_tokens", 0)
        if (read := logs.get("val_tokens", total)) < total:
            parts.append(f"(validated on the first {read:,.0f} of {total:,} tokens)")
        if "val_loss" in logs:
            self.val = f" · val_loss {logs['val_loss']:.3f}"
        self._told = time.monotonic()
        tell("  ".join(parts))

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Remove the bar."""
        if self.bar is not None:
            with self._until_it_fails():
                self.bar.close()
            self.bar = None

    @contextlib.contextmanager
    def _until_it_fails(self) -> Iterator[None]:
        """Draw on standard error; once that fails, draw no more."""
        try:
            yield
        except (OSError, ValueError):  # ValueError: standard error is closed
            if self.bar is not None:
                self.bar.disable = True
            self.bar = None


def progress(verbose: str | int, headline: str, *, from_start: bool) -> list[Callback]:
    """Return the callbacks that ``fit`` adds: its progress, and keeping the best weights.

    Args:
        verbose: 0 shows nothing, 1 a bar and a line per epoch, 2 only the lines; ``"auto"`` is 1
            in a terminal and 2 elsewhere.
        headline: the first line, which says what ``fit`` chose.
        from_start: whether the weights before the first step may be the best.
    """
    _log.info(headline)
    terminal = _is_open(sys.stderr) and sys.stderr.isatty()
    level = (1 if terminal else 2) if verbose == "auto" else verbose
    if not level:
        return [KeepBestWeights(from_start=from_start)]
    return [ProgressBar(headline, bar=level == 1), KeepBestWeights(tell, from_start=from_start)]


def _tqdm() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns where notebooks lack ipywidgets
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    return tqdm


def print_above_bar(text: str, file: TextIO | None = None) -> None:
    """Print a text above a progress bar. ``file`` is standard output if None.

    Nothing happens if the file is closed.

    Raises:
        OSError, UnicodeError: the text cannot be written.
    """
    stream = file or sys.stdout
    if _is_open(stream):
        _tqdm().write(text, file=stream)
        stream.flush()


def tell(text: str) -> None:
    """Print a line on standard error, above a progress bar; it is lost if that fails."""
    if _is_open(sys.stderr):
        with contextlib.suppress(OSError, UnicodeError):
            print_above_bar(text, sys.stderr)


def _is_open(stream: TextIO | None) -> bool:
    """Return whether a stream is open; it is None under pythonw or if a shell closed it."""
    return stream is not None and not getattr(stream, "closed", False)


def _warn(what: str, error: Exception) -> None:
    with contextlib.suppress(ValueError):  # standard error may be closed
        warn(f"{what} ({error}); training continues without it.")
