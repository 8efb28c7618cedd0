"""The one contract that every model obeys.

    model(ids, state=None) -> (logits, state)

    B batch rows · T time steps · V vocabulary · E embedding_dim · H hidden_size
    ids     (B, T) int64      the next T tokens of each of B texts
    state   None | tensors    opaque to callers; None = start of text; pass it back to continue
                              the same B texts
    logits  (B, T, V) float   logits[b, t] scores the token that follows ids[b, t]

    Law: for every cut t, forward(ids) equals forward(ids[:, :t]) followed by
    forward(ids[:, t:], state).

So batching, truncated back-propagation through time, evaluation and sampling are each written
once. Nothing is kept on the module between two calls: there is no state to reset.
"""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.errors import CorruptModelError, check_int, check_number

State = Any
"""None, a tensor, or tuples of states."""


class LanguageModel(nn.Module, ABC):
    """Base of all models: scores the next token after every token of a text.

    A model of your own needs ``forward`` and ``layer_groups``, and hands the keyword arguments
    it was built with to this class.

    Args:
        **config: those arguments, things that JSON can hold, ``vocab_size`` among them.

    Attributes:
        config: a dict of them; ``type(model)(**model.config)`` builds an equal model, with
            other weights.
        vocab_size: V, the number of symbols.

    >>> class Bigram(LanguageModel):
    ...     def __init__(self, vocab_size):
    ...         super().__init__(vocab_size=vocab_size)
    ...         self.table = nn.Embedding(vocab_size, vocab_size)
    ...     def forward(self, ids, state=None):
    ...         return self.table(ids), None
    ...     def layer_groups(self):
    ...         return {"table": list(self.table.parameters())}
    >>> logits, state = Bigram(vocab_size=5)(torch.zeros(2, 3, dtype=torch.int64))
    >>> tuple(logits.shape)
    (2, 3, 5)
    """

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.vocab_size = check_int("vocab_size", config["vocab_size"], 1)
        self.config = config

    @abstractmethod
    def forward(self, ids: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """Score the token that follows each of ``ids``; the shapes are the contract's."""

    @abstractmethod
    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Name the model's parts from input to output, every parameter in exactly one."""

    def grow(self, vocab_size: int, origins: NDArray[np.int64]) -> "LanguageModel":
        """Give a model of this kind for a larger vocabulary, which goes on where this one is.

        Args:
            vocab_size: V', the new number of symbols.
            origins: (V',) for each new symbol the old symbol whose weights it starts with, or
                -1 for the mean over the old symbols.
        """
        with torch.device("meta"):
            model = type(self)(**{**self.config, "vocab_size": vocab_size})
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        old = self.state_dict()
        model.load_state_dict(
            {name: grow_tensor(old[name], shape, origins) for name, shape in shapes.items()},
            assign=True,
        )
        for new_p, old_p in zip(model.parameters(), self.parameters(), strict=True):
            new_p.requires_grad_(old_p.requires_grad)
        return model.train(self.training)


class Dropout(nn.Module):
    """Zeroes numbers at random in training, drawing them from a generator of its own.

    The numbers that are kept are divided by 1 - p, so that the expectation stays the same
    (Srivastava et al. 2014). A mask smaller than the tensor is shared by what it is spread
    over: with one for (B, H) of a (T, B, H) tensor the same features are missing at every step
    of a window (Gal and Ghahramani 2016), which suits recurrent networks better than new ones.

    Args:
        name: the argument of the model that p comes from, for the error.
        p: the probability that a number is zeroed, in [0, 1).

    Attributes:
        generator: where the random numbers come from; None is torch's global generator.

    >>> x = torch.ones(4, 2, 3)  # (T, B, H)
    >>> y = Dropout("dropout", 0.5)(x, mask=(2, 3))
    >>> bool((y == y[0]).all())
    True
    """

    def __init__(self, name: str, p: float) -> None:
        super().__init__()
        self.p = check_number(name, p, "in [0, 1)", lambda p: 0 <= p < 1)
        self.generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor, mask: Sequence[int] | None = None) -> torch.Tensor:
        """Drop numbers of x in training, give x as it is otherwise; ``mask`` is a shape."""
        if not self.training or self.p == 0:
            return x
        keep = x.new_empty(x.shape if mask is None else tuple(mask))
        return x * keep.bernoulli_(1 - self.p, generator=self.generator).div_(1 - self.p)


def grow_tensor(
    tensor: torch.Tensor, shape: Sequence[int], origins: NDArray[np.int64]
) -> torch.Tensor:
    """Bring a tensor to the shape that it has for a larger vocabulary.

    The axes that differ are those of the symbols; ``origins`` is that of ``LanguageModel.grow``.

    >>> grow_tensor(torch.tensor([[1.0], [3.0]]), (3, 1), np.array([0, 1, -1])).tolist()
    [[1.0], [3.0], [2.0]]
    """
    tensor = tensor.detach()
    index = torch.from_numpy(origins).to(tensor.device)
    for axis, (old, new) in enumerate(zip(tensor.shape, shape, strict=True)):
        if old != new:
            means = tensor.mean(axis, keepdim=True)
            rows = tensor.index_select(axis, index.clamp(min=0))
            known = (index >= 0).view([-1 if i == axis else 1 for i in range(tensor.ndim)])
            tensor = torch.where(known, rows, means)
    return tensor.clone()


def embedding_width(embedding_dim: int | None, vocab_size: int) -> int:
    """Give the width of a symbol's vector: as asked, or the vocabulary's size up to a limit.

    A vector as wide as the vocabulary can say all that a symbol can; characters need no more
    than 64 numbers, words some more.

    >>> embedding_width(None, 30), embedding_width(None, 300), embedding_width(None, 20_000)
    (30, 64, 128)
    """
    check_int("vocab_size", vocab_size, 1)
    if embedding_dim is None:
        return min(vocab_size, 64 if vocab_size <= 1000 else 128)
    return check_int("embedding_dim", embedding_dim, 1)


def new_embedding(vocab_size: int, embedding_dim: int) -> nn.Embedding:
    """Give a table of symbols' vectors.

    On the meta device, where nothing is drawn anyway, it is made without the start that
    ``nn.Embedding`` gives it: that imports 800 modules, which takes seconds.
    """
    weight = torch.empty(vocab_size, embedding_dim)
    if weight.is_meta:
        make: Any = nn.Embedding.from_pretrained
        table: nn.Embedding = make(weight, freeze=False)
        return table
    return nn.Embedding(vocab_size, embedding_dim)


def detach(state: State) -> State:
    """Cut a state off from the graph that made it, so that gradients stop there.

    >>> detach((torch.ones(1, requires_grad=True) * 2, None))
    (tensor([2.]), None)
    """
    if state is None:
        return None
    if isinstance(state, torch.Tensor):
        return state.detach()
    return tuple(detach(part) for part in state)


def to_arrays(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Give a module's parameters and buffers as arrays on the CPU, by name."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def describe(model: LanguageModel) -> str:
    """Give a table of a model's layer groups: tensors, shapes, numbers of parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    lines = [type(model).__name__]
    for group, parameters in model.layer_groups().items():
        for p in parameters:
            lines.append(f"{group:<12}{names[id(p)]:<28}{tuple(p.shape)!s:<16}{p.numel():>12,}")
    total = sum(p.numel() for p in model.parameters())
    return "\n".join([*lines, f"{'total':<56}{total:>12,}"])


def rebuild(
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
    restore(model, tensors)
    return model


def restore(model: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> None:
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
