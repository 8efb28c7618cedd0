"""When a callback is due: after each epoch, after so many batches, or after some time."""

import time
from datetime import timedelta
from typing import Any

from textrnn.checks import check_int


class Interval:
    """Counts batches or measures time, and says when a callback is due.

    Args:
        name: of the callback's argument, for error messages.
        value: ``"epoch"``, a number of batches, or a ``datetime.timedelta``.

    Attributes:
        each_epoch: whether the callback is due at the end of each epoch.

    Raises:
        TypeError, ValueError: ``value`` is none of these.

    >>> interval = Interval("save_freq", 2)
    >>> [interval.after_batch() for _ in range(4)]
    [False, True, False, True]
    """

    def __init__(self, name: str, value: str | int | timedelta) -> None:
        self.each_epoch = value == "epoch"
        self._number = self._seconds = None
        if isinstance(value, timedelta):
            if value <= timedelta(0):
                raise ValueError(f"`{name}` must be above 0. Received: {value!r}")
            self._seconds = value.total_seconds()
        elif isinstance(value, str):
            if not self.each_epoch:
                raise ValueError(
                    f"`{name}` must be 'epoch', a number of batches, or a timedelta. "
                    f"Received: {value!r}"
                )
        else:
            self._number = check_int(name, value, 1)
        self.begin()

    def begin(self) -> None:
        """Begin to count."""
        self._batches, self._since = 0, time.monotonic()

    def after_batch(self) -> bool:
        """Record that a batch was trained on, and return whether the callback is due."""
        self._batches += 1
        if self._seconds is not None and time.monotonic() - self._since >= self._seconds:
            self._since = time.monotonic()
            return True
        return self._number is not None and self._batches % self._number == 0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches, so that a resumed training keeps the rhythm."""
        return {"batches": self._batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count further from ``state_dict``."""
        self._batches = state["batches"]
