"""Weights as integers from -127 to 127, laid out for the kernel."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PANEL = 64  # columns that are stored together
MAX_WIDTH = 1 << 16  # sums of more products could overflow 32 bits


class PackedWeight(NamedTuple):
    """A weight (H, M) of a layer; H is rounded up to H' = 4 quads, M to M' = 64 panels.

    Attributes:
        packed: (panels, quads, 64, 4) int8; column j of panel p, times ``scales``, is column
            64 p + j of the weight.
        scales: (M',) float32.
        sums: (M',) int32, 128 times the sum of each column.
    """

    packed: NDArray[np.int8]
    scales: NDArray[np.float32]
    sums: NDArray[np.int32]


def pack(weight: NDArray[Any]) -> PackedWeight:
    """Return a weight (H, M) with each column rounded to 255 steps that cover its largest number.

    A column with a number that is infinite or NaN has such a scale, so that its sums are NaN.

    >>> packed = pack(np.array([[1.0, -4.0], [0.5, 2.0]], dtype=np.float32))
    >>> packed.packed[0, 0, :2, :2].tolist()  # the rows of each column
    [[127, 64], [-127, 64]]
    """
    h, m = weight.shape
    scales = np.zeros(round_up(m, PANEL), dtype=np.float32)
    scales[:m] = np.abs(weight).max(axis=0) / np.float32(127)
    rounded = np.zeros((round_up(h, 4), len(scales)), dtype=np.int8)
    with np.errstate(invalid="ignore"):
        steps = np.rint(weight / np.maximum(scales[:m], np.finfo(np.float32).tiny))
    rounded[:h, :m] = np.nan_to_num(steps, copy=False, nan=0)
    panels = rounded.reshape(-1, 4, len(scales) // PANEL, PANEL)
    sums = 128 * rounded.sum(axis=0, dtype=np.int32)
    return PackedWeight(_aligned(panels.transpose(2, 0, 3, 1)), scales, sums)


def _aligned(array: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return a contiguous copy that begins at a cache line of 64 bytes."""
    memory = np.empty(array.size + 64, dtype=np.int8)
    copy = memory[-memory.ctypes.data % 64 :][: array.size].reshape(array.shape)
    copy[:] = array
    return copy


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is at least a number.

    >>> round_up(65, 64)
    128
    """
    return -(-number // multiple) * multiple
