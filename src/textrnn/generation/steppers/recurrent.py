"""The steppers of RNN, GRU and LSTM.

A stepper precomputes as much as possible, so that a step is one matrix-vector product per layer
and few passes over its result:

- The first layer has only V different inputs: its input weights are a table with a row per token.
- A layer's output h is used twice: by the layer itself at the next step, and by the layer above
  (or the head) at this one. One matrix holds the weights of both. The state of a layer is
  therefore not h but what h adds to the layer's gates at the next step, r = W_hh h + b_hh.
- Memory is allocated, and sliced into gates, once per session.
- sigmoid(x) = (tanh(x / 2) + 1) / 2, so that one tanh serves all gates. The weights of sigmoid
  gates are halved. The other factor of 1/2 costs nothing: it is part of the weights that multiply
  a gate's result.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from textrnn.generation.steppers.base import (
    Layout,
    State,
    Stepper,
    Tensors,
    config_choice,
    config_int,
)


def _take(table: NDArray[Any], ids: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy rows of a table to ``out``; with "clip", because "raise" makes a second copy."""
    table.take(ids, axis=0, out=out, mode="clip")


class RecurrentStepper(Stepper):
    """What RNN, GRU and LSTM share: a table of first-layer inputs, stacked cells, a head.

    The gates of a cell are blocks of H columns. ``order`` is their order in terms of torch's, and
    the first ``sigmoids`` of them are sigmoid gates. A ``cell`` outputs ``output_scale`` times h.
    """

    cell: type["Cell"]
    order: tuple[int, ...]
    sigmoids: int
    output_scale = 1.0
    xp: Any = np  # the module that computes: NumPy or torch
    take_rows: Callable[..., Any] = staticmethod(_take)

    @classmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Yield the tensors that a model with this config has, from input to output."""
        v, h = config_int(config, "vocab_size"), config_int(config, "hidden_size")
        embeds = config_choice(config["input"], ("embedding", "onehot")) == "embedding"
        tied = config_choice(config["tie_weights"], (False, True) if embeds else (False,))
        e = (
            config_int(config, "embedding_dim") if embeds else v
        )  # one-hot is as wide as the vocabulary
        if embeds:
            yield "embedding.weight", (v, h if tied else e), np.float32
        for i in range(config_int(config, "num_layers")):
            for name, width in (("ih", h if i else e), ("hh", h)):
                yield f"layers.{i}.weight_{name}_l0", (h * len(cls.order), width), np.float32
                yield f"layers.{i}.bias_{name}_l0", (h * len(cls.order),), np.float32
        if not tied:
            yield "head.weight", (v, h), np.float32
        yield "head.bias", (v,), np.float32

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        n, self.width = config["num_layers"], config["hidden_size"]
        self.gates = self.width * len(self.order)
        inputs: list[tuple[NDArray[Any], ...]] = []  # of each layer: (E or H, G), (G,)
        recurrent: list[tuple[NDArray[Any], ...]] = []  # (H, G), (G,)
        for i in range(n):
            for name, parts in (("ih", inputs), ("hh", recurrent)):
                weight = tensors[f"layers.{i}.weight_{name}_l0"]
                bias = tensors[f"layers.{i}.bias_{name}_l0"]
                parts.append((self._columns(weight), self._columns(bias)))
        embeds = config["input"] == "embedding"
        first = tensors["embedding.weight"] @ inputs[0][0] if embeds else inputs[0][0]
        self.table = np.ascontiguousarray(first + inputs[0][1])  # (V, G)
        head = tensors["embedding.weight" if config["tie_weights"] else "head.weight"]
        outputs = [*inputs[1:], (head.T, tensors["head.bias"])]  # the weights for each layer's h
        self.layers = []
        for (weight_hh, bias_hh), (weight, bias) in zip(recurrent, outputs, strict=True):
            fused = [self._recurrent(weight_hh), weight]
            fused_weight = np.empty((self.width, len(bias_hh) + len(bias)), dtype=np.float32)
            np.concatenate(fused, axis=1, out=fused_weight)  # row by row, which is faster
            fused_weight *= np.float32(1 / self.output_scale)
            fused_bias = np.concatenate([self._recurrent(bias_hh), bias])
            self.layers.append((fused_weight, fused_bias))

    def _columns(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows as columns, with the gates in our order and the sigmoid gates halved."""
        gates = np.split(rows, len(self.order))
        columns = [gates[k] * (0.5 if n < self.sigmoids else 1.0) for n, k in enumerate(self.order)]
        return np.concatenate(columns).T.astype(np.float32, copy=False)

    def _recurrent(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Return the columns of the recurrent part as the cell needs them."""
        return columns

    def start(
        self, texts: int, state: State = None, *, batched: bool = False
    ) -> "RecurrentSession":
        """Return a session that steps so many texts from a state."""
        return RecurrentSession(self, texts, state, batched)

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state of each layer is r (N, G), and more."""
        session = self.start(len(ids), state, batched=batched)
        return session.step(ids), session.state(list(range(len(ids))))

    def to_backend(self, convert: Callable[[NDArray[Any]], Any], xp: Any, take_rows: Any) -> Self:
        """Return a stepper that computes with other arrays than NumPy's.

        Args:
            convert: turns a NumPy array into such an array.
            xp: the module with their functions, such as torch.
            take_rows: copies rows of a table; its arguments are table, ids, out.
        """
        other = copy(self)
        other.table, other.xp, other.take_rows = convert(self.table), xp, take_rows
        other.layers = [(convert(weight), convert(bias)) for weight, bias in self.layers]
        return other


class RecurrentSession:
    """Steps N texts through a recurrent model, in its own memory.

    Args:
        stepper: the model's stepper.
        texts: N.
        state: the state to continue from; None = start of text: h = 0, so r is its bias.
        batched: whether all texts share one matrix product.
    """

    def __init__(self, stepper: RecurrentStepper, texts: int, state: State, batched: bool) -> None:
        xp, g = stepper.xp, stepper.gates
        self._table, self._take_rows, self._matmul = stepper.table, stepper.take_rows, xp.matmul
        self._x = x = xp.empty((texts, g), dtype=xp.float32)
        self._layers, self._places = [], []
        for weight, bias in stepper.layers:
            out = xp.empty((texts, weight.shape[1]), dtype=xp.float32)  # r, then the next input
            cell = stepper.cell(xp, x, out[:, :g], stepper.width)
            self._places += cell.state
            if state is None:
                cell.state[0][:] = bias[:g]
            alone = not batched and texts > 1  # each text has its own product
            h, product = (cell.h[:, None], out[:, None]) if alone else (cell.h, out)
            self._layers.append((cell, h, weight, product, out, bias))
            x = out[:, g:]
        self._logits: NDArray[np.float32] = x
        for place, part in zip(self._places, state or (), strict=state is not None):
            place[:] = part

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return logits that the next step overwrites."""
        self._take_rows(self._table, ids, self._x)
        for cell, h, weight, product, out, bias in self._layers:
            cell.compute()
            self._matmul(h, weight, out=product)
            out += bias
        return self._logits

    def state(self, rows: list[int]) -> tuple[NDArray[Any], ...]:
        """Return the state of some of the texts: for each layer r, and more."""
        return tuple(place[rows] for place in self._places)


class Cell(ABC):
    """One layer of N texts: its input, its state and its output.

    Attributes:
        h: (N, H) the output, after ``compute``.
        state: the state, r (N, G) first.
    """

    def __init__(self, xp: Any, x: NDArray[Any], r: NDArray[Any], width: int) -> None:
        self.xp, self.x, self.r = xp, x, r
        self.h = self.new(width)
        self.state = [r]

    def new(self, columns: int, value: float = 0.0) -> NDArray[Any]:
        """Return an array with a row per text."""
        array: NDArray[Any] = self.xp.full((len(self.x), columns), value, dtype=self.xp.float32)
        return array

    @abstractmethod
    def compute(self) -> None:
        """Compute ``output_scale`` times h, from the parts x and r; x may be overwritten."""


class _TanhCell(Cell):
    def compute(self) -> None:
        self.x += self.r
        self.xp.tanh(self.x, out=self.h)


class _ReluCell(Cell):
    def __init__(self, xp: Any, x: NDArray[Any], r: NDArray[Any], width: int) -> None:
        super().__init__(xp, x, r, width)
        self.zero = self.new(width)

    def compute(self) -> None:
        self.x += self.r
        self.xp.maximum(self.x, self.zero, out=self.h)


class RNNStepper(RecurrentStepper):
    """Steps ``RNNModel``: h' = tanh(x + r), or relu (Elman 1990)."""

    order, sigmoids = (0,), 0

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.relu = config_choice(config["nonlinearity"], ("tanh", "relu")) == "relu"
        self.cell = _ReluCell if self.relu else _TanhCell
        super()._prepare(config, tensors)


class _GRUCell(Cell):
    def __init__(self, xp: Any, x: NDArray[Any], r: NDArray[Any], width: int) -> None:
        super().__init__(xp, x, r, width)
        n = width
        self.gates, self.reset, self.update = x[:, : 2 * n], x[:, :n], x[:, n : 2 * n]
        self.content = x[:, 2 * n :]
        self.r_gates, self.r_content = r[:, : 2 * n], r[:, 2 * n :]
        self.one, self.half, self.part = self.new(2 * n, 1.0), self.new(n, 0.5), self.new(n)
        self.state = [r, self.h]

    def compute(self) -> None:
        xp, gates, content, h = self.xp, self.gates, self.content, self.h
        gates += self.r_gates
        xp.tanh(gates, out=gates)
        gates += self.one  # twice reset, twice update
        xp.multiply(self.reset, self.r_content, out=self.part)
        content += self.part
        xp.tanh(content, out=content)
        h -= content
        h *= self.update
        h *= self.half
        h += content


class GRUStepper(RecurrentStepper):
    """Steps ``GRUModel`` (Cho et al. 2014, in the form of cuDNN and torch.nn.GRU)."""

    cell, order, sigmoids = _GRUCell, (0, 1, 2), 2  # reset, update, new

    def _recurrent(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Halve the factor of the reset gate, because the gate's value is twice as large."""
        halved = columns.copy()
        halved[..., 2 * self.width :] *= 0.5
        return halved


class _LSTMCell(Cell):
    def __init__(self, xp: Any, x: NDArray[Any], r: NDArray[Any], width: int) -> None:
        super().__init__(xp, x, r, width)
        n = width
        self.gates, self.candidate = x[:, : 3 * n], x[:, 3 * n :]
        self.input, self.forget, self.output = x[:, :n], x[:, n : 2 * n], x[:, 2 * n : 3 * n]
        self.one, self.half, self.c = self.new(3 * n, 1.0), self.new(n, 0.5), self.new(n)
        self.state = [r, self.c]

    def compute(self) -> None:
        xp, x, gates, c, h = self.xp, self.x, self.gates, self.c, self.h
        x += self.r
        xp.tanh(x, out=x)
        gates += self.one  # twice input, twice forget, twice output
        c *= self.forget
        xp.multiply(self.input, self.candidate, out=h)
        c += h
        c *= self.half
        xp.tanh(c, out=h)
        h *= self.output


class LSTMStepper(RecurrentStepper):
    """Steps ``LSTMModel`` (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000)."""

    cell, order, sigmoids = _LSTMCell, (0, 1, 3, 2), 3  # input, forget, output; candidate
    output_scale = 2.0
