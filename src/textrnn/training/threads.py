"""The number of threads that compute, and their speed."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from textrnn.models.denormals import flush_denormals
from textrnn.training.device import autocast

INTERVAL = 1.0
"""Seconds between two checks of how busy the processor is."""

_FIRST_LOOK = 0.1  # seconds


@contextmanager
def adaptive_threads(adapts: bool) -> Iterator[Callable[[], None]]:
    """Use as many threads as there are free cores; restore their number at the end.

    PyTorch's threads wait for each other many times per step. If there are more threads than free
    cores, each wait lasts until another program yields a core, and training may be ten times
    slower than with one thread.

    Args:
        adapts: whether to adapt. Threads never adapt if ``OMP_NUM_THREADS`` is set, or if the
            system does not tell how busy the processor is.

    Yields:
        A function that counts the free cores again, at most once a second.
    """
    most = torch.get_num_threads()
    last = _work() if adapts and most > 1 and "OMP_NUM_THREADS" not in os.environ else None

    def look(interval: float = INTERVAL) -> None:
        nonlocal last
        if last is None or time.perf_counter() - last[0] < interval:
            return
        if work := _work():
            wall, free = (new - old for new, old in zip(work, last, strict=True))
            torch.set_num_threads(max(1, min(most, round(free / wall))))
        last = work

    if last:
        time.sleep(_FIRST_LOOK)
        look(0.0)
    try:
        yield look
    finally:
        torch.set_num_threads(most)


def _work() -> tuple[float, float] | None:
    """Return the time, and the seconds that cores were idle or worked for us, on Linux."""
    try:
        _, *ticks = Path("/proc/stat").read_text().split(maxsplit=6)
        idle = (int(ticks[3]) + int(ticks[4])) / os.sysconf("SC_CLK_TCK")  # idle, waiting for disks
    except (OSError, ValueError, IndexError):
        return None
    return time.perf_counter(), idle + time.process_time()


@flush_denormals()
def training_speed(device: torch.device, precision: str, seconds: float = 0.3) -> float:
    """Measure how many characters per second an LSTM of width 256 learns from.

    Args:
        device: where to measure.
        precision: what ``pick_precision`` returned.
        seconds: how long to measure, in addition to the first step, which is slow.

    Returns:
        Characters per second, the median over steps with a batch of 32 x 64 (on a GPU 128 x 64).
    """
    rows = 32 if device.type == "cpu" else 128
    with torch.device("meta"):  # draws no random numbers
        lstm, head = nn.LSTM(64, 256), nn.Linear(256, 64)
    for p in nn.ModuleList([lstm, head]).to_empty(device=device).parameters():
        p.detach().zero_()
    x = torch.ones(64, rows, 64, device=device)
    y = torch.zeros(64 * rows, dtype=torch.int64, device=device)
    began, times = time.perf_counter(), list[float]()
    with adaptive_threads(device.type == "cpu"), autocast(precision, device):
        while len(times) < 2 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            loss = F.cross_entropy(head(lstm(x)[0]).flatten(0, 1).float(), y)
            loss.backward()
            float(loss.detach())  # waits for the device
            times.append(time.perf_counter() - start)
            if len(times) == 1:
                began = time.perf_counter()
    return 64 * rows / statistics.median(times[1:])
