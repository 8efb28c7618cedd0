"""Callbacks that steer training: when to stop, at what rate to learn, what to keep."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textrnn.callbacks.base import Callback, Logs
from textrnn.checks import check_choice, check_int, check_number
from textrnn.errors import NonFiniteError
from textrnn.files.atomic import check_folder


class _Monitor:
    """Watches one quantity in the logs and remembers its best value; NaN is never best."""

    def __init__(self, name: str, mode: str, min_delta: float, baseline: float | None) -> None:
        check_choice("mode", mode, ("auto", "min", "max"))
        check_number("min_delta", min_delta, "of at least 0", lambda d: d >= 0)
        self.name = name
        self.sign = -1 if mode == "max" or (mode == "auto" and "accuracy" in name) else 1
        self.min_delta = min_delta
        self.baseline = self.sign * math.inf if baseline is None else baseline
        self.best = self.baseline

    def improved(self, logs: Logs) -> bool:
        """Return whether the logs hold a new best value, and keep it if so."""
        if self.name not in logs:
            raise ValueError(
                f"`monitor` must be one of {', '.join(logs)} in this training. "
                f"Received: {self.name!r}"
            )
        value = logs[self.name]
        better = self.sign * (self.best - value) > self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """Stops training when a quantity has stopped getting better.

    Args:
        monitor: a key of the epoch's logs.
        min_delta: a smaller improvement counts as none.
        patience: epochs without improvement after which training stops; 0 means 1, as in Keras.
        mode: ``"min"``, ``"max"``, or ``"auto"`` (min for all of textrnn's own quantities).
        baseline: the value to be beaten at first.
        restore_best_weights: go back to the best epoch's weights at the end of training.
        start_from_epoch: epochs before this one are not watched.

    Attributes:
        stopped_epoch: the epoch after which it stopped training; None if it did not.
        best_epoch: the epoch with the best value.

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
        """Forget an earlier training."""
        self.monitor.best = self.monitor.baseline
        self.stopped_epoch: int | None = None
        self.best_epoch: int | None = None
        self._waited = 0
        self._best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare this epoch with the best one."""
        if epoch < self.start_from_epoch:
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
        """Return what was best, and how long nothing was better."""
        facts = {"best": self.monitor.best, "best_epoch": self.best_epoch, "waited": self._waited}
        return {**facts, "weights": self._best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on waiting."""
        self.monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self._waited, self._best_weights = state["waited"], state["weights"]

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Put the best weights back, if asked for."""
        if self._best_weights is not None:
            self.model.model.load_state_dict(self._best_weights)
            self._best_weights = None


class ModelCheckpoint(Callback):
    """Saves the model after every epoch, or only when it got better.

    A file that cannot be written, because the disk is full say, is a warning, and training goes
    on; a folder that does not exist is an error before it begins.

    Args:
        filepath: where to; may name the epoch (from 1) and the logs, as in
            ``"model-{epoch:02d}-{val_loss:.2f}.safetensors"``.
        monitor: a key of the epoch's logs.
        save_best_only: save only when ``monitor`` improved.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        save_freq: ``"epoch"``, or a number of batches.
        initial_value_threshold: the value to be beaten at first.
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        *,
        save_best_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = str(filepath)
        self.monitor = _Monitor(monitor, mode, 0.0, initial_value_threshold)
        self.save_best_only = save_best_only
        self.save_freq = save_freq if save_freq == "epoch" else check_int("save_freq", save_freq, 1)
        self._batches = 0
        self._epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See that the folder exists."""
        if "{" not in str(Path(self.filepath).parent):
            check_folder(self.filepath)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch, for the file's name."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save, if it is time to by the number of batches."""
        self._batches += 1
        if isinstance(self.save_freq, int) and self._batches % self.save_freq == 0:
            self._save(logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if saving goes by epochs."""
        if self.save_freq == "epoch":
            self._save(logs or {})

    def state_dict(self) -> dict[str, Any]:
        """Return what was best."""
        return {"best": self.monitor.best, "batches": self._batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.monitor.best, self._batches = state["best"], state["batches"]

    def _save(self, logs: Logs) -> None:
        if self.save_best_only and not self.monitor.improved(logs):
            return
        try:
            path = self.filepath.format(epoch=self._epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"`filepath` may name the epoch and what was measured ({', '.join(logs)}), as in "
                f"'{{epoch:02d}}' ({error!r}). Received: {self.filepath!r}"
            ) from None
        try:
            self.model.save(Path(path))
        except OSError as error:
            warnings.warn(
                f"The model could not be saved ({error}); training goes on. Received: {path!r}",
                stacklevel=2,
            )


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a quantity has stopped getting better.

    It lowers the peak that the schedule multiplies; with ``compile(schedule="constant")`` the
    rate itself.

    Args:
        monitor: a key of the epoch's logs.
        factor: what the rate is multiplied by, in (0, 1).
        patience: epochs without improvement before it is lowered.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        min_delta: a smaller improvement counts as none.
        cooldown: epochs to wait after lowering before watching again.
        min_lr: the rate is not lowered below this.
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
        """Forget an earlier training."""
        self.monitor.best = self.monitor.baseline
        self._waited = 0
        self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare this epoch with the best one."""
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
        """Return what was best, and how long to wait."""
        return {"best": self.monitor.best, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on waiting."""
        self.monitor.best = state["best"]
        self._waited, self._cooling = state["waited"], state["cooling"]


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    It sets the peak that the schedule multiplies: combine it with
    ``compile(schedule="constant")`` to decide alone.

    Args:
        schedule: from the epoch (from 0) and the present rate to the new one.

    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    """

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate."""
        self.model.learning_rate = self.schedule(epoch, self.model.learning_rate)


class TerminateOnNaN(Callback):
    """Stops training quietly when the loss of the epoch so far is not finite.

    Such a loss never reaches the weights: its step is refused. Without this callback it raises
    ``NonFiniteError``; with it, ``fit`` returns the history so far.

    Args:
        raise_error: raise ``NonFiniteError`` instead.
    """

    def __init__(self, *, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            self.model.stop_training = True
            if self.raise_error:
                raise NonFiniteError(f"The loss is not finite at batch {batch}. Received: {loss}")
