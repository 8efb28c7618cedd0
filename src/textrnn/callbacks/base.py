"""The hooks that a user can hang something into: Keras's names and arguments.

A callback sees the generator as ``self.model`` and the measurements so far as ``logs``:

    after a batch   loss (mean of the epoch so far), gradient_norm (before clipping),
                    learning_rate, progress (0 to 1),
                    tokens_per_second
    after an epoch  loss, bits_per_char, perplexity, the same with ``val_`` in front where there
                    is validation data, gradient_norm (mean), learning_rate, seconds

Setting ``self.model.stop_training = True`` ends training after the batch.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

Logs = dict[str, float]


class Trainable(Protocol):
    """What a callback may ask of the thing in training, ``TextGenerator`` as a rule."""

    stop_training: bool
    learning_rate: float
    model: Any  # the torch module

    def save(self, path: str | Path) -> None:
        """Write the model file."""

    def generate(self, prompt: str = "", max_new_tokens: int = 200, **settings: Any) -> Any:
        """Write text."""


class Callback:
    """Base of all callbacks: override the hooks you need, the others do nothing.

    Attributes:
        model: the ``TextGenerator`` in training.
        params: ``epochs`` (None with a time budget) and ``steps`` an epoch.

    >>> class Count(Callback):
    ...     batches = 0
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         self.batches += 1
    """

    model: Trainable
    params: dict[str, Any]

    def set_model(self, model: Trainable) -> None:
        """Receive the generator, before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive ``params``, before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, however training ended."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch; they count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch; they count from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch. On a GPU ``logs["loss"]`` is refreshed twice a second."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after validation; ``logs`` has ``val_loss`` and its kin."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a backup must remember of this callback; nothing as a rule.

        It may hold None, numbers, strings and tensors, in dicts, lists and tuples.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave; called after ``on_train_begin``."""


def check_callbacks(callbacks: object) -> None:
    """Raise ``TypeError`` unless this is a list (or another collection) of callbacks."""
    if not isinstance(callbacks, Collection) or not all(isinstance(c, Callback) for c in callbacks):
        raise TypeError(
            "`callbacks` must be a list of Callback objects, such as [EarlyStopping()]. "
            f"Received: {callbacks!r:.80}"
        )


class CallbackList:
    """Calls the same hook of several callbacks, in their order."""

    def __init__(self, callbacks: Iterable[Callback], model: Any, **params: Any) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, hook: str, *args: Any) -> None:
        """Call one hook of every callback; ``args`` are the hook's own."""
        for callback in self.callbacks:
            getattr(callback, hook)(*args)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return what each callback wants to remember, by its class and number."""
        return {name: callback.state_dict() for name, callback in self._named()}

    def load_state_dict(self, states: dict[str, dict[str, Any]]) -> None:
        """Return each callback its own back; one that is new begins anew."""
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
        """Run ``on_train_begin`` before and every ``on_train_end`` after, whatever happens."""
        with ExitStack() as stack:
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_train_end, {})
            self.call("on_train_begin", {})
            yield


class LambdaCallback(Callback):
    """Runs functions of your own at the hooks, with the hooks' arguments.

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
