"""The steps of the window models. The state is the last w-1 tokens, (N, w - 1), -1 for none."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.stepping.base import State, Stepper, Tensors, choice, take, times


class _WindowStepper(Stepper):
    """What the window models share: the tokens in reach, an embedding, a head.

    Tables have a row a token and a last row of what no token gives, which index -1 finds.
    """

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        v, e, h = config["vocab_size"], config["embedding_dim"], config["hidden_size"]
        self.window = config["window"]
        embedding = take(tensors, "embedding.weight", (v, e))
        self.embedding = np.concatenate([embedding, np.zeros((1, e), embedding.dtype)])
        self.head = take(tensors, "head.weight", (v, h)).T, take(tensors, "head.bias", (v,))

    def step(
        self, ids: NDArray[Any], state: State = None, *, together: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is the last w-1 tokens, (N, w - 1)."""
        before = np.full((len(ids), self.window - 1), -1) if state is None else state[0]
        reach = np.concatenate([before, np.asarray(ids, dtype=np.int64)[:, None]], axis=1)
        weight, bias = self.head
        features = self._features(reach, together)
        return times(features, weight, together) + bias, (reach[:, 1:],)

    @abstractmethod
    def _features(self, reach: NDArray[np.int64], together: bool) -> NDArray[np.float32]:
        """Give the features (N, H) of the tokens in reach (N, w)."""


class WindowMLPStepper(_WindowStepper):
    """Steps ``WindowMLPModel`` (Bengio et al. 2003): the sum of a row of w tables, then relu."""

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(config, tensors)
        w, e, h = self.window, config["embedding_dim"], config["hidden_size"]
        weight = take(tensors, "hidden.weight", (h, w * e)).T.reshape(w, e, h)
        self.tables = self.embedding @ weight  # (w, V + 1, H)
        self.bias = take(tensors, "hidden.bias", (h,))

    def _features(self, reach: NDArray[np.int64], together: bool) -> NDArray[np.float32]:
        rows = self.tables[np.arange(self.window), reach]  # (N, w, H)
        return np.asarray(np.maximum(rows.sum(axis=1) + self.bias, 0))


class WindowRNNStepper(_WindowStepper):
    """Steps ``WindowRNNModel``: w steps from a zero state for each token."""

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        super().__init__(config, tensors)
        e, h = config["embedding_dim"], config["hidden_size"]
        self.add = choice(config["combine"], ("add", "concat")) == "add"
        weight = take(tensors, "input.weight", (h, e if self.add else h + e)).T
        self.mix = None if self.add else weight[:h]
        self.table = self.embedding @ weight[-e:] + take(tensors, "input.bias", (h,))  # (V + 1, H)
        if self.add:
            self.table = np.maximum(self.table, 0)
        self.weight = take(tensors, "recurrent.weight", (h, h)).T
        self.bias = take(tensors, "recurrent.bias", (h,))

    def _features(self, reach: NDArray[np.int64], together: bool) -> NDArray[np.float32]:
        h = np.zeros((len(reach), len(self.bias)), dtype=np.float32)
        for token in self.table[reach.T]:  # (N, H), the oldest token of each text first
            mixed = h + token
            if self.mix is not None:
                mixed = np.maximum(times(h, self.mix, together) + token, 0)
            h = np.tanh(times(mixed, self.weight, together) + self.bias)
        return h
