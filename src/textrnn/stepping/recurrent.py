"""The steps of RNN, GRU and LSTM.

What can be computed once is computed when the stepper is made: the first layer has only V different
inputs, so its input weights become a table with a row a token; biases are added to what they would
be added to; the weights of sigmoid gates are halved, because sigmoid(x) = (tanh(x / 2) + 1) / 2,
so that one tanh serves all gates.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.stepping.base import State, Stepper, Tensors, choice, take, times


class _RecurrentStepper(Stepper):
    """What RNN, GRU and LSTM share: a table of first-layer inputs, stacked cells, a head.

    The gates of a cell are blocks of H columns; ``order`` says which of torch's come first, and
    the first ``sigmoids`` of them are sigmoid gates.
    """

    order: tuple[int, ...]
    sigmoids: int
    arrays: int = 1  # of a layer's state

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        v, h = config["vocab_size"], config["hidden_size"]
        e = config["embedding_dim"] or v  # one-hot input is as wide as the vocabulary
        self.width = h
        self.layers = []
        for i in range(config["num_layers"]):
            width = h if i else e
            self.layers.append(
                tuple(
                    self._arrange(take(tensors, f"layers.{i}.{name}_l0", (len(self.order) * h, *n)))
                    for name, n in (
                        ("weight_ih", (width,)),
                        ("bias_ih", ()),
                        ("weight_hh", (h,)),
                        ("bias_hh", ()),
                    )
                )
            )
        inputs = self.layers[0][0]  # (E, G)
        if choice(config["input"], ("embedding", "onehot")) == "embedding":
            inputs = take(tensors, "embedding.weight", (v, e)) @ inputs
        self.table = inputs + self.layers[0][1]  # (V, G)
        head = "embedding.weight" if config["tie_weights"] else "head.weight"
        self.head = np.ascontiguousarray(take(tensors, head, (v, h)).T)
        self.head_bias = take(tensors, "head.bias", (v,))

    def _arrange(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Put the gates in our order, halve the sigmoid ones, turn rows into columns."""
        gates = np.split(rows, len(self.order))
        columns = [gates[k] * (0.5 if n < self.sigmoids else 1.0) for n, k in enumerate(self.order)]
        return np.ascontiguousarray(np.concatenate(columns).T.astype(np.float32, copy=False))

    def step(
        self, ids: NDArray[Any], state: State = None, *, together: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is h, or h and c, of each layer, (N, H)."""
        if state is None:
            zeros = np.zeros((len(ids), self.width), dtype=np.float32)
            state = (zeros,) * (self.arrays * len(self.layers))
        new: list[NDArray[Any]] = []
        x = self.table.take(ids, axis=0)  # (N, G)
        for i, (weight_ih, bias_ih, weight_hh, bias_hh) in enumerate(self.layers):
            if i:
                x = times(new[-self.arrays], weight_ih, together)
                x += bias_ih
            old = state[i * self.arrays : (i + 1) * self.arrays]
            r = times(old[0], weight_hh, together)
            r += bias_hh
            new.extend(self._cell(x, r, *old))
        logits = times(new[-self.arrays], self.head, together)
        logits += self.head_bias
        return logits, tuple(new)

    @abstractmethod
    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        """Give the new state from the input's part x (N, G), the recurrent part r (N, G).

        It may overwrite x and r, which nobody else uses, but not the state.
        """


class RNNStepper(_RecurrentStepper):
    """Steps ``RNNModel``: h' = tanh(x + r), or relu (Elman 1990)."""

    order, sigmoids = (0,), 0

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.relu = choice(config["nonlinearity"], ("tanh", "relu")) == "relu"
        super().__init__(config, tensors)

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        x += r
        return (np.maximum(x, 0, out=x) if self.relu else np.tanh(x, out=x),)


class GRUStepper(_RecurrentStepper):
    """Steps ``GRUModel`` (Cho et al. 2014, in the form of cuDNN and torch.nn.GRU)."""

    order, sigmoids = (0, 1, 2), 2  # reset, update, new

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        n = self.width
        gates = x[:, : 2 * n]
        gates += r[:, : 2 * n]
        _sigmoid(np.tanh(gates, out=gates))
        reset, update, new = gates[:, :n], gates[:, n:], x[:, 2 * n :]
        new += reset * r[:, 2 * n :]
        np.tanh(new, out=new)
        return (new + update * (h - new),)


class LSTMStepper(_RecurrentStepper):
    """Steps ``LSTMModel`` (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000)."""

    order, sigmoids = (0, 1, 3, 2), 3  # input, forget, output; candidate
    arrays = 2

    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        n = self.width
        x += r
        np.tanh(x, out=x)
        _sigmoid(x[:, : 3 * n])
        c = x[:, n : 2 * n] * rest[0]
        c += x[:, :n] * x[:, 3 * n :]
        return np.tanh(c) * x[:, 2 * n : 3 * n], c


def _sigmoid(halved: NDArray[Any]) -> None:
    """Turn tanh(x / 2) into sigmoid(x), in place."""
    halved *= 0.5
    halved += 0.5
