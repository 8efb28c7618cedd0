"""Training hooks, with Keras's names and arguments.

A callback sees the generator as ``self.model`` and the measurements so far as ``logs``:

    after a batch   loss (mean of the epoch so far), gradient_norm (before clipping),
                    learning_rate, progress (0 to 1),
                    tokens_per_second
    after an epoch  loss, bits_per_char, perplexity, the same with ``val_`` in front and
                    val_accuracy where it was validated, gradient_norm (mean), learning_rate,
                    seconds; with ``minutes`` also val_tokens, how many were validated on

Setting ``self.model.stop_training = True`` ends training after the batch.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

Logs = dict[str, float]


class Trainable(Protocol):
    """What a callback may use of its ``model``, a ``TextGenerator``."""

    stop_training: bool
    learning_rate: float
    model: Any  # the torch module

    def save(self, path: str | Path) -> None:
        """Write the model file."""

    def generate(self, prompt: str = "", max_new_tokens: int = 200, **settings: Any) -> Any:
        """Return a new text."""


class Resumable(Protocol):
    """What a callback may use of its ``trainer``, to back up a run and resume it."""

    history: Any
    plan: Any
    state: Any  # None if the model learns by counting alone
    stopped_by: str | None
    finished: bool
    backed_up: bool
    world_size: int

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what ``state_dict`` returned."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what must match before a backup can be resumed."""

    def validate(self) -> dict[str, float]:
        """Return ``val_loss`` and its relatives; nothing without a validation text."""


class Callback:
    """Base class of all callbacks: override the hooks you need; the others do nothing.

    Attributes:
        model: the ``TextGenerator`` in training.
        trainer: its ``Trainer``, which owns everything that changes during training.
        params: ``epochs`` (None with a time budget), ``steps`` per epoch, ``metrics``, the names
            in the logs of an epoch, and ``validation_tokens``, how many the validation text has.
        needs: names of methods that ``model`` must have, such as "generate".
        runs_last: whether its hooks are called after those of all other callbacks.

    >>> class Count(Callback):
    ...     batches = 0
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         self.batches += 1
    """

    model: Trainable
    trainer: Resumable
    params: dict[str, Any]
    needs: tuple[str, ...] = ()
    runs_last = False

    def __repr__(self) -> str:
        simple = (str, int, float, Path, tuple)
        shown = {n: v for n, v in vars(self).items() if not n.startswith("_")}
        settings = [f"{n}={v!r}" for n, v in shown.items() if isinstance(v, simple)]
        return f"{type(self).__name__}({', '.join(settings)})"

    def set_model(self, model: Trainable) -> None:
        """Receive the generator, before training."""
        self.model = model

    def set_trainer(self, trainer: Resumable) -> None:
        """Receive the trainer, before training."""
        self.trainer = trainer

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive ``params``, before training."""
        self.params = params

    def saved_plan(self) -> dict[str, Any] | None:
        """Return the plan of an earlier run for ``fit`` to follow; None for a new plan."""
        return None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, however training ended."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch; batches count from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch. On a GPU ``logs["loss"]`` is refreshed twice a second."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after each piece of the validation text, counted from 0."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after validation; ``logs`` has ``val_loss`` and its relatives."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a backup must hold of this callback; nothing by default.

        It may hold None, numbers, strings and tensors, in dicts, lists and tuples.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what ``state_dict`` returned; called after ``on_train_begin``."""


def check_callbacks(callbacks: object) -> None:
    """Raise ``TypeError`` unless ``callbacks`` is a list (or another collection) of callbacks."""
    if not isinstance(callbacks, Collection) or not all(isinstance(c, Callback) for c in callbacks):
        raise TypeError(
            "`callbacks` must be a list of Callback objects, such as [EarlyStopping()]. "
            f"Received: {callbacks!r:.80}"
        )


class CallbackList:
    """Calls the same hook of several callbacks, one after the other.

    Args:
        callbacks: in the order of their calls; those with ``runs_last`` are moved to the end.
        model: their ``self.model``.
        trainer: their ``self.trainer``.
        **params: their ``self.params``.

    Raises:
        TypeError: a callback needs a method that ``model`` does not have.
    """

    def __init__(
        self, callbacks: Iterable[Callback], model: Any, trainer: Any, **params: Any
    ) -> None:
        self.callbacks = sorted(callbacks, key=lambda callback: callback.runs_last)
        for callback in self.callbacks:
            for name in callback.needs:
                if not hasattr(model, name):
                    raise TypeError(
                        f"{type(callback).__name__} needs a model with the method {name}(): pass "
                        "it to TextGenerator.fit, or pass a TextGenerator as `callback_model`. "
                        f"Received: {type(model).__name__}"
                    )
            callback.set_model(model)
            callback.set_trainer(trainer)
            callback.set_params(params)

    def hooks(self, name: str, *, last: bool | None = None) -> list[Callable[..., None]]:
        """Return the methods that override a hook.

        Args:
            name: of the hook.
            last: True for callbacks that run last only, False for the others only, None for all.
        """
        chosen = [c for c in self.callbacks if last is None or c.runs_last == last]
        methods = [getattr(callback, name) for callback in chosen]
        empty = getattr(Callback, name)
        return [method for method in methods if getattr(method, "__func__", None) is not empty]

    def call(self, name: str, *args: Any, last: bool | None = None) -> None:
        """Call one hook of every callback; ``args`` are the hook's own."""
        for hook in self.hooks(name, last=last):
            hook(*args)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the state of each callback, by its class and number."""
        return {name: callback.state_dict() for name, callback in self._named()}

    def load_state_dict(self, states: dict[str, dict[str, Any]]) -> None:
        """Restore the state of each callback; a new one starts afresh."""
        for name, callback in self._named():
            if states.get(name):
                callback.load_state_dict(states[name])

    def _named(self) -> Iterator[tuple[str, Callback]]:
        seen: dict[str, int] = {}
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] = number = seen.get(name, 0) + 1
            yield f"{name} {number}", callback

    @contextmanager
    def training(self) -> Iterator[None]:
        """Call ``on_train_begin`` before and every ``on_train_end`` after, whatever happens."""
        with ExitStack() as stack:
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_train_end, {})
            self.call("on_train_begin", {})
            yield


class LambdaCallback(Callback):
    """Call your own functions at the hooks, with the hooks' arguments.

    Args:
        **hooks: hook name to function.

    Raises:
        TypeError: there is no such hook.

    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> callback.on_epoch_end(0, {"loss": 2.5})
    0 2.5
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(n for n in vars(Callback) if n.startswith("on_"))
                raise TypeError(f"There is no hook {name!r}. The hooks are: {known}")
            setattr(self, name, function)
