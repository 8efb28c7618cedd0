"""A tree of numbers and tensors, split into JSON and arrays for a file, and rebuilt from them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError

# Dtypes that NumPy or our files do not know are written as integers of the same size.
_AS_INT = {"bfloat16": "int16", "float16": "int16", "bool": "uint8"}


def flatten_state(tree: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Split a tree into what JSON can hold and its tensors, by number.

    Args:
        tree: None, bools, numbers, strings and tensors, in dicts (by strings), lists and tuples.

    Raises:
        TypeError: the tree holds something else.

    >>> import torch
    >>> plain, arrays = flatten_state({"h": (torch.ones(2), None), "best": math.inf})
    >>> plain
    {'h': {'$tuple': [{'$tensor': '0', '$dtype': 'float32'}, None]}, 'best': {'$float': 'inf'}}
    >>> unflatten_state(plain, arrays)
    {'h': (tensor([1., 1.]), None), 'best': inf}
    """
    arrays: dict[str, NDArray[Any]] = {}
    return _flatten(tree, arrays), arrays


def _flatten(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    import torch  # only a backup of a training needs it, not a model

    if isinstance(tree, torch.Tensor):
        name, dtype = str(len(arrays)), str(tree.dtype).removeprefix("torch.")
        tensor = tree.detach().cpu().contiguous()
        arrays[name] = tensor.view(getattr(torch, _AS_INT.get(dtype, dtype))).numpy()
        return {"$tensor": name, "$dtype": dtype}
    if isinstance(tree, Mapping):
        if odd := [key for key in tree if not isinstance(key, str)]:
            raise TypeError(f"The keys of a state must be strings. Received: {odd[0]!r}")
        return {key: _flatten(value, arrays) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return {"$tuple": [_flatten(value, arrays) for value in tree]}
    if isinstance(tree, list):
        return [_flatten(value, arrays) for value in tree]
    if isinstance(tree, float | np.floating):
        number = float(tree)
        return number if math.isfinite(number) else {"$float": str(number)}
    if tree is None or isinstance(tree, bool | int | str):
        return tree
    raise TypeError(
        "A state must consist of numbers, strings and tensors, in dicts, lists and tuples. "
        f"Received: {type(tree).__name__} {tree!r:.60}"
    )


def unflatten_state(plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the tree that ``flatten_state`` split, with its tensors on the CPU.

    Raises:
        CorruptModelError: a tensor is missing.
    """
    import torch

    if isinstance(plain, list):
        return [unflatten_state(value, arrays) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if "$tensor" in plain:
        if plain["$tensor"] not in arrays:
            raise CorruptModelError(f"A tensor is missing. Received: no {plain['$tensor']!r:.40}")
        tensor = torch.from_numpy(arrays[plain["$tensor"]])
        dtype = plain["$dtype"]
        return tensor.view(getattr(torch, dtype)) if dtype in _AS_INT else tensor
    if "$tuple" in plain:
        return tuple(unflatten_state(value, arrays) for value in plain["$tuple"])
    if "$float" in plain:
        return float(plain["$float"])
    return {key: unflatten_state(value, arrays) for key, value in plain.items()}
