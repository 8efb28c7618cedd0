"""One token in, one row of logits out. NumPy only, so a saved model speaks without torch.

Each family has a stepper that does the arithmetic of its torch module for one time step:

    N parallel texts · V vocabulary · H hidden_size · G gates of a cell
    ids     (N,) int             the next token of each of N texts
    state   None | tuple of (N, ...) arrays, never changed in place; None = start of text
    logits  (N, V) float32

A text is stepped by its own matrix-vector products, so the same text comes out alone and beside
others, to the last bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError

Tensors = Mapping[str, NDArray[Any]]
State = tuple[NDArray[Any], ...] | None


class Stepper(ABC):
    """Steps one family of models.

    Args:
        config: the keyword arguments that the model was built with.
        tensors: the model's ``state_dict`` as arrays.

    Raises:
        CorruptModelError: a tensor is missing, or has another shape than the config says.
    """

    @abstractmethod
    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None: ...

    @abstractmethod
    def step(self, ids: NDArray[Any], state: State = None) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; give the logits of the token after it, and the state."""


class _RecurrentStepper(Stepper):
    """What RNN, GRU and LSTM share: a table of first-layer inputs, stacked cells, a head."""

    gates: int

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        v, e, h = config["vocab_size"], config["embedding_dim"], config["hidden_size"]
        g = self.gates * h
        self.config = config
        self.layers = []
        for i in range(config["num_layers"]):
            self.layers.append(
                (
                    _take(tensors, f"layers.{i}.weight_ih_l0", (g, e if i == 0 else h)).T,
                    _take(tensors, f"layers.{i}.bias_ih_l0", (g,)),
                    _take(tensors, f"layers.{i}.weight_hh_l0", (g, h)).T,
                    _take(tensors, f"layers.{i}.bias_hh_l0", (g,)),
                )
            )
        weight_ih, bias_ih, _, _ = self.layers[0]
        # Layer 0 has only V different inputs: a row of this table each.
        self.table = _take(tensors, "embedding.weight", (v, e)) @ weight_ih + bias_ih  # (V, G)
        self.head = _take(tensors, "head.weight", (v, h)).T, _take(tensors, "head.bias", (v,))

    def step(self, ids: NDArray[Any], state: State = None) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is h, or h and c, of each layer, (N, H)."""
        new: list[NDArray[Any]] = []
        per_layer = len(state) // len(self.layers) if state is not None else 0
        h = np.empty(0)
        for i, (weight_ih, bias_ih, weight_hh, bias_hh) in enumerate(self.layers):
            x = self.table[ids] if i == 0 else _times(h, weight_ih) + bias_ih  # (N, G)
            old = state[i * per_layer : (i + 1) * per_layer] if state is not None else ()
            if not old:
                start = np.zeros((len(ids), self.config["hidden_size"]), dtype=np.float32)
                old = (start, start)
            cell = self._cell(x, _times(old[0], weight_hh) + bias_hh, *old)
            new.extend(cell)
            h = cell[0]  # (N, H)
        weight, bias = self.head
        return _times(h, weight) + bias, tuple(new)

    @abstractmethod
    def _cell(
        self, x: NDArray[Any], r: NDArray[Any], h: NDArray[Any], *rest: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        """Give the new state from the input's part x (N, G), the recurrent part r (N, G)."""


class RNNStepper(_RecurrentStepper):
    """Steps ``RNNModel``: h' = tanh(x + r), or relu (Elman 1990)."""

    gates = 1

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.relu = _choice(config["nonlinearity"], ("tanh", "relu")) == "relu"
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


