"""The steppers of window models. The state is the last w-1 tokens, (N, w - 1), -1 for none."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.generation.steppers.base import (
    Layout,
    State,
    Stepper,
    Tensors,
    config_choice,
    config_int,
    matmul_rows,
)

MAX_WINDOW = 1 << 12
"""The widest window that a file may claim: no tensor's shape would expose a wrong value."""

_SMALL_TABLES = 1 << 20  # numbers; larger ones may be _TABLES times as large as the model
_TABLES = 16


class _WindowStepper(Stepper):
    """What window models share: the tokens in reach, an embedding, a head. Weights are copied.

    Tables have a row per token, and a last row for "no token", which index -1 finds.
    """

    @classmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Yield the tensors that a model with this config has, from input to output."""
        v, e, h = (
            config_int(config, name) for name in ("vocab_size", "embedding_dim", "hidden_size")
        )
        yield "embedding.weight", (v, e), np.float32
        for name, width in cls._hidden(e, h, config_int(config, "window", MAX_WINDOW), config):
            yield f"{name}.weight", (h, width), np.float32
            yield f"{name}.bias", (h,), np.float32
        yield "head.weight", (v, h), np.float32
        yield "head.bias", (v,), np.float32

    @classmethod
    @abstractmethod
    def _hidden(
        cls, e: int, h: int, w: int, config: Mapping[str, Any]
    ) -> Iterator[tuple[str, int]]:
        """Return name and input width of each layer between embedding and head."""

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.window = config["window"]
        self.embedding = np.pad(tensors["embedding.weight"], ((0, 1), (0, 0)))
        self.head = tensors["head.weight"].copy().T, tensors["head.bias"].copy()

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is the last w-1 tokens, (N, w - 1)."""
        before = np.full((len(ids), self.window - 1), -1) if state is None else state[0]
        reach = np.concatenate([before, np.asarray(ids, dtype=np.int64)[:, None]], axis=1)
        weight, bias = self.head
        features = self._features(reach, batched)
        return matmul_rows(features, weight, batched) + bias, (reach[:, 1:],)

    @abstractmethod
    def _features(self, reach: NDArray[np.int64], batched: bool) -> NDArray[np.float32]:
        """Return the features (N, H) of the tokens in reach (N, w)."""


class WindowMLPStepper(_WindowStepper):
    """Steps ``WindowMLPModel`` (Bengio et al. 2003): the sum of a row from each of w tables, relu.

    If the tables would be much larger than the model, as with many tokens and short vectors, a
    step multiplies the vectors instead.
    """

    @classmethod
    def _hidden(
        cls, e: int, h: int, w: int, config: Mapping[str, Any]
    ) -> Iterator[tuple[str, int]]:
        yield "hidden", w * e

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        super()._prepare(config, tensors)
        w, (v, e) = self.window, self.embedding.shape
        self.weight, self.bias = tensors["hidden.weight"].copy().T, tensors["hidden.bias"].copy()
        room = max(_SMALL_TABLES, _TABLES * sum(tensor.size for tensor in tensors.values()))
        small = w * v * len(self.bias) <= room
        self.tables = self.embedding @ self.weight.reshape(w, e, -1) if small else None  # (w, V, H)

    def _features(self, reach: NDArray[np.int64], batched: bool) -> NDArray[np.float32]:
        if self.tables is None:
            vectors = self.embedding[reach].reshape(len(reach), -1)  # (N, w * E)
            hidden = matmul_rows(vectors, self.weight, batched)
        else:
            hidden = self.tables[np.arange(self.window), reach].sum(axis=1)  # (N, w, H) -> (N, H)
        return np.asarray(np.maximum(hidden + self.bias, 0))


class WindowRNNStepper(_WindowStepper):
    """Steps ``WindowRNNModel``: w steps from a zero state for each token."""

    @classmethod
    def _hidden(
        cls, e: int, h: int, w: int, config: Mapping[str, Any]
    ) -> Iterator[tuple[str, int]]:
        add = config_choice(config["combine"], ("add", "concat")) == "add"
        yield "input", e if add else h + e
        yield "recurrent", h

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        super()._prepare(config, tensors)
        e, h = config["embedding_dim"], config["hidden_size"]
        self.add = config["combine"] == "add"
        weight = tensors["input.weight"].copy().T
        self.mix = None if self.add else weight[:h]
        self.table = self.embedding @ weight[-e:] + tensors["input.bias"]  # (V + 1, H)
        if self.add:
            self.table = np.maximum(self.table, 0)
        self.weight = tensors["recurrent.weight"].copy().T
        self.bias = tensors["recurrent.bias"].copy()

    def _features(self, reach: NDArray[np.int64], batched: bool) -> NDArray[np.float32]:
        h = np.zeros((len(reach), len(self.bias)), dtype=np.float32)
        for token in self.table[reach.T]:  # (N, H), the oldest token of each text first
            mixed = h + token
            if self.mix is not None:
                mixed = np.maximum(matmul_rows(h, self.mix, batched) + token, 0)
            h = np.tanh(matmul_rows(mixed, self.weight, batched) + self.bias)
        return h
