"""One trainer at a time; a dict, because a ``threading.Lock`` neither copies nor pickles."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingLock:
    """Lets one training at a time have a thing, and keeps other threads off it meanwhile.

    >>> lock = TrainingLock("generator")
    >>> with lock.held():
    ...     lock.check()  # the thread in training may go on using it
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder: dict[str, tuple[int, object]] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take it, or raise ``RuntimeError`` if it is in training already."""
        mine = (threading.get_ident(), object())
        if self._holder.setdefault("by", mine) is not mine:  # one step: no thread comes between
            raise RuntimeError(
                f"This {self.name} is being trained already; wait until that fit has ended, or "
                f"train another one. Received: a second fit at the same time"
            )
        try:
            yield
        finally:
            del self._holder["by"]

    def check(self) -> None:
        """Raise ``RuntimeError`` if another thread is training it."""
        by = self._holder.get("by")
        if by is not None and by[0] != threading.get_ident():
            raise RuntimeError(
                f"This {self.name} is being trained in another thread, and its weights change. "
                "Wait until fit has ended, or use a saved copy: load_sampler(path). "
                "Received: a call from a second thread"
            )
