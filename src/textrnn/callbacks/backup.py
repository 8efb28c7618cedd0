"""The callback that lets a training survive its process."""

import logging
import time
import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from textrnn.callbacks.base import Callback, Logs
from textrnn.checks import check_int
from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files import model_file
from textrnn.files.atomic import check_folder

_log = logging.getLogger("textrnn")

Snapshot = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""The header and the tensors of a backup."""


class BackupAndRestore(Callback):
    """Backs training up, and goes on from the backup when the same ``fit`` is called again.

    Run the script again after a crash, a reboot or a Ctrl-C: ``fit`` finds the backup and goes
    on in the middle of the epoch, with the weights, the optimiser, the random numbers, the
    hidden state of every row of the batch, the history and what the other callbacks remember. On
    a CPU with the same number of threads, the same PyTorch and a number of epochs, the result is
    that of a training that was never interrupted, to the last bit.

    Two backups are kept, the newest and the one before it (``.previous`` is added to its
    name), in case the newest cannot be read; one that is damaged is set aside as ``.damaged``.
    Both are deleted when training has come to its end. Ctrl-C and SIGTERM write one more before
    ``fit`` returns.

    Args:
        path: the file; not the one that the model will be saved to.
        save_freq: ``"epoch"``, a number of batches, or a ``datetime.timedelta``.
        delete_checkpoint: delete the backups when training has come to its end.

    Raises:
        TypeError, ValueError: ``save_freq`` is none of these. ``fit`` raises ``ValueError``
            where the backup is of another training: another text, vocabulary, model, batch
            size and so on, which the message lists.

    >>> BackupAndRestore("novel.backup", save_freq=timedelta(minutes=1)).save_freq.seconds
    60
    """

    def __init__(
        self,
        path: str | Path,
        save_freq: str | int | timedelta = "epoch",
        *,
        delete_checkpoint: bool = True,
    ) -> None:
        self.path = Path(path)
        self.previous = self.path.with_name(f"{self.path.name}.previous")
        if isinstance(save_freq, timedelta):
            if save_freq <= timedelta(0):
                raise ValueError(f"`save_freq` must be above 0. Received: {save_freq!r}")
        elif save_freq != "epoch":
            if isinstance(save_freq, str):
                raise ValueError(
                    "`save_freq` must be 'epoch', a number of batches, or a timedelta. "
                    f"Received: {save_freq!r}"
                )
            check_int("save_freq", save_freq, 1)
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin to count the time to the next backup."""
        self._last = (time.monotonic(), 0)

    def due(self, steps: int | None) -> bool:
        """Return whether it is time for a backup.

        Args:
            steps: how many were made; None between two epochs.
        """
        began, before = self._last
        if steps is None:
            return self.save_freq == "epoch"
        if isinstance(self.save_freq, timedelta):
            return time.monotonic() - began >= self.save_freq.total_seconds()
        if not isinstance(self.save_freq, int) or steps == before or steps % self.save_freq:
            return False
        self._last = (began, steps)
        return True

    def write(self, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        """Write a backup; the newest one becomes the previous one.

        A backup that cannot be written must not end training: it is a warning.
        """
        self._last = (time.monotonic(), self._last[1])
        try:
            if self.path.exists():
                self.path.replace(self.previous)
            model_file.save(self.path, header, tensors)
        except OSError as error:
            warnings.warn(
                f"The backup could not be written ({error}); training goes on without it. "
                f"Received: {str(self.path)!r}",
                stacklevel=2,
            )

    def read(self) -> Snapshot | None:
        """Return the newest backup that is whole, or None if there is none.

        Raises:
            FileNotFoundError: there is no folder for the backup.
            UnsupportedFormatError: the file is something else, which is left alone.
            CorruptModelError: there are backups, and none is whole.
        """
        check_folder(self.path)
        damaged = None
        for path in (self.path, self.previous):
            try:
                header, tensors = model_file.load(path)
            except FileNotFoundError:
                continue
            except CorruptModelError as error:
                warnings.warn(f"A backup is damaged and was passed over: {error}", stacklevel=2)
                path.replace(path.with_name(f"{path.name}.damaged"))
                damaged = error
                continue
            if "backup" not in header:
                raise UnsupportedFormatError(
                    "This file is a model, not a backup of a training; choose another path for "
                    f"backups. Received: {str(path)!r}"
                )
            _log.info("training goes on from the backup %s", path)
            return header, tensors
        if damaged is not None:
            raise damaged
        return None

    def read_choices(self) -> dict[str, Any] | None:
        """Return what was chosen for the training that was backed up, sizes and model."""
        found = self.read()
        if found is None:
            return None
        try:
            return {**found[0]["backup"], **found[0]["history"]["params"]}
        except (KeyError, TypeError) as error:
            raise CorruptModelError(
                f"The backup's header does not say what was chosen ({error!r:.100}). "
                f"Received: {str(self.path)!r}"
            ) from None

    def finish(self) -> None:
        """Delete the backups of a training that has come to its end."""
        if self.delete_checkpoint:
            for path in (self.path, self.previous):
                path.unlink(missing_ok=True)


def find_backup(callbacks: Any) -> BackupAndRestore | None:
    """Return the one ``BackupAndRestore`` among callbacks, if there is one.

    Raises:
        ValueError: there are several.
    """
    found = [c for c in callbacks if isinstance(c, BackupAndRestore)]
    if len(found) > 1:
        paths = [str(backup.path) for backup in found]
        raise ValueError(f"`callbacks` may hold one BackupAndRestore only. Received: {paths}")
    return found[0] if found else None


def check_fingerprint(
    backed_up: Mapping[str, Any], identity: Mapping[str, Any], path: Path
) -> None:
    """Raise ``ValueError`` with what differs, unless a backup is of this very training."""
    names = sorted({*backed_up, *identity})
    different = [
        f"{name} was {backed_up.get(name)!r:.80} and is {identity.get(name)!r:.80}"
        for name in names
        if backed_up.get(name) != identity.get(name)
    ]
    if different:
        raise ValueError(
            "The backup is of another training, and cannot be gone on from: "
            f"{'; '.join(different)}. Call fit as before, or delete the backup to begin anew. "
            f"Received: {str(path)!r}"
        )
