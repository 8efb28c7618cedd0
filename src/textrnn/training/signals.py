"""Graceful Ctrl-C and SIGTERM."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminate"}
"""The signals that end training, and what ``History.stopped_by`` says of each."""


@contextmanager
def on_interrupt(stop: Callable[[str], None]) -> Iterator[None]:
    """Let a first Ctrl-C or SIGTERM call ``stop``, and a second one interrupt at once.

    Signals can be caught in the main thread only; elsewhere nothing is changed, and a signal
    that is ignored stays so. The handlers that were there are put back in the end.

    Args:
        stop: gets the signal's name in ``SIGNALS``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def interrupt(signum: int, frame: object) -> None:
        nonlocal asked
        if asked and signum == signal.SIGINT:
            raise KeyboardInterrupt
        if asked:
            raise SystemExit(128 + signum)
        asked = True
        stop(SIGNALS[signal.Signals(signum)])

    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    caught = [signum for signum, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    try:
        for signum in caught:
            signal.signal(signum, interrupt)
        yield
    finally:
        for signum in caught:
            signal.signal(signum, before[signum])
