"""One token in, one row of logits out. NumPy only, so a saved model speaks without torch.

Each family has a stepper that does the arithmetic of its torch module for one time step:

    N parallel texts · V vocabulary · H hidden_size · G gates of a cell
    ids     (N,) int             the next token of each of N texts
    state   None | tuple of (N, ...) arrays, never changed in place; None = start of text
    logits  (N, V) float32

A text is stepped by its own matrix-vector products, so the same text comes out alone and beside
others, to the last bit. Stepped ``together``, all texts share a product of two matrices, which is
faster and rounds otherwise.
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
    def step(
        self, ids: NDArray[Any], state: State = None, *, together: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; give the logits of the token after it, and the state."""


def take(
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


def choice(value: Any, options: tuple[Any, ...]) -> Any:
    """Give a value of the config, which must be one of the options."""
    if value not in options:
        raise CorruptModelError(
            f"The model's config must have one of {options}. Received: {value!r}"
        )
    return value


def times(h: NDArray[Any], weight: NDArray[Any], together: bool = False) -> NDArray[Any]:
    """Multiply the rows of h (N, H) by weight (H, G), each by itself or all together."""
    alone = not together and len(h) > 1
    product: NDArray[Any] = np.matmul(h[:, None], weight)[:, 0] if alone else h @ weight
    return product
