"""Either one training at a time, or any number of readers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingLock:
    """Lets one thread at a time train an object, and keeps other threads off it meanwhile.

    A training waits for the threads that are reading. No other thread starts to read while a
    training waits or runs: that is an error, as is a second training. A copy, by ``copy`` or by
    ``pickle``, is a free lock.

    >>> lock = TrainingLock("generator")
    >>> with lock.training(), lock.reading():
    ...     pass  # the thread that trains may use it
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._changed = threading.Condition()
        self._trainer: int | None = None  # these are idents of threads
        self._readers: list[int] = []

    def __reduce__(self) -> tuple[type["TrainingLock"], tuple[str]]:
        return type(self), (self.name,)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Wait until no thread reads, and hold the lock.

        Raises:
            RuntimeError: training is under way already, or this thread is reading.
        """
        me = threading.get_ident()
        with self._changed:
            if self._trainer is not None or me in self._readers:
                raise RuntimeError(
                    f"This {self.name} is being trained already, or used by what calls fit; wait "
                    "until that has ended, or train another one. "
                    "Received: a second fit at the same time"
                )
            self._trainer = me
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._readers)
            yield
        finally:
            self._trainer = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the trainings of other threads waiting.

        Raises:
            RuntimeError: another thread is training the object.
        """
        me = threading.get_ident()
        with self._changed:
            if self._trainer not in (None, me) and me not in self._readers:
                raise RuntimeError(
                    f"This {self.name} is being trained in another thread, and its weights change."
                    " Wait until fit has ended, or use a saved copy: load_sampler(path). "
                    "Received: a call from a second thread"
                )
            self._readers.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._readers.remove(me)
                self._changed.notify_all()
