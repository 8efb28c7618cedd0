"""Callbacks that control training: early stopping, checkpoints, learning rates.

The names they monitor are checked against ``params["metrics"]`` before the first step. A callback
that adds a quantity to the logs appends its name there in ``on_train_begin``.
"""

import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from textrnn.callbacks.base import Callback, Logs
from textrnn.callbacks.interval import Interval
from textrnn.checks import check_choice, check_int, check_number, warn
from textrnn.errors import NonFiniteError
from textrnn.files.atomic import check_folder
from textrnn.files.output import check_output

_BATCH_LOGS = ("loss", "gradient_norm", "learning_rate", "progress", "tokens_per_second")


class _Monitor:
    """Tracks the best value of one quantity in the logs. NaN is never the best."""

    def __init__(self, name: str, mode: str, min_delta: float, baseline: float | None) -> None:
        check_choice("mode", mode, ("auto", "min", "max"))
        check_number("min_delta", min_delta, "of at least 0", lambda d: d >= 0)
        self.name = name
        self.sign = -1 if mode == "max" or (mode == "auto" and "accuracy" in name) else 1
        self.min_delta = min_delta
        self.baseline = self.sign * math.inf if baseline is None else baseline
        self.best = self.baseline

    def check(self, names: Iterable[str] | None) -> None:
        """Raise ``ValueError`` unless the quantity is one of ``names``; None skips the check."""
        if names is not None and self.name not in names:
            valid = any(name.startswith("val_") for name in names)
            hint = (
                "" if valid or not self.name.startswith("val_") else " It has no validation data."
            )
            raise ValueError(
                f"`monitor` must be one of {', '.join(names)} in this training.{hint} "
                f"Received: {self.name!r}"
            )

    def improved(self, logs: Logs) -> bool:
        """Return whether the logs hold a new best value, and remember it."""
        self.check(logs)
        value = logs.get(f"part_{self.name}", logs[self.name])  # as the earlier epochs have it
        better = self.sign * (self.best - value) > self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """Stop training when a monitored quantity no longer improves.

    Args:
        monitor: a key of the epoch's logs.
        min_delta: at least 0; an improvement by this much or less does not count.
        patience: stop after this many epochs without improvement; 0 means 1, as in Keras.
        mode: ``"min"``, ``"max"``, or ``"auto"`` (min for all of textrnn's own quantities).
        baseline: the value that the first improvement must beat; None for any.
        restore_best_weights: end training with the weights of the best epoch.
        start_from_epoch: the first epoch to monitor, counted from 0.

    Attributes:
        stopped_epoch: the epoch after which training stopped; None if it ran to its end.
        best_epoch: the epoch with the best value; None before there is one.

    >>> EarlyStopping(patience=2, restore_best_weights=True).monitor.name
    'val_loss'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = _Monitor(monitor, mode, min_delta, baseline)
        self.patience = check_int("patience", patience, 0)
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = check_int("start_from_epoch", start_from_epoch, 0)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget earlier trainings, and check that the quantity will be measured."""
        self.monitor.check(_metrics(self))
        self.monitor.best = self.monitor.baseline
        self.stopped_epoch: int | None = None
        self.best_epoch: int | None = None
        self._waited = 0
        self._best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare this epoch with the best one, and stop training if patience has run out."""
        if epoch < self.start_from_epoch or not _measured(self, logs):
            return
        if self.monitor.improved(logs or {}):
            self.best_epoch, self._waited = epoch, 0
            if self.restore_best_weights:
                weights = self.model.model.state_dict()
                self._best_weights = {name: w.detach().clone() for name, w in weights.items()}
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far and the number of epochs since."""
        facts = {"best": self.monitor.best, "best_epoch": self.best_epoch, "waited": self._waited}
        return {**facts, "weights": self._best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best value so far and the number of epochs since."""
        self.monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self._waited, self._best_weights = state["waited"], state["weights"]

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights, if asked to."""
        if self._best_weights is not None:
            self.model.model.load_state_dict(self._best_weights)
            self._best_weights = None


class ModelCheckpoint(Callback):
    """Save the model after every epoch, or only when it has improved.

    A missing or read-only folder is an error before training begins, and so is an existing file
    that is not a textrnn model. If a file cannot be written later, say because the disk is full,
    a warning says so and training continues.

    Args:
        filepath: the file. It may name the epoch (from 1) and any of the logs, as in
            ``"model-{epoch:02d}-{val_loss:.2f}.safetensors"``.
        monitor: a key of the epoch's logs.
        save_best_only: save only when ``monitor`` has improved.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        save_freq: ``"epoch"``, the number of batches between two saves, or a
            ``datetime.timedelta``.
        initial_value_threshold: the value that the first save must beat; None for any.
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        *,
        save_best_only: bool = False,
        mode: str = "auto",
        save_freq: str | int | timedelta = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = str(filepath)
        self.monitor = _Monitor(monitor, mode, 0.0, initial_value_threshold)
        self.save_best_only = save_best_only
        self.save_freq = save_freq
        self._interval = Interval("save_freq", save_freq)
        self._epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check the quantities named, and that the file can be written.

        Only the folder is tried where the file's name is not known yet.
        """
        self._interval.begin()
        names = _metrics(self) if self._interval.each_epoch else _BATCH_LOGS
        if self.save_best_only:
            self.monitor.check(names)
        if names is not None:
            self._path(dict.fromkeys(names, 1.0))
        if "{" not in self.filepath:
            check_output(self.filepath)
        elif "{" not in str(Path(self.filepath).parent):
            check_folder(self.filepath)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch for the file's name."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save if ``save_freq`` batches, or so much time, have passed."""
        if self._interval.after_batch():
            self._save(logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save if ``save_freq`` is ``"epoch"``."""
        if self._interval.each_epoch:
            self._save(logs or {})

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far and the number of batches seen."""
        return {"best": self.monitor.best, **self._interval.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best value so far and the number of batches seen."""
        self.monitor.best = state["best"]
        self._interval.load_state_dict(state)

    def _save(self, logs: Logs) -> None:
        if self.save_best_only and not (_measured(self, logs) and self.monitor.improved(logs)):
            return
        path = self._path(logs)
        try:
            self.model.save(Path(path))
        except OSError as error:
            warn(f"The model could not be saved ({error}); training continues. Received: {path!r}")

    def _path(self, logs: Logs) -> str:
        try:
            return self.filepath.format(epoch=self._epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"`filepath` may name the epoch and what was measured ({', '.join(logs)}), as in "
                f"'{{epoch:02d}}' ({error!r}). Received: {self.filepath!r}"
            ) from None


class ReduceLROnPlateau(Callback):
    """Lower the learning rate when a monitored quantity no longer improves.

    This lowers the peak that the schedule multiplies; with ``compile(schedule="constant")`` the
    peak is the rate itself.

    Args:
        monitor: a key of the epoch's logs.
        factor: multiplies the rate, in (0, 1).
        patience: lower the rate after this many epochs without improvement.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        min_delta: at least 0; an improvement by this much or less does not count.
        cooldown: epochs after a reduction that do not count towards ``patience``.
        min_lr: the lowest rate, at least 0.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.monitor = _Monitor(monitor, mode, min_delta, None)
        self.factor = check_number("factor", factor, "in (0, 1)", lambda f: 0 < f < 1)
        self.patience = check_int("patience", patience, 0)
        self.cooldown = check_int("cooldown", cooldown, 0)
        self.min_lr = check_number("min_lr", min_lr, "of at least 0", lambda r: r >= 0)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget earlier trainings, and check that the quantity will be measured."""
        self.monitor.check(_metrics(self))
        self.monitor.best = self.monitor.baseline
        self._waited = 0
        self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare this epoch with the best one, and lower the rate if patience has run out."""
        if not _measured(self, logs):
            return
        improved = self.monitor.improved(logs or {})
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        elif improved:
            self._waited = 0
        else:
            self._waited += 1
            if self._waited >= self.patience and self.model.learning_rate > self.min_lr:
                lowered = self.model.learning_rate * self.factor
                self.model.learning_rate = max(lowered, self.min_lr)
                self._waited, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far and the state of the waiting periods."""
        return {"best": self.monitor.best, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best value so far and the state of the waiting periods."""
        self.monitor.best = state["best"]
        self._waited, self._cooling = state["waited"], state["cooling"]


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch.

    This sets the peak that the schedule multiplies; with ``compile(schedule="constant")`` the
    peak is the rate itself.

    Args:
        schedule: a function of the epoch (from 0) and the current rate that returns the new one.

    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    """

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate for this epoch."""
        self.model.learning_rate = self.schedule(epoch, self.model.learning_rate)


class TerminateOnNaN(Callback):
    """Stop training without an error when a batch's loss is not finite.

    Such a loss never changes the weights: its step is skipped. Without this callback ``fit``
    lowers the rate once, then raises ``NonFiniteError``; with it, ``fit`` returns the history.

    Args:
        raise_error: raise ``NonFiniteError`` at once instead of stopping.
    """

    def __init__(self, *, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop if the loss is not finite."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            self.model.stop_training = True
            if self.raise_error:
                raise NonFiniteError(f"The loss is not finite at batch {batch}. Received: {loss}")


def _metrics(callback: Callback) -> list[str] | None:
    """Return the names in the logs of an epoch, or None if they are not known yet."""
    names: list[str] | None = getattr(callback, "params", {}).get("metrics")
    return names


def _measured(
    callback: EarlyStopping | ModelCheckpoint | ReduceLROnPlateau, logs: Logs | None
) -> bool:
    """Return whether an epoch has the monitored quantity: not every one may be validated."""
    name = callback.monitor.name
    return name in (logs or {}) or name not in (_metrics(callback) or ())
