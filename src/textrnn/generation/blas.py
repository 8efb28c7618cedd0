"""One BLAS thread while text is generated.

A step is a matrix-vector product. Two threads that share it wait for each other longer than they
compute, and ten times as long if another program is running.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class _OneThread:
    """Limits NumPy's BLAS to one thread; any number of threads may hold the limit at once.

    The first to enter sets the limit, and the last to leave restores the earlier number, unless
    the program has set another one meanwhile.
    """

    def __init__(self) -> None:
        self._lock, self._holders = threading.Lock(), 0
        self._libraries: list[Any] | None = None
        self._before: list[tuple[Any, int]] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_all)

    def __enter__(self) -> None:
        with self._lock:
            if self._holders == 0:
                numbers = [(library, library.get_num_threads()) for library in self._find()]
                self._before = [(library, n) for library, n in numbers if n != 1]
                for library, _ in self._before:
                    library.set_num_threads(1)
            self._holders += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._restore()

    def _find(self) -> list[Any]:
        if self._libraries is None:
            from threadpoolctl import ThreadpoolController

            self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        return self._libraries

    def _restore(self) -> None:
        for library, number in self._before:
            if library.get_num_threads() == 1:
                library.set_num_threads(number)

    def _leave_all(self) -> None:
        """Leave, in a forked child, on behalf of the threads that it does not have."""
        self._lock = threading.Lock()
        if self._holders:
            self._holders = 0
            self._restore()


_one_thread = _OneThread()


def one_blas_thread(stepper: Any) -> AbstractContextManager[None]:
    """Return a context in which NumPy's BLAS has one thread, if the stepper uses it."""
    return _one_thread if getattr(stepper, "uses_blas", True) else nullcontext()


def limited(pieces: Iterator[str], stepper: Any) -> Iterator[str]:
    """Return the pieces of an iterator; BLAS has one thread only while it computes one."""
    context = one_blas_thread(stepper)
    while True:
        with context:
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
