"""Crash recovery: back up a run and resume it."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from textrnn import __version__
from textrnn.callbacks.base import Callback, Logs
from textrnn.callbacks.interval import Interval
from textrnn.checks import warn
from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files import model_file
from textrnn.files.atomic import check_folder
from textrnn.files.state_tree import flatten_state, unflatten_state

_log = logging.getLogger("textrnn")


class BackupAndRestore(Callback):
    """Back up a run, and resume it when the same ``fit`` is called again.

    Run the script again after a crash, a reboot or a Ctrl-C: ``fit`` finds the backup and resumes
    in the middle of the epoch, with the weights, the optimiser, the random numbers, the hidden
    state of every row of the batch, the history and the state of the other callbacks. The result
    equals that of an uninterrupted run to the last bit, given a number of epochs, the same
    PyTorch, and a CPU with the same number of threads.

    Two backups are kept, in case the newest cannot be read: the older one has ``.previous`` added
    to its name. A damaged one is set aside as ``.damaged``. Both are deleted at the end of
    training. Ctrl-C, SIGTERM and SIGHUP write one more before ``fit`` returns; SIGTERM and SIGHUP
    are then delivered again, so that they end the program.

    Args:
        path: the backup file; not the one that the model will be saved to.
        save_freq: ``"epoch"``, a number of batches, or a ``datetime.timedelta``.
        delete_checkpoint: delete the backups at the end of training. If False, a last one is
            written instead, so nothing is lost if saving the model fails; call ``delete`` once
            it is saved.

    Raises:
        TypeError, ValueError: ``save_freq`` is none of these. ``fit`` raises ``ValueError`` if
            the backup belongs to a different run. The message lists what differs: the text, the
            vocabulary, the model, the batch size and so on.

    >>> BackupAndRestore("novel.backup", save_freq=timedelta(minutes=1)).save_freq.seconds
    60
    """

    runs_last = True  # so that a backup includes what the other callbacks did

    def __init__(
        self,
        path: str | Path,
        save_freq: str | int | timedelta = "epoch",
        *,
        delete_checkpoint: bool = True,
    ) -> None:
        self.path = Path(path)
        self.previous = self.path.with_name(f"{self.path.name}.previous")
        self.save_freq = save_freq
        self._interval = Interval("save_freq", save_freq)
        self.delete_checkpoint = delete_checkpoint

    def saved_plan(self) -> dict[str, Any] | None:
        """Return the plan of the run that was backed up, if there is a backup."""
        found = self._read()
        return None if found is None else found[0]["plan"]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Resume from the backup, if there is one."""
        self._interval.begin()
        self._is_last = False
        self._progress = 0.0
        if self.trainer.world_size > 1:
            raise ValueError("BackupAndRestore works with one process. Received: several processes")
        self._fingerprint = self.trainer.fingerprint()
        if (found := self._read()) is None:
            return
        header, tensors = found
        check_fingerprint(header["backup"], self._fingerprint, self.path)
        try:
            self.trainer.load_state_dict(unflatten_state(header["tree"], tensors))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CorruptModelError(
                f"The backup lacks something that training needs ({error!r:.200}). "
                f"Received: {str(self.path)!r}"
            ) from None
        _log.info("resumes from the backup %s", self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches seen, so that backups stay evenly spaced."""
        return self._interval.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume counting from ``state_dict``."""
        self._interval.load_state_dict(state)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Write a backup if it is due, or if a signal ends training."""
        self._progress = (logs or {}).get("progress", 0.0)
        if self._interval.after_batch() or self.trainer.stopped_by:
            self._write()
        self._is_last = self.trainer.stopped_by is not None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a backup if it is due, if a signal arrived, or if one is to stay at the end."""
        ends = self._progress >= 1 or self.model.stop_training
        stays = ends and not self.delete_checkpoint
        if not self._is_last and (self._interval.each_epoch or self.trainer.stopped_by or stays):
            self._write()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Delete the backups of a finished training, unless ``delete_checkpoint`` is False."""
        if self.delete_checkpoint and self.trainer.finished:
            try:
                self.delete()
            except OSError as error:
                warn(
                    f"The backup could not be deleted ({error}); delete it by hand, or the same "
                    f"fit will resume from it. Received: {str(self.path)!r}",
                )

    def delete(self) -> None:
        """Delete the backups; call it once the model is saved.

        Raises:
            OSError: one of them cannot be deleted.
        """
        for path in (self.path, self.previous):
            path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Write a backup; the newest one becomes the previous one.

        If it cannot be written, a warning says so and training continues. A model that learns by
        counting has nothing to resume.
        """
        if self.trainer.state is None:
            return
        tree, tensors = flatten_state(self.trainer.state_dict())
        header = {
            "release": __version__,
            "backup": self._fingerprint,
            "plan": self.trainer.plan.to_config(),
            "tree": tree,
        }
        try:
            if self.path.exists():
                self.path.replace(self.previous)
            model_file.save(self.path, header, tensors)
            self.trainer.backed_up = self.trainer.stopped_by is not None
        except OSError as error:
            warn(
                f"The backup could not be written ({error}); training continues without it. "
                f"Received: {str(self.path)!r}",
            )

    def _read(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return header and tensors of the newest intact backup, or None.

        Raises:
            FileNotFoundError: the backup's folder does not exist.
            UnsupportedFormatError: the file is something else; it is left alone.
            CorruptModelError: there are backups, but none is intact.
        """
        check_folder(self.path)
        damaged = None
        for path in (self.path, self.previous):
            try:
                header, tensors = model_file.load(path)
                if "backup" in header and not {"plan", "tree"} <= header.keys():
                    raise CorruptModelError(
                        f"The backup's header lacks its plan or its state. Received: {str(path)!r}"
                    )
            except FileNotFoundError:
                continue
            except CorruptModelError as error:
                warn(f"A damaged backup was skipped: {error}")
                path.replace(path.with_name(f"{path.name}.damaged"))
                damaged = error
                continue
            if "backup" not in header:
                raise UnsupportedFormatError(
                    "This file is a model, not a backup of a training; choose another path for "
                    f"backups. Received: {str(path)!r}"
                )
            if header.get("release") != __version__:
                raise UnsupportedFormatError(
                    "This backup was written by another version of textrnn, whose arithmetic may "
                    f"differ. Resume it with that version (this is {__version__}), or delete it "
                    "to start afresh. "
                    f"Received: {str(path)!r}, by {header.get('release', 'an early one')}"
                )
            return header, tensors
        if damaged is not None:
            raise damaged
        return None


def check_fingerprint(backed_up: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Raise ``ValueError`` with the differences unless a backup belongs to this run."""
    different = [
        f"{name} was {backed_up.get(name)!r:.80} and is {now.get(name)!r:.80}"
        for name in sorted({*backed_up, *now})
        if backed_up.get(name) != now.get(name)
    ]
    if different:
        raise ValueError(
            "This backup belongs to a different run and cannot be resumed: "
            f"{'; '.join(different)}. Call fit as before, with a backup path for each fit, or "
            f"delete the backup. Received: {str(path)!r}"
        )
