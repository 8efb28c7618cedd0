"""Where tensors live."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


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


def ids_on(ids: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Move a text to a device as small integers; a batch is widened when it is used."""
    if ids.dtype.kind == "u" and ids.dtype.itemsize > 1:  # torch can do little with these
        ids = ids.astype(np.int32)
    return torch.from_numpy(ids).to(device)
