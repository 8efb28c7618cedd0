"""Argument checks: each returns the plain value or raises an error that says what is wrong."""

import difflib
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textrnn.errors import DataError

P = ParamSpec("P")


R = TypeVar("R")


ELSEWHERE = {
    **dict.fromkeys(("prefix", "start", "seed_text", "inputs"), "prompt"),
    **dict.fromkeys(("length", "max_length", "max_tokens", "num_tokens"), "max_new_tokens"),
    **dict.fromkeys(("n", "num_samples", "nsamples", "return_as_list"), "num_return_sequences"),
    **dict.fromkeys(("stop", "stop_sequences"), "stop_strings"),
    **dict.fromkeys(("num_epochs", "n_epochs", "max_epochs", "n_epoch"), "epochs"),
    **dict.fromkeys(("lr", "lr_max", "max_lr"), "learning_rate"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("bptt", "maxlen", "block_size"), "seq_len"),
    **dict.fromkeys(("random_state", "random_seed"), "seed"),
    "bs": "batch_size",
    "temp": "temperature",
}
"""The names of arguments in other libraries, and ours."""


def did_you_mean(name: object, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` with the option that was likely meant, or an empty string.

    That is the option which another library calls ``name``, else the one spelled most like it.

    >>> did_you_mean("temperture", ["temperature", "top_k"])
    " Did you mean 'temperature'?"
    >>> did_you_mean("max_length", ["prompt", "max_new_tokens"])
    " Did you mean 'max_new_tokens'?"
    """
    options = list(options)
    near = [ELSEWHERE.get(str(name), "")]
    if near[0] not in options:
        near = difflib.get_close_matches(str(name), options, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_choice(name: str, value: object, options: Iterable[object]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``options``."""
    options = list(options)
    if value not in options:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, options))}."
            f"{did_you_mean(value, map(str, options))} Received: {value!r}"
        )


def check_int(name: str, value: object, minimum: int, maximum: int | None = None) -> int:
    """Return ``value`` as an ``int`` in [minimum, maximum], or raise TypeError or ValueError.

    Booleans and floats are refused; NumPy integers are accepted.
    """
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"`{name}` must be a whole number (int). Received: {value!r}")
    number: int = value.__index__()  # type: ignore[attr-defined]
    if number < minimum or (maximum is not None and number > maximum):
        bound = f"at least {minimum}" + (f" and at most {maximum}" if maximum is not None else "")
        raise ValueError(f"`{name}` must be {bound}. Received: {value!r}")
    return number


def check_number(name: str, value: object, allowed: str, test: Callable[[float], bool]) -> float:
    """Return ``value`` as a finite ``float`` that passes ``test``, or raise.

    Args:
        name: the argument, for the message.
        value: what was received; booleans and strings raise ``TypeError``.
        allowed: the range in words, such as ``"in (0, 1]"``.
        test: true for the numbers in that range; NaN and infinities never pass.
    """
    if isinstance(value, bool | np.bool_ | str | bytes) or not hasattr(type(value), "__float__"):
        raise TypeError(f"`{name}` must be a number {allowed}. Received: {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:  # a huge int
        number = math.inf
    if not math.isfinite(number) or not test(number):
        raise ValueError(f"`{name}` must be a number {allowed}. Received: {value!r}")
    return number


def check_ids(ids: ArrayLike) -> NDArray[Any]:
    """Return ids as an array (N,) of integers, or raise ``DataError``.

    Args:
        ids: an array, which is not copied (a memory map is not read), or a list.

    >>> check_ids([3, 0, 1]).tolist()
    [3, 0, 1]
    """
    array = np.asarray(ids)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
        raise DataError(
            "The ids must be integers of shape (N,), as Vocab.encode(text) returns them. "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return array


def check_vocab_ids(ids: NDArray[Any], vocab_size: int) -> NDArray[np.int64]:
    """Return ids as int64, or raise ``DataError`` unless all of them are in [0, V).

    >>> check_vocab_ids(np.array([3, 0, 1], dtype=np.uint8), 4).dtype
    dtype('int64')
    """
    if ids.size and not 0 <= (low := ids.min()) <= (high := ids.max()) < vocab_size:
        raise DataError(
            f"The ids must be tokens of the model's vocabulary, in [0, {vocab_size}): encode the "
            f"text with the model's own vocabulary. Received: {low if low < 0 else high}"
        )
    return np.ascontiguousarray(ids, dtype=np.int64)


_PLAIN = {int, float, str, bool, type(None)}


def plain(value: Any) -> Any:
    """Return a value in a form that JSON can hold, whichever library its numbers came from.

    Args:
        value: a Python, NumPy or torch number, an array, a ``Fraction`` or ``Decimal``, or lists,
            tuples and dicts of these. Anything else is returned unchanged.

    >>> plain({"hidden_size": np.int64(64), "dropout": np.float32(0.5)})
    {'hidden_size': 64, 'dropout': 0.5}
    """
    if hasattr(value, "tolist"):  # NumPy's and torch's
        return value.tolist()
    if isinstance(value, dict):
        return {n: item if type(item) in _PLAIN else plain(item) for n, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, bool | int | float | str):
        return value
    if hasattr(type(value), "__index__"):
        return int(value)
    return float(value) if hasattr(type(value), "__float__") else value


def check_keywords(owner: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ``TypeError`` for the first name that is not allowed, and suggest the nearest one."""
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise TypeError(
                f"{owner} has no argument {name!r}.{did_you_mean(name, allowed)} "
                f"It takes: {', '.join(allowed)}."
            )


def named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap ``function`` so that a misspelled keyword is an error that suggests the right one."""
    allowed = [
        name for name in inspect.signature(function).parameters if name not in ("self", "cls")
    ]

    known, name = set(allowed), function.__name__
    owner = function.__qualname__.split(".")[-2] if name == "__init__" else name

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not kwargs.keys() <= known:
            check_keywords(f"{owner}()", kwargs, allowed)
        return function(*args, **kwargs)

    return checked


def warn(message: str) -> None:
    """Warn, and point at the line of the user's code that called textrnn."""
    depth, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "textrnn":
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, stacklevel=depth)
