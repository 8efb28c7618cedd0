"""Where tensors live, and what the machine can do."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
"""What ``compile(precision=...)`` takes."""

_SMALLEST = sys.float_info.min  # that is not a denormal number
_FIRST_LOOK = 0.1  # seconds
_INTERVAL = 1.0  # seconds between two looks


def pick_device(device: str | torch.device) -> torch.device:
    """Give the torch device for a name; "auto" is CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: this machine has no such device.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        if torch.device(device).type == "meta":
            raise TypeError("a meta tensor holds nothing")
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            "`device` must be 'auto' or the name of a device of this machine, such as 'cpu' or "
            f"'cuda:0' ({str(error).splitlines()[0]}). Received: {device!r}"
        ) from None


def pick_precision(precision: str, device: torch.device, known: bool = True) -> str:
    """Give the torch dtype, by name, in which a device multiplies matrices in training.

    "auto" is float16 on CUDA, which cuDNN's fastest recurrent kernels want; bfloat16 on a CPU
    with instructions for it (AVX512-BF16 or AMX), where an LSTM then learns from about 1.6 times
    as many tokens a second; float32 elsewhere.

    Args:
        precision: what the user asked for, one of ``PRECISIONS``.
        device: where the model is.
        known: whether the model's class is textrnn's own; "auto" is float32 for others, which may
            not run under ``torch.autocast``.

    Raises:
        ValueError: float16 was asked for on a CPU, whose kernels cannot train in it, or bfloat16
            on one that has too old instructions for it (x86-64 without AVX-512).

    >>> pick_precision("float32", torch.device("cpu"))
    'float32'
    """
    if precision == "float16" and device.type == "cpu":
        raise ValueError(
            "`precision` must be 'auto', 'bfloat16' or 'float32' on a CPU, which cannot train in "
            f"float16. Received: {precision!r}"
        )
    if precision == "bfloat16" and device.type == "cpu" and not _can_bfloat16():
        raise ValueError(
            "`precision` must be 'auto' or 'float32' on this CPU, which has no instructions for "
            f"bfloat16. Received: {precision!r}"
        )
    if precision != "auto":
        return precision
    if not known:
        return "float32"
    return {"cuda": "float16", "cpu": _cpu_precision()}.get(device.type, "float32")


def running_in(precision: str, device: torch.device) -> torch.autocast:
    """Give the context in which a model runs in a precision."""
    half = precision != "float32"
    return torch.autocast(device.type, getattr(torch, precision if half else "bfloat16"), half)


def _can_bfloat16() -> bool:
    """Say whether oneDNN, which computes LSTMs on a CPU where there is one, can in bfloat16."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _cpu_precision() -> str:
    """Give what a CPU computes fastest in, by the flags that Linux tells of it."""
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        return "float32"
    return "float32" if {"avx512_bf16", "amx_bf16"}.isdisjoint(flags) else "bfloat16"


@contextmanager
def sharing_cores(adapts: bool) -> Iterator[Callable[[], None]]:
    """Use as many threads as other programs leave cores free, and in the end as many as before.

    PyTorch's threads wait for each other many times a step. Where they are more than the cores
    that are free, each wait lasts until another program makes room, and training may be ten
    times slower than with one thread.

    Args:
        adapts: whether to do it; it is never done where ``OMP_NUM_THREADS`` is set, or where the
            system does not say how busy the processor is.

    Yields:
        A function to call often: once a second it looks again.
    """
    most = torch.get_num_threads()
    last = _work() if adapts and most > 1 and "OMP_NUM_THREADS" not in os.environ else None

    def look(interval: float = _INTERVAL) -> None:
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
    """Give the time, and the seconds of all cores that were idle or ours up to now, on Linux."""
    try:
        _, *ticks = Path("/proc/stat").read_text().split(maxsplit=6)
        idle = (int(ticks[3]) + int(ticks[4])) / os.sysconf("SC_CLK_TCK")  # idle, waiting for disks
    except (OSError, ValueError, IndexError):
        return None
    return time.perf_counter(), idle + time.process_time()


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for 0, with which a processor computes many times more slowly.

    It holds for this thread, and for PyTorch's own threads if they begin here for the first time.
    """
    before = _SMALLEST / 2 == 0  # what the processor does with Python's numbers, it does with all
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@flushing_denormals()
def training_speed(device: torch.device, precision: str, seconds: float = 0.3) -> float:
    """Measure how many characters a second an LSTM of 256 learns from.

    Args:
        device: where.
        precision: as ``pick_precision`` gave it.
        seconds: how long to measure; the first step, which is slow, comes on top.

    Returns:
        Characters a second, the median over the steps of a batch of 32 x 64 (on a GPU 128 x 64).
    """
    rows = 32 if device.type == "cpu" else 128
    with torch.device("meta"):  # draws no random numbers
        lstm, head = nn.LSTM(64, 256), nn.Linear(256, 64)
    for p in nn.ModuleList([lstm, head]).to_empty(device=device).parameters():
        p.detach().zero_()
    x = torch.ones(64, rows, 64, device=device)
    y = torch.zeros(64 * rows, dtype=torch.int64, device=device)
    began, times = time.perf_counter(), list[float]()
    with sharing_cores(device.type == "cpu"), running_in(precision, device):
        while len(times) < 2 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            loss = F.cross_entropy(head(lstm(x)[0]).flatten(0, 1).float(), y)
            loss.backward()  # type: ignore[no-untyped-call]
            float(loss.detach())  # waits for the device
            times.append(time.perf_counter() - start)
            if len(times) == 1:
                began = time.perf_counter()
    return 64 * rows / statistics.median(times[1:])


def ids_on(ids: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Move a text to a device as small integers; a batch is widened when it is used."""
    if ids.dtype.kind == "u" and ids.dtype.itemsize > 1:  # torch can do little with these
        ids = ids.astype(np.int32)
    return torch.from_numpy(ids).to(device)
