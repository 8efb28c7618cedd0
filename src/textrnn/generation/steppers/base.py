"""One token in, one row of logits out. NumPy only, so a saved model can generate without torch.

Each family has a stepper that does the arithmetic of its torch module for one time step:

    N parallel texts · V vocabulary · H hidden_size · G gates of a cell
    ids     (N,) int             the next token of each of N texts
    state   None | tuple of (N, ...) arrays, never changed in place; None = start of text
    logits  (N, V) float32

A stepper holds a copy of a model's weights and never changes, so any number of threads may share
it. A session steps some texts, in its own memory.

Each text has its own matrix-vector products, so it comes out the same, to the last bit, alone or
in a batch. With ``batched`` all texts share one matrix product, which is faster but rounds
differently.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int
from textrnn.errors import CorruptModelError

Tensors = Mapping[str, NDArray[Any]]
Layout = Iterator[tuple[str, tuple[int, ...] | None, type]]
"""Name, shape and dtype of tensors; the shape None stands for a table of any length."""
State = tuple[NDArray[Any], ...] | None


class Stepper(ABC):
    """Steps one family of models.

    Args:
        config: the keyword arguments that the model was built with.
        tensors: the model's ``state_dict`` as arrays.

    Raises:
        CorruptModelError: a tensor is missing, or has another shape than the config says.
    """

    max_batch_size = 64  # how many texts to step side by side
    backend = "NumPy"  # what computes a step
    uses_blas = True  # whether that includes products in NumPy's BLAS

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        check_layout(self.layout(config), {n: (a.shape, a.dtype) for n, a in tensors.items()})
        with np.errstate(over="ignore", invalid="ignore"):  # from finite, but absurd weights
            self._prepare(config, tensors)

    @classmethod
    @abstractmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Yield the tensors that a model with this config has.

        Raises:
            KeyError, TypeError, ValueError: no model can have this config.
        """

    @abstractmethod
    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        """Compute what steps need from tensors that match the config."""

    @abstractmethod
    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; return the logits of the next token, and the state."""

    def start(self, texts: int, state: State = None, *, batched: bool = False) -> "Session":
        """Return a session that steps so many texts from a state."""
        return StepSession(self, state, batched)

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` unless a state has the shapes of this model's states."""
        _, fresh = self.step(np.zeros(1, dtype=np.int64))
        expected, found = _shapes(fresh), _shapes(state)
        if found != expected:
            raise ValueError(
                "`state` comes from another model; call state() of this one. "
                f"Expected: shapes {expected}. Received: {found}"
            )


class Session(Protocol):
    """Steps N texts. Unlike a stepper it changes, so it belongs to one caller."""

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return the logits after it, valid until the next step."""

    def state(self, rows: list[int]) -> Any:
        """Return the state of some of the texts, a copy that no step changes."""


class StepSession:
    """The session of a stepper that needs no memory between steps."""

    def __init__(self, stepper: Stepper, state: State, batched: bool) -> None:
        self._stepper, self._state, self._batched = stepper, state, batched

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return the logits after it."""
        logits, self._state = self._stepper.step(ids, self._state, batched=self._batched)
        return logits

    def state(self, rows: list[int]) -> State:
        """Return the state of some of the texts."""
        return tuple(part[rows] for part in self._state or ())


def check_layout(
    expected: Layout, found: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
) -> None:
    """Compare the tensors that a config implies with those in the file.

    This stops at the first one that is missing, so a config that claims a million layers costs
    no more than the file that it is in.

    Raises:
        CorruptModelError: a name, a shape or a dtype differs.
    """
    names = set()
    for name, shape, dtype in expected:
        names.add(name)
        has, kind = found.get(name, (None, None))
        if has is None or has != (shape or (math.prod(has),)):
            raise CorruptModelError(
                f"The model's tensor {name!r} must have the shape that its config implies. "
                f"Expected: {shape or 'one-dimensional'}. Received: {has}"
            )
        if kind != dtype:
            raise CorruptModelError(
                f"The model's tensor {name!r} must have the dtype {dtype.__name__}. "
                f"Received: {kind}"
            )
    if odd := sorted(found.keys() - names):
        raise CorruptModelError(
            f"The tensor {odd[0]!r:.200} does not belong in the file: the model's config implies "
            f"no such tensor. Received: {len(found)} tensors, expected {len(names)}"
        )


def config_int(config: Mapping[str, Any], name: str, maximum: int | None = None) -> int:
    """Return a value of the config, which must be a whole number of at least 1."""
    return check_int(name, config[name], 1, maximum)


def config_choice(value: Any, options: tuple[Any, ...]) -> Any:
    """Return a value of the config, which must be one of the options."""
    if value not in options:
        raise CorruptModelError(
            f"The model's config must have one of {options}. Received: {value!r}"
        )
    return value


def _shapes(state: Any) -> Any:
    if isinstance(state, tuple) and all(isinstance(part, np.ndarray) for part in state):
        return [part.shape for part in state]
    return type(state).__name__


def matmul_rows(h: NDArray[Any], weight: NDArray[Any], batched: bool = False) -> NDArray[Any]:
    """Return the rows of h (N, H) times weight (H, G), one by one or, batched, all at once."""
    alone = not batched and len(h) > 1
    product: NDArray[Any] = np.matmul(h[:, None], weight)[:, 0] if alone else h @ weight
    return product
