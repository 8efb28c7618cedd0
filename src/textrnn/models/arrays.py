"""A model as arrays, and back: what a model file holds."""

import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.errors import CorruptModelError

M = TypeVar("M", bound=nn.Module)


def state_arrays(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a module's parameters and buffers as arrays on the CPU, by name."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def from_arrays(cls: type[M], config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> M:
    """Build a model from its class, its config and its tensors, as ``load`` does.

    Raises:
        CorruptModelError: the class does not take the config, or a tensor's name, shape or
            dtype differs from what the config implies. Nothing is allocated before that.
    """
    try:
        with torch.device("meta"):
            shapes = cls(**config)
    except Exception as error:  # a custom class may raise any error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        # reprlib, because a value may be too deep or too long to be written out
        values = ", ".join(f"{name!r}: {reprlib.repr(value)}" for name, value in config.items())
        raise CorruptModelError(
            f"{cls.__name__} cannot be built with the file's config ({reason:.200}). "
            f"Received: {{{values:.200}}}"
        ) from error
    incoming = _checked(shapes, tensors)
    return with_tensors(shapes, config, incoming)


def load_arrays(model: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Replace a module's parameters and buffers by arrays.

    All arrays are checked before anything is changed. A buffer that is empty in the module stands
    for a table of any length.

    Raises:
        CorruptModelError: a name, a shape or a dtype differs from what the module has.
    """
    _assign(model, _checked(model, tensors))


def with_tensors(shapes: M, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> M:
    """Return a model that has these tensors.

    Args:
        shapes: a model on the meta device. It becomes the result if the state dict holds all of
            its tensors. If not, as with a mask that is not a buffer, a new model is built, without
            drawing from torch's global generator.
        config: the arguments that ``shapes`` was built with.
        tensors: its whole state dict.
    """
    model = shapes
    named = {n for n, _ in model.named_parameters(remove_duplicate=False)}
    named |= {n for n, _ in model.named_buffers(remove_duplicate=False)}
    attributes = (value for module in model.modules() for value in vars(module).values())
    if named != tensors.keys() or any(isinstance(value, torch.Tensor) for value in attributes):
        with torch.random.fork_rng(devices=[]):
            model = type(shapes)(**config)
    _assign(model, tensors)
    return model


def _checked(model: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Return arrays as tensors for a module's state dict, or raise ``CorruptModelError``."""
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
    return incoming


def _assign(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Replace a module's tensors by others; shared tensors stay shared.

    ``load_state_dict(assign=True)`` would unshare them, and takes quadratic time in the number of
    modules.
    """
    placed: dict[int, torch.Tensor] = {}
    for prefix, module in model.named_modules():
        own = [
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        ]
        for name, old in own:
            new = tensors.get(f"{prefix}.{name}" if prefix else name)
            if new is None:  # a buffer that the state dict leaves out
                continue
            if isinstance(old, nn.Parameter):
                new = nn.Parameter(new, requires_grad=old.requires_grad)
            setattr(module, name, placed.setdefault(id(old), new))
    model.load_state_dict({}, strict=False)  # runs the hooks that follow loading
