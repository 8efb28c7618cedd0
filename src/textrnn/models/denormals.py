"""Denormal numbers: too small to matter, and many times slower to compute with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SMALLEST = sys.float_info.min  # the smallest number that is not denormal


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as 0.

    It applies to this thread, and to PyTorch's own threads if they are first started here.
    """
    before = _SMALLEST / 2 == 0  # the processor treats Python's numbers like all others
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
