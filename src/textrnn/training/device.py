"""Devices and precisions: where tensors live, and what the machine can do."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textrnn.text.corpus import Corpus

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
"""The values of ``compile(precision=...)``."""


def pick_device(device: str | torch.device) -> torch.device:
    """Return the torch device for a name; "auto" is CUDA, then Apple's MPS, then the CPU.

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
    """Return the name of the torch dtype in which a device multiplies matrices in training.

    "auto" is float16 on CUDA, because cuDNN's fastest recurrent kernels need it; bfloat16 on a CPU
    with instructions for it (AVX512-BF16 or AMX), where an LSTM then learns from about 1.6 times
    as many tokens per second; and float32 elsewhere.

    Args:
        precision: what the user asked for, one of ``PRECISIONS``.
        device: where the model is.
        known: whether the model's class is one of textrnn's; "auto" is float32 for other classes,
            which may not run under ``torch.autocast``.

    Raises:
        ValueError: float16 on a CPU, whose kernels cannot train in it, or bfloat16 on a CPU that
            is too old for it (x86-64 without AVX-512).

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


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which a model runs in a precision."""
    half = precision != "float32"
    return torch.autocast(device.type, getattr(torch, precision if half else "bfloat16"), half)


def _can_bfloat16() -> bool:
    """Return whether oneDNN, which computes LSTMs on a CPU, can do so in bfloat16."""
    if not torch.backends.mkldnn.is_available():
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _cpu_precision() -> str:
    """Return the precision in which a CPU is fastest, by the flags that Linux lists."""
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        return "float32"
    return "float32" if {"avx512_bf16", "amx_bf16"}.isdisjoint(flags) else "bfloat16"


def ids_to_device(ids: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return ids on a device, as small integers; each batch is widened when it is used."""
    wide = ids.dtype.kind == "u" and ids.dtype.itemsize > 1  # torch can do little with these
    if wide and (device.type != "cpu" or ids.dtype.itemsize > 2):
        ids = ids.astype(np.int32)
    with warnings.catch_warnings():  # a memory map may be read-only; nothing here writes to it
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(ids).to(device)


def read_in_epochs(corpus: Corpus, device: torch.device) -> dict[str, Any]:
    """Return the ``ids`` and the ``reorder`` of a ``ContiguousBatcher`` that reads a corpus."""
    if corpus.starts is None:
        return {"ids": ids_to_device(corpus.ids, device)}

    def reorder(epoch: int) -> torch.Tensor:
        return ids_to_device(corpus.epoch_ids(epoch), device)

    return {"ids": corpus.ids, "reorder": reorder}
