"""One training at a time, by a dict: a ``threading.Lock`` cannot be copied or pickled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingLock:
    """Lets one thread at a time train an object, and keeps other threads off it meanwhile.

    >>> lock = TrainingLock("generator")
    >>> with lock.held():
    ...     lock.check()  # the thread that trains may use it
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder: dict[str, tuple[int, object]] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, or raise ``RuntimeError`` if training is under way."""
        mine = (threading.get_ident(), object())
        if self._holder.setdefault("by", mine) is not mine:  # atomic: no thread can interfere
            raise RuntimeError(
                f"This {self.name} is being trained already; wait until that fit has ended, or "
                f"train another {self.name}. Received: a second fit at the same time"
            )
        try:
            yield
        finally:
            del self._holder["by"]

    def check(self) -> None:
        """Raise ``RuntimeError`` if another thread is training the object."""
        by = self._holder.get("by")
        if by is not None and by[0] != threading.get_ident():
            raise RuntimeError(
                f"This {self.name} is being trained in another thread, and its weights change. "
                "Wait until fit has ended, or use a saved copy: load_sampler(path). "
                "Received: a call from a second thread"
            )
