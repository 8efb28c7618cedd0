"""Does a class keep the contract? Asked once, on a small input, before it is trained.

A model that breaks the law of ``models/base.py`` trains and writes all the same, only worse than
it could: a dropped state is a model that forgets at every batch. So a class of your own is tried
on a copy of the model; the model itself, its modes and all random numbers stay as they are.
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
        ValueError: the logits' shape, the law, or the layer groups are not the contract's, or
            ``config`` does not rebuild the model.

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
    """Return ids (B, T); B, T and V differ, so that no axis is taken for another."""
    v = model.vocab_size
    b, t = 2 if v != 2 else 3, 5 if v != 5 else 6
    ids = (torch.arange(b * t) * 7 + torch.arange(b * t) // 3) % v
    return ids.view(b, t).to(device_of(model))


def _logits_of(
    model: LanguageModel, ids: torch.Tensor, state: State = None
) -> tuple[torch.Tensor, State]:
    """Run a model; check what it returns."""
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
            (b * t, model.vocab_size): ": the first two axes stay apart",
        }.get(shape, "")
        raise ValueError(f"logits must be (B, T, V) = {expected}{hint}. Received: {shape}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating-point numbers. Received: {logits.dtype}")
    return logits, state


def _check_law(model: LanguageModel, ids: torch.Tensor, whole: torch.Tensor) -> None:
    """Check that logits follow from ids and state: in any cut, in any company, every time."""
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
        reason = "a state that forward makes no use of" if ignored else "other logits after t"
        raise ValueError(
            "A text read in two parts must give the logits of the text read at once: "
            "model(ids[:, :t]), then model(ids[:, t:], state). Return what the model has to "
            "remember as the state, and begin from the state that forward is given. "
            f"Received: {'None as the state' if state is None else reason}"
        )
    if not _same(_logits_of(model, ids[1:])[0], whole[1:]):
        raise ValueError(
            "Each row of a batch is a text of its own: row b of logits must depend on ids[b] "
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
    """Check that class, config and tensors make the same model, as a saved one is loaded."""
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
            "What a model hands to super().__init__() is saved as JSON: numbers, strings, "
            f"booleans, None, lists and dicts of such ({error}). Received: {model.config!r:.200}"
        ) from None
    how = f"{cls.__name__}(**config) must build the model again: hand every argument of __init__ "
    how += f"to super().__init__() by its name. Received: config={model.config!r:.200}"
    try:
        other = from_arrays(cls, model.config, state_arrays(model)).to(ids.device)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{how} ({error.__cause__ or error})") from None
    with evaluating(other):
        if not _same(_logits_of(other, ids)[0], whole):
            raise ValueError(f"{how}, which gives other logits with the same weights")


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether logits agree, up to rounding in another order of sums."""
    finite = other[other.isfinite()]
    scale = float(finite.abs().max()) if len(finite) else 0.0
    error = max(1e-3, 10 * torch.finfo(other.dtype).eps)
    return torch.allclose(one, other, rtol=error, atol=error * scale, equal_nan=True)
