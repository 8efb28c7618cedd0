"""Denormal numbers: too small to matter, and many times slower to compute with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SMALLEST = sys.float_info.min  # that is not a denormal number


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as 0.

    It holds for this thread, and for PyTorch's own threads if they are first started here.
    """
    before = _SMALLEST / 2 == 0  # what the processor does with Python's numbers, it does with all
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
