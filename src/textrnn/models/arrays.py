"""A model as arrays, and back: what a model file holds."""

import reprlib
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.errors import CorruptModelError
from textrnn.models.base import LanguageModel


def state_arrays(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a module's parameters and buffers as arrays on the CPU, by name."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def from_arrays(
    cls: type[LanguageModel], config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> LanguageModel:
    """Build a model from its class, its config and its tensors, as ``load`` does.

    Raises:
        CorruptModelError: the class does not take the config, or a tensor's name, shape or
            dtype differs from what the config implies. Nothing is allocated before that.
    """
    try:
        with torch.device("meta"):
            model = cls(**config)
    except Exception as error:  # a class of a user's own may raise any
        reason = (str(error) or type(error).__name__).splitlines()[0]
        # reprlib, because a value may be too deep or too long to be written out
        values = ", ".join(f"{name!r}: {reprlib.repr(value)}" for name, value in config.items())
        raise CorruptModelError(
            f"{cls.__name__} cannot be built with the file's config ({reason:.200}). "
            f"Received: {{{values:.200}}}"
        ) from error
    load_arrays(model, tensors)
    return model


def load_arrays(model: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Put arrays in the place of a module's parameters and buffers.

    Everything is compared before anything is changed. The module may be on the meta device.
    A buffer that is empty in the module is a table of any length.

    Raises:
        CorruptModelError: a name, a shape or a dtype differs from what the module has.
    """
    expected = model.state_dict()
    if odd := sorted(expected.keys() ^ tensors.keys()):
        side = "is missing in" if odd[0] in expected else "does not belong in"
        raise CorruptModelError(
            f"The tensor {odd[0]!r} {side} the file of a {type(model).__name__}. "
            f"Received: {len(tensors)} tensors, expected {len(expected)}"
        )
    incoming = {name: torch.from_numpy(array) for name, array in tensors.items()}
    for name, tensor in expected.items():
        shape, dtype = tuple(incoming[name].shape), incoming[name].dtype
        same_shape = shape == tuple(tensor.shape) or (tensor.numel() == 0 and len(shape) == 1)
        if not same_shape or dtype != tensor.dtype:
            raise CorruptModelError(
                f"The tensor {name!r} of a {type(model).__name__} must have shape "
                f"{tuple(tensor.shape)} and dtype {tensor.dtype}. Received: {shape}, {dtype}"
            )
        if dtype.is_floating_point and not bool(incoming[name].isfinite().all()):
            raise CorruptModelError(
                f"The tensor {name!r} holds numbers that are infinite or NaN; the model cannot "
                f"be used. Received: shape {shape}"
            )
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.numel() == 0:
                prefix = next(p for p, m in model.named_modules() if m is module)
                setattr(module, name, torch.empty_like(incoming[f"{prefix}.{name}"]))
    model.load_state_dict(incoming, assign=True)
