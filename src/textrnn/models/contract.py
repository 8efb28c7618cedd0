"""Checks of the contract, made once, on a small input, before a custom model is trained.

A model that breaks the law of ``models/base.py`` would still train and generate, only worse than
it could: one that drops its state forgets everything at each batch. The checks run on a copy; the
model itself, its modes and all random numbers stay as they are.
"""

import copy
import json
from collections import Counter
from typing import Any

import torch

from textrnn.models.arrays import from_arrays, state_arrays
from textrnn.models.base import LanguageModel, State, detach, device_of, evaluating
from textrnn.models.registry import MODELS, family_of

_CUT = 2  # tokens before the cut


def check_contract(model: LanguageModel) -> None:
    """Raise an error that names the first part of the contract that a model breaks.

    Raises:
        TypeError: ``forward`` does not return a pair, or ``config`` is not JSON.
        ValueError: the logits have another shape, the law does not hold, the layer groups are not
            as they should be, or ``config`` does not rebuild the model.

    >>> from textrnn import GRUModel
    >>> check_contract(GRUModel(65, hidden_size=8))
    """
    twin = copy.deepcopy(model)
    ids = _some_ids(twin)
    _check_layer_groups(twin)
    with torch.random.fork_rng(devices=[]):
        with evaluating(twin):
            whole = _logits_of(twin, ids)[0]
            _check_law(twin, ids, whole)
        _check_config(twin, ids, whole)


def _some_ids(model: LanguageModel) -> torch.Tensor:
    """Return ids (B, T); B, T and V differ, so that no axis is mistaken for another."""
    v = model.vocab_size
    b, t = 2 if v != 2 else 3, 5 if v != 5 else 6
    ids = (torch.arange(b * t) * 7 + torch.arange(b * t) // 3) % v
    return ids.view(b, t).to(device_of(model))


def _logits_of(
    model: LanguageModel, ids: torch.Tensor, state: State = None
) -> tuple[torch.Tensor, State]:
    """Return the logits and the state of a model, after checking both."""
    result: Any = model(ids, state)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            "forward(ids, state) must return a pair (logits, state). "
            f"Received: {type(result).__name__}"
        )
    logits, state = result
    b, t = ids.shape
    expected = b, t, model.vocab_size
    shape = tuple(getattr(logits, "shape", ()))
    if shape != expected:
        hint = {
            (t, b, model.vocab_size): ": the time axis comes second",
            (b, model.vocab_size, t): ": the vocabulary comes last",
            (b, model.vocab_size): ": there is a row for every token, not for the last one only",
            (b * t, model.vocab_size): ": keep the first two axes apart",
        }.get(shape, "")
        raise ValueError(f"logits must be (B, T, V) = {expected}{hint}. Received: {shape}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating-point numbers. Received: {logits.dtype}")
    return logits, state


def _check_law(model: LanguageModel, ids: torch.Tensor, whole: torch.Tensor) -> None:
    """Check that logits depend on ids and state only: for any cut, in any batch, every time."""
    if not _same(_logits_of(model, ids)[0], whole):
        raise ValueError(
            "The same ids must give the same logits every time (in evaluation mode). Keep no "
            "state on the module: take it as an argument and return it. Received: other logits "
            "at the second call"
        )
    first, state = _logits_of(model, ids[:, :_CUT])
    if not _same(first, whole[:, :_CUT]):
        raise ValueError(
            "logits[:, t] must depend on ids[:, :t + 1] only. Received: logits that change with "
            "the tokens that follow"
        )
    _check_state(state)
    second = _logits_of(model, ids[:, _CUT:], detach(state))[0]
    if not _same(second, whole[:, _CUT:]):
        ignored = _same(second, _logits_of(model, ids[:, _CUT:])[0])
        reason = "a state that forward does not use" if ignored else "other logits after t"
        raise ValueError(
            "A text read in two parts, model(ids[:, :t]), then model(ids[:, t:], state), must have "
            "the same logits as the text read at once. Return everything that the model has to "
            "remember as the state, and start forward from the state that it receives. "
            f"Received: {'None as the state' if state is None else reason}"
        )
    if not _same(_logits_of(model, ids[1:])[0], whole[1:]):
        raise ValueError(
            "Each row of a batch is a separate text: row b of logits must depend on ids[b] "
            "only. Received: other logits without the first row"
        )


def _check_state(state: State) -> None:
    if type(state) in (tuple, list):
        for part in state:
            _check_state(part)
    elif state is not None and not isinstance(state, torch.Tensor):
        raise TypeError(
            "The state that forward returns must be None, a tensor, or a tuple of such. "
            f"Received: {type(state).__name__}"
        )


def _check_layer_groups(model: LanguageModel) -> None:
    """Check that the layer groups hold every parameter exactly once."""
    groups = model.layer_groups()
    times = Counter(id(p) for parameters in groups.values() for p in parameters)
    for name, parameter in model.named_parameters():
        count = times.pop(id(parameter), 0)
        if count != 1:
            raise ValueError(
                "layer_groups() must hold every parameter in exactly one group. "
                f"Received: {name!r} in {count or 'none'} of {', '.join(groups) or 'no groups'}"
            )
    if times:
        raise ValueError(
            "layer_groups() must hold the model's own parameters only: those of its submodules "
            f"and its nn.Parameter attributes. Received: {len(times)} others"
        )


def _check_config(model: LanguageModel, ids: torch.Tensor, whole: torch.Tensor) -> None:
    """Check that class, config and tensors rebuild the model, as loading a saved one does."""
    cls = type(model)
    if cls.__name__ in MODELS and family_of(model) is None:
        raise ValueError(
            "The class's name stands in a saved file and must not be that of a built-in family; "
            f"rename it. Received: class {cls.__name__}"
        )
    try:
        json.dumps(model.config)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "The arguments of super().__init__() are saved as JSON, so they must be numbers, "
            "strings, booleans, None, or lists and dicts of these "
            f"({error}). Received: {model.config!r:.200}"
        ) from None
    how = f"{cls.__name__}(**config) must build the model again: pass every argument of __init__ "
    how += f"to super().__init__() by its name. Received: config={model.config!r:.200}"
    try:
        other = from_arrays(cls, model.config, state_arrays(model)).to(ids.device)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{how} ({error.__cause__ or error})") from None
    with evaluating(other):
        if not _same(_logits_of(other, ids)[0], whole):
            raise ValueError(f"{how}, which has other logits with the same weights")


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether logits agree up to rounding, as sums may run in another order."""
    finite = other[other.isfinite()]
    scale = float(finite.abs().max()) if len(finite) else 0.0
    error = max(1e-3, 10 * torch.finfo(other.dtype).eps)
    return torch.allclose(one, other, rtol=error, atol=error * scale, equal_nan=True)
