"""Graceful Ctrl-C, SIGTERM and SIGHUP."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int

SIGNALS = {"SIGINT": "interrupt", "SIGTERM": "terminate", "SIGHUP": "terminate"}
"""The signals that end training, and their names in ``History.stopped_by``."""

TERMINATIONS = ("SIGTERM", "SIGHUP")
"""The signals that ask the whole program to end."""

_owed: list[int] = []  # signals that ended training, but have not ended the program yet


@contextmanager
def handled(names: Iterable[str], handler: Handler) -> Iterator[None]:
    """Replace the handlers of signals inside the block, and restore them afterwards.

    Signals can only be caught in the main thread; in other threads this does nothing. A signal that
    the program ignores stays ignored.

    Args:
        names: of the signals; a system may lack some.
        handler: what ``signal.signal`` takes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    caught = [number for number in numbers if before[number] not in (None, signal.SIG_IGN)]
    try:
        for number in caught:
            signal.signal(number, handler)
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])


@contextmanager
def on_interrupt(stop: Callable[[str], None]) -> Iterator[None]:
    """Let a first signal that ends training call ``stop``, and a second one interrupt at once.

    A signal that asks the program to end still has to end it: see ``deliver_again``.

    Args:
        stop: called with the signal's name in ``SIGNALS``.
    """
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        name = signal.Signals(number).name
        if asked:
            _owed.clear()
            raise SystemExit(128 + number) if name in TERMINATIONS else KeyboardInterrupt
        asked = True
        if name in TERMINATIONS:
            _owed.append(number)
        stop(SIGNALS[name])

    with handled(SIGNALS, interrupt):
        yield


def deliver_again() -> None:
    """Send this process the signals that ended training but were meant for the program.

    Otherwise a program that trains three times would end only its first training. Call it once a
    backup holds the training, and at the latest before another training begins.
    """
    while _owed:
        signal.raise_signal(_owed.pop())