class NGramStepper(Stepper):
    """Steps ``NGramModel``, which also uses it to score whole texts.

    Level k of the tables holds what followed the contexts of k tokens. A context is found from
    its newest token backwards: node 0 is the empty context, and a context of k+1 tokens is the
    pair (node of its newest k tokens, the token before them), looked up in level k+1's table
    ``contexts``, where pair (n, t) is written n * V + t in ascending order. Node n of a level
    was followed by ``tokens[starts[n] : starts[n + 1]]``, ``counts`` times each.
    """

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.vocab_size, self.order = config["vocab_size"], config["order"]
        self.smoothing = _choice(config["smoothing"], ("witten_bell", None))
        if self.order < 1:
            raise CorruptModelError(
                f"The config of an n-gram has an order from 1. Received: {self.order!r}"
            )
        self.levels = [self._level(tensors, k) for k in range(self.order)]
        self.totals = [
            np.add.reduceat(counts, starts[:-1]) if len(counts) else np.zeros(1, dtype=np.int64)
            for _, starts, _, counts in self.levels
        ]

    def _level(self, tensors: Tensors, k: int) -> tuple[NDArray[Any], ...]:
        contexts = _take(tensors, f"levels.{k}.contexts", None, np.int64)
        starts = _take(tensors, f"levels.{k}.starts", None, np.int64)
        tokens = _take(tensors, f"levels.{k}.tokens", None, np.int32)
        counts = _take(tensors, f"levels.{k}.counts", None, np.int32)
        if not len(starts):  # nothing was counted
            starts = np.zeros(1, dtype=np.int64)
        whole = (
            len(starts) == len(contexts) + 1
            and starts[0] == 0
            and starts[-1] == len(tokens) == len(counts)
            and bool((np.diff(starts) > 0).all() or len(tokens) == 0)
            and bool((np.diff(contexts) > 0).all())
            and bool(((tokens >= 0) & (tokens < self.vocab_size) & (counts > 0)).all())
        )
        if not whole:
            raise CorruptModelError(
                f"The n-gram tables of level {k} contradict each other; the file is damaged. "
                f"Received: {len(contexts)} contexts, {len(starts)} starts, {len(tokens)} tokens"
            )
        return contexts, starts, tokens, counts

    def step(self, ids: NDArray[Any], state: State = None) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; the state is the last n-1 tokens, (N, n - 1)."""
        if state is None:
            before = np.full((len(ids), self.order - 1), -1, dtype=np.int64)
        else:
            before = state[0]
        context = np.concatenate([before, np.asarray(ids)[:, None]], axis=1)[:, 1:]
        context = context if self.order > 1 else before
        return self.log_probabilities(context), (context,)

    def log_probabilities(self, contexts: NDArray[Any]) -> NDArray[np.float32]:
        """Score every token after each of M contexts.

        Args:
            contexts: (M, order - 1) int64, the newest token last; -1 for "before the text".

        Returns:
            (M, V) float32, natural logarithms; minus infinity for never.
        """
        p = np.full((len(contexts), self.vocab_size), 1 / self.vocab_size)
        where = np.arange(len(contexts))  # contexts seen at this level
        nodes = np.zeros(len(contexts), dtype=np.int64)
        for k, (_, starts, tokens, counts) in enumerate(self.levels):
            if k:
                nodes, found = self._extend(k, nodes, contexts[where, -k])
                nodes, where = nodes[found], where[found]
            if not len(where) or not len(tokens):
                break
            first, size = starts[nodes], starts[nodes + 1] - starts[nodes]
            # entry j of the flat lists belongs to context row[j] and stands at table index at[j]
            row = np.repeat(where, size)
            at = np.arange(len(row)) + np.repeat(first - (size.cumsum() - size), size)
            total = self.totals[k][nodes]
            if self.smoothing is None:
                p[where] = 0
                p[row, tokens[at]] = counts[at] / np.repeat(total, size)
            else:
                # Witten and Bell 1991, method C: a new token is as likely as new ones were.
                p[where] *= (size / (total + size))[:, None]
                p[row, tokens[at]] += counts[at] / np.repeat(total + size, size)
        with np.errstate(divide="ignore"):
            return np.log(p).astype(np.float32)

    def _extend(
        self, k: int, nodes: NDArray[Any], older: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Find the contexts one token longer; also say which of them exist."""
        table = self.levels[k][0]
        pairs = nodes * self.vocab_size + older
        found = np.minimum(np.searchsorted(table, pairs), len(table) - 1)
        if not len(table):
            return found, np.zeros(len(pairs), dtype=bool)
        return found, (table[found] == pairs) & (older >= 0)


STEPPERS: dict[str, type[Stepper]] = {
    "ngram": NGramStepper,
    "rnn": RNNStepper,
    "gru": GRUStepper,
    "lstm": LSTMStepper,
}
"""The stepper of each family, by the family's name."""


def _take(
    tensors: Tensors, name: str, shape: tuple[int, ...] | None, dtype: type = np.float32
) -> NDArray[Any]:
    """Give a tensor by name, of a known shape; None stands for a table of any length."""
    array = tensors.get(name)
    if array is None or array.shape != (shape or (array.size,)):
        raise CorruptModelError(
            f"The model's tensor {name!r} must have the shape that its config implies. "
            f"Expected: {shape or 'one-dimensional'}. "
            f"Received: {None if array is None else array.shape}"
        )
    if array.dtype != dtype:
        raise CorruptModelError(
            f"The model's tensor {name!r} must have the dtype {dtype.__name__}. "
            f"Received: {array.dtype}"
        )
    return array


def _choice(value: Any, options: tuple[Any, ...]) -> Any:
    if value not in options:
        raise CorruptModelError(
            f"The model's config must have one of {options}. Received: {value!r}"
        )
    return value


def _times(h: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.float32]:
    """Multiply each row of h (N, H) by weight (H, G), each row by itself."""
    return np.asarray(np.matmul(h[:, None, :], weight)[:, 0])


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 0.5 * np.tanh(0.5 * x) + 0.5
