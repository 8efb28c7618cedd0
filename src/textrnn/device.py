"""Where tensors live."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_LOOK = 0.1  # seconds


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


def free_threads(most: int) -> int:
    """Give how many threads the processor has room for beside other programs, 1 to ``most``.

    PyTorch's threads wait for each other many times a step. Where they are more than the cores
    that are free, each wait lasts until another program makes room, and training may be ten
    times slower than with one thread. Looks at the processor for a tenth of a second; where the
    system does not say how busy it is, the answer is ``most``.
    """
    before = _idle_seconds() if most > 1 else None
    if before is None:
        return most
    time.sleep(_LOOK)
    after = _idle_seconds() or 0.0
    return max(1, min(most, round((after - before) / _LOOK)))


def _idle_seconds() -> float | None:
    """Give the idle time of all cores since the system started, on Linux."""
    try:
        _, *ticks = Path("/proc/stat").read_text().split(maxsplit=5)
        return int(ticks[3]) / os.sysconf("SC_CLK_TCK")  # after user, nice and system
    except (OSError, ValueError, IndexError):
        return None


def ids_on(ids: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Move a text to a device as small integers; a batch is widened when it is used."""
    if ids.dtype.kind == "u" and ids.dtype.itemsize > 1:  # torch can do little with these
        ids = ids.astype(np.int32)
    return torch.from_numpy(ids).to(device)
