"""The compiled kernel, if there is one for this machine.

It is built when textrnn is installed, if there is a C compiler (see ``hatch_build.py``), and never
later. NumPy replaces it if it is missing, or with ``TEXTRNN_NATIVE=0`` in the environment.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

ABI = 2
"""The version of the structures; the kernel's must be the same."""
INSTRUCTIONS = ("baseline", "AVX2", "AVX-512")
"""The instruction sets that the kernel was compiled for, by level."""
FAMILIES = ("rnn", "gru", "lstm")
"""What the kernel steps."""
_NAMES = ("kernel.so", "kernel.dylib", "kernel.dll")


class Layer(ctypes.Structure):
    """The ``struct layer`` of kernel.c."""

    _fields_ = (
        ("columns", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "packed", "scales", "sums")),
        *((name, ctypes.c_void_p) for name in ("out", "memory")),
    )


class Arguments(ctypes.Structure):
    """The ``struct session`` of kernel.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("level", "cell", "texts", "vocab", "width")),
        *((name, ctypes.c_int64) for name in ("gates", "depth")),
        *((name, ctypes.c_void_p) for name in ("ids", "table")),
        ("layers", ctypes.POINTER(Layer)),
        *((name, ctypes.c_void_p) for name in ("x", "h", "rounded", "units")),
    )


class Kernel:
    """The loaded kernel.

    Args:
        path: the shared library.

    Attributes:
        level: the best instruction set of this processor, an index of ``INSTRUCTIONS``.
        step: ``step(pointer to Arguments)`` reads one token of each text, without Python's lock.

    Raises:
        OSError: it cannot be loaded here.
        AttributeError: it is something else, or has another version.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        expected = ABI * 1000 + ctypes.sizeof(Arguments)
        if library.textrnn_abi() != expected:
            raise AttributeError("a kernel of another version")
        self.level: int = library.textrnn_level()
        self.step: Any = library.textrnn_step
        self.step.argtypes, self.step.restype = (ctypes.POINTER(Arguments),), None


@cache
def load_kernel() -> Kernel | None:
    """Return the kernel, or None if NumPy replaces it."""
    if os.environ.get("TEXTRNN_NATIVE") == "0":
        return None
    for name in _NAMES:
        path = Path(__file__).with_name(name)
        if path.exists():
            try:
                return Kernel(path)
            except (OSError, AttributeError):  # for another platform, or another version
                return None
    return None


def backend_name(kind: str = "lstm") -> str:
    """Return what computes the steps of a family: "NumPy", or the kernel and its instructions."""
    kernel = load_kernel() if kind in FAMILIES else None
    return "NumPy" if kernel is None else f"native kernel, {INSTRUCTIONS[kernel.level]}"
