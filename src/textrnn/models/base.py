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

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_int, plain

State = Any
"""None, a tensor, or tuples of states."""


class LanguageModel(nn.Module, ABC):
    """Base of all models: scores the next token after every token of a text.

    A model of your own needs ``forward`` and ``layer_groups``, and hands the keyword arguments
    it was built with to this class.

    Args:
        **config: those arguments, things that JSON can hold, ``vocab_size`` among them.

    Attributes:
        config: a dict of them, as plain Python values; ``type(model)(**model.config)`` builds an
            equal model, with other weights.
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
        self.config: dict[str, Any] = plain(config)

    @abstractmethod
    def forward(self, ids: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """Score the token that follows each of ``ids``; the shapes are the contract's."""

    @abstractmethod
    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Name the model's parts from input to output, every parameter in exactly one."""

    def grow(self, vocab_size: int, origins: NDArray[np.int64]) -> "LanguageModel":
        """Return a model of this kind for a larger vocabulary, which goes on where this one is.

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


def describe(model: LanguageModel) -> str:
    """Return a table of a model's layer groups: tensors, shapes, numbers of parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    lines = [type(model).__name__]
    for group, parameters in model.layer_groups().items():
        for p in parameters:
            lines.append(f"{group:<12}{names[id(p)]:<28}{tuple(p.shape)!s:<16}{p.numel():>12,}")
    total = sum(p.numel() for p in model.parameters())
    return "\n".join([*lines, f"{'total':<56}{total:>12,}"])
