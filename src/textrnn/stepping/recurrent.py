"""The steps of RNN, GRU and LSTM."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.stepping.base import State, Stepper, Tensors, choice, take, times


class _RecurrentStepper(Stepper):
    """What RNN, GRU and LSTM share: a table of first-layer inputs, stacked cells, a head."""

    gates: int

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        v, h = config["vocab_size"], config["hidden_size"]
        e = config["embedding_dim"] or v  # one-hot input is as wide as the vocabulary
        g = self.gates * h
        self.config = config
        self.layers = []
        for i in range(config["num_layers"]):
            self.layers.append(
                (
                    take(tensors, f"layers.{i}.weight_ih_l0", (g, e if i == 0 else h)).T,
                    take(tensors, f"layers.{i}.bias_ih_l0", (g,)),
                    take(tensors, f"layers.{i}.weight_hh_l0", (g, h)).T,
                    take(tensors, f"layers.{i}.bias_hh_l0", (g,)),
                )
            )
        weight_ih, bias_ih, _, _ = self.layers[0]
        # Layer 0 has only V different inputs: a row of this table each.
        self.table = weight_ih + bias_ih  # (V, G)
        if choice(config["input"], ("embedding", "onehot")) == "embedding":
            self.table = take(tensors, "embedding.weight", (v, e)) @ weight_ih + bias_ih
        head = "embedding.weight" if config["tie_weights"] else "head.weight"
        self.head = take(tensors, head, (v, h)).T, take(tensors, "head.bias", (v,))

    def step(self, ids: NDArray[Any], state: State = None) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is h, or h and c, of each layer, (N, H)."""
        new: list[NDArray[Any]] = []
        per_layer = len(state) // len(self.layers) if state is not None else 0
        h = np.empty(0)
        for i, (weight_ih, bias_ih, weight_hh, bias_hh) in enumerate(self.layers):
            x = self.table[ids] if i == 0 else times(h, weight_ih) + bias_ih  # (N, G)
            old = state[i * per_layer : (i + 1) * per_layer] if state is not None else ()
            if not old:
                start = np.zeros((len(ids), self.config["hidden_size"]), dtype=np.float32)
                old = (start, start)
            cell = self._cell(x, times(old[0], weight_hh) + bias_hh, *old)
            new.extend(cell)
            h = cell[0]  # (N, H)
        weight, bias = self.head
        return times(h, weight) + bias, tuple(new)

    @abstractmethod
    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        """Give the new state from the input's part x (N, G), the recurrent part r (N, G)."""


class RNNStepper(_RecurrentStepper):
    """Steps ``RNNModel``: h' = tanh(x + r), or relu (Elman 1990)."""

    gates = 1

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.relu = choice(config["nonlinearity"], ("tanh", "relu")) == "relu"
        super().__init__(config, tensors)

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        return (np.maximum(x + r, 0) if self.relu else np.tanh(x + r),)


class GRUStepper(_RecurrentStepper):
    """Steps ``GRUModel`` (Cho et al. 2014, in the form of cuDNN and torch.nn.GRU)."""

    gates = 3

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        x_reset, x_update, x_new = np.split(x, 3, axis=1)
        r_reset, r_update, r_new = np.split(r, 3, axis=1)
        reset = _sigmoid(x_reset + r_reset)
        update = _sigmoid(x_update + r_update)
        new = np.tanh(x_new + reset * r_new)
        return (new + update * (h - new),)


class LSTMStepper(_RecurrentStepper):
    """Steps ``LSTMModel`` (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000)."""

    gates = 4

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        i, f, g, o = np.split(x + r, 4, axis=1)
        c = _sigmoid(f) * rest[0] + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 0.5 * np.tanh(0.5 * x) + 0.5
