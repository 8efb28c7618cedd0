"""The stepper of recurrent models with the native kernel, on the arrays of their NumPy steppers."""

import ctypes
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textrnn.generation.native.library import (
    INSTRUCTIONS,
    Arguments,
    Kernel,
    Layer,
)
from textrnn.generation.native.packing import PackedWeight, pack, round_up
from textrnn.generation.steppers.base import Session, State
from textrnn.generation.steppers.recurrent import (
    GRUStepper,
    LSTMStepper,
    RecurrentStepper,
    RNNStepper,
)

_MATRIX = 16  # from this number of texts on, one matrix product in BLAS is faster


class NativeStepper:
    """Steps one recurrent model in the native kernel.

    Arguments, results and states are those of ``RecurrentStepper``; the numbers agree to 1e-5 in
    float32. Each text comes out the same, to the last bit, alone or in a batch.

    Args:
        stepper: the model's NumPy stepper, whose arrays are shared.
        kernel: the loaded kernel.
        precision: of the weights.
        level: the instruction set; None for the best one.
    """

    def __init__(
        self,
        stepper: RecurrentStepper,
        kernel: Kernel,
        precision: Literal["float32", "int8"] = "float32",
        level: int | None = None,
    ) -> None:
        self.max_batch_size = stepper.max_batch_size
        self.uses_blas = False  # except for large products, which benefit from several threads
        self.reference, self.kernel, self.precision = stepper, kernel, precision
        self.level = kernel.level if level is None else min(level, kernel.level)
        self.packed: list[PackedWeight | None] = [
            pack(weight) if precision == "int8" else None for weight, _ in stepper.layers
        ]

    @property
    def backend(self) -> str:
        """Return in words what computes a step."""
        return f"native kernel, {INSTRUCTIONS[self.level]}, {self.precision}"

    def start(self, texts: int, state: State = None, *, batched: bool = False) -> Session:
        """Return a session that steps so many texts from a state."""
        if batched and texts >= _MATRIX and self.precision == "float32":
            return self.reference.start(texts, state, batched=True)
        return NativeSession(self, texts, state)

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; return the logits of the next token, and the state."""
        session = self.start(len(ids), state, batched=batched)
        return session.step(ids), session.state(list(range(len(ids))))

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` unless a state has the shapes of this model's states."""
        self.reference.check_state(state)


class NativeSession:
    """Steps N texts in the kernel, in its own memory.

    Args:
        stepper: the model's stepper.
        texts: N.
        state: the state to continue from; None = start of text.
    """

    def __init__(self, stepper: NativeStepper, texts: int, state: State) -> None:
        model, g = stepper.reference, stepper.reference.gates
        cell = _cell(model)
        self._model = stepper  # keeps alive the arrays that the pointers point to
        self._ids = np.zeros(texts, dtype=np.int64)
        self._x = np.empty((texts, g), dtype=np.float32)
        self._h = np.empty((texts, model.width), dtype=np.float32)
        self._rounded = np.zeros((texts, round_up(model.width, 4)), dtype=np.int8)
        self._units = np.empty(texts, dtype=np.float32)
        self._outs: list[NDArray[np.float32]] = []
        self._places: list[NDArray[np.float32]] = []  # the state: for each layer r, and more
        self._layers = (Layer * len(model.layers))()
        for layer, (weight, bias), packed in zip(
            self._layers, model.layers, stepper.packed, strict=True
        ):
            out = np.empty((texts, weight.shape[1]), dtype=np.float32)
            out[:, :g] = bias[:g]
            self._outs.append(out)
            self._places.append(out[:, :g])
            layer.columns, layer.bias, layer.out = weight.shape[1], _at(bias), _at(out)
            if packed is None:
                layer.weight = _at(weight)
            else:
                layer.packed, layer.scales, layer.sums = (_at(part) for part in packed)
            if cell >= _GRU:
                memory = np.zeros((texts, model.width), dtype=np.float32)
                self._places.append(memory)
                layer.memory = _at(memory)
        for place, part in zip(self._places, state or (), strict=state is not None):
            place[:] = part
        self._logits = self._outs[-1][:, g:]
        self._arguments = Arguments(
            *(stepper.level, cell, texts, *model.table.shape[:1], model.width, g, len(self._outs)),
            *(_at(self._ids), _at(model.table), self._layers),
            *map(_at, (self._x, self._h, self._rounded, self._units)),
        )
        self._pointer = ctypes.pointer(self._arguments)
        self._step = stepper.kernel.step

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return logits that the next step overwrites."""
        self._ids[:] = ids
        self._step(self._pointer)
        return self._logits

    def state(self, rows: list[int]) -> tuple[NDArray[Any], ...]:
        """Return the state of some of the texts: for each layer r, and more."""
        return tuple(place[rows] for place in self._places)


_TANH, _RELU, _GRU, _LSTM = range(4)


def _cell(stepper: RecurrentStepper) -> int:
    """Return the number of a stepper's cell in kernel.c."""
    if isinstance(stepper, RNNStepper):
        return _RELU if stepper.relu else _TANH
    return {GRUStepper: _GRU, LSTMStepper: _LSTM}[type(stepper)]


def _at(array: NDArray[Any]) -> int:
    """Return the address of an array, which must be contiguous."""
    if not array.flags.c_contiguous:
        raise ValueError(f"An array must be contiguous. Received: strides {array.strides}")
    return array.ctypes.data
