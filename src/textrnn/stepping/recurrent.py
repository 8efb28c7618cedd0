"""The steps of RNN, GRU and LSTM.

What can be computed once is computed when the stepper is made, so that a step is one product of a
vector and a matrix for each layer, and few passes over its result:

- The first layer has only V different inputs: its input weights are a table with a row a token.
- A layer's output h is wanted in two places: by the layer itself at the next step, by the layer
  above (or the head) at this one. Both weights stand in one matrix. The state of a layer is
  therefore not h but what h adds to the layer's gates at the next step, r = W_hh h + b_hh.
- sigmoid(x) = (tanh(x / 2) + 1) / 2, so that one tanh serves all gates. The weights of sigmoid
  gates are halved; the other half is taken where it costs nothing, in the weights that what a
  gate lets through is multiplied with.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from textrnn.stepping.base import Layout, State, Stepper, Tensors, choice, size, times


class RecurrentStepper(Stepper):
    """What RNN, GRU and LSTM share: a table of first-layer inputs, stacked cells, a head.

    The gates of a cell are blocks of H columns; ``order`` says which of torch's come first, and
    the first ``sigmoids`` of them are sigmoid gates. A cell puts out ``times_h`` times h.
    """

    order: tuple[int, ...]
    sigmoids: int
    arrays: int  # of a layer's state
    times_h = 1.0
    tanh: Any = np.tanh

    @classmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Say which tensors a model with this config has, from input to output."""
        v, h = size(config, "vocab_size"), size(config, "hidden_size")
        embeds = choice(config["input"], ("embedding", "onehot")) == "embedding"
        tied = choice(config["tie_weights"], (False, True) if embeds else (False,))
        e = size(config, "embedding_dim") if embeds else v  # one-hot is as wide as the vocabulary
        if embeds:
            yield "embedding.weight", (v, h if tied else e), np.float32
        for i in range(size(config, "num_layers")):
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
        self.table = first + inputs[0][1]  # (V, G)
        head = tensors["embedding.weight" if config["tie_weights"] else "head.weight"]
        above = [*inputs[1:], (head.T, tensors["head.bias"])]
        self.layers = []
        for (weight_hh, bias_hh), (weight, bias) in zip(recurrent, above, strict=True):
            both = np.concatenate([self._recurrent(weight_hh), weight], axis=1)  # (H, G + next)
            both *= np.float32(1 / self.times_h)
            self.layers.append((both, np.concatenate([self._recurrent(bias_hh), bias])))

    def _columns(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Put the gates in our order, halve the sigmoid ones, turn rows into columns."""
        gates = np.split(rows, len(self.order))
        columns = [gates[k] * (0.5 if n < self.sigmoids else 1.0) for n, k in enumerate(self.order)]
        return np.concatenate(columns).T.astype(np.float32, copy=False)

    def _recurrent(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Give the columns of the recurrent part as the cell wants them."""
        return columns

    def _start(self, texts: int) -> tuple[NDArray[Any], ...]:
        """Give the state of texts that have not begun: h = 0, so that r is its bias."""
        state: list[NDArray[Any]] = []
        for _, bias in self.layers:
            state.append(np.repeat(bias[None, : self.gates], texts, axis=0))
            state += [np.zeros((texts, self.width), dtype=np.float32)] * (self.arrays - 1)
        return tuple(state)

    def step(
        self, ids: NDArray[Any], state: State = None, *, together: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is r (N, G), and more, of each layer."""
        old = self._start(len(ids)) if state is None else state
        new: list[NDArray[Any]] = []
        x = self.table[ids]  # (N, G)
        for weight, bias in self.layers:
            h, *rest = self._cell(x, *old[len(new) : len(new) + self.arrays])
            both = times(h, weight, together)  # (N, G + G of the layer above, or V)
            both += bias
            new += both[:, : self.gates], *rest
            x = both[:, self.gates :]
        return x, tuple(new)

    def moved(self, move: Callable[[NDArray[Any]], Any], tanh: Any) -> Self:
        """Give a stepper of texts together whose arrays are others than NumPy's, as on a GPU.

        Args:
            move: gives such an array for one of NumPy's.
            tanh: takes one, and as ``out`` the place for the result, as ``numpy.tanh`` does.
        """
        other = copy(self)
        other.table, other.tanh = move(self.table), tanh
        other.layers = [(move(weight), move(bias)) for weight, bias in self.layers]
        return other

    @abstractmethod
    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        """Give ``times_h`` times h, and the rest of the state, from the parts x and r (N, G).

        It may overwrite x, which nobody else uses, but not the state.
        """


class RNNStepper(RecurrentStepper):
    """Steps ``RNNModel``: h' = tanh(x + r), or relu (Elman 1990)."""

    order, sigmoids, arrays = (0,), 0, 1

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.relu = choice(config["nonlinearity"], ("tanh", "relu")) == "relu"
        super()._prepare(config, tensors)

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        x += r
        return (x.clip(0) if self.relu else self.tanh(x, out=x),)


class GRUStepper(RecurrentStepper):
    """Steps ``GRUModel`` (Cho et al. 2014, in the form of cuDNN and torch.nn.GRU)."""

    order, sigmoids, arrays = (0, 1, 2), 2, 2  # reset, update, new

    def _recurrent(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Halve what the reset gate is multiplied with, because the gate is left twice as large."""
        halved = columns.copy()
        halved[..., 2 * self.width :] *= 0.5
        return halved

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        n, (h,) = self.width, rest
        gates, new = x[:, : 2 * n], x[:, 2 * n :]
        gates += r[:, : 2 * n]
        self.tanh(gates, out=gates)
        gates += 1  # twice reset, twice update
        new += gates[:, :n] * r[:, 2 * n :]
        self.tanh(new, out=new)
        h = h - new
        h *= gates[:, n:]
        h *= 0.5
        h += new
        return h, h


class LSTMStepper(RecurrentStepper):
    """Steps ``LSTMModel`` (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000)."""

    order, sigmoids, arrays = (0, 1, 3, 2), 3, 2  # input, forget, output; candidate
    times_h = 2.0

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        n = self.width
        x += r
        self.tanh(x, out=x)
        gates = x[:, : 3 * n]
        gates += 1  # twice input, twice forget, twice output
        c = gates[:, n : 2 * n] * rest[0]
        c += gates[:, :n] * x[:, 3 * n :]
        c *= 0.5
        h = self.tanh(c)
        h *= gates[:, 2 * n :]
        return h, c
