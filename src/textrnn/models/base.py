"""The contract of all models.

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
``models/contract.py`` checks a class against all of this.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_int, plain
from textrnn.models.arrays import with_tensors

State = Any
"""None, a tensor, or tuples of states."""


class LanguageModel(nn.Module, ABC):
    """Base class of all models: scores the next token after every token of a text.

    Your own model needs ``forward`` and ``layer_groups``, and passes the keyword arguments it was
    built with to ``super().__init__``.

    Args:
        **config: those arguments, including ``vocab_size``; JSON must be able to hold them.

    Attributes:
        config: the arguments as a dict of plain Python values; ``type(model)(**model.config)``
            builds the same model with new weights.
        vocab_size: V, the number of tokens in the vocabulary.
        blank: the number that fills the state, (B,) or (..., B, n), at the start of a text; None
            if there is no such number.

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

    blank: float | None = None

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.vocab_size = check_int("vocab_size", config["vocab_size"], 1)
        self.config: dict[str, Any] = plain(config)

    @abstractmethod
    def forward(self, ids: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """Score the token that follows each of ``ids``, as the contract describes."""

    @abstractmethod
    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the model's parts by name, from input to output, each parameter exactly once."""

    @property
    def learns_by_gradient(self) -> bool:
        """Whether the model has parameters; without any, ``count`` is all its training."""
        return next(self.parameters(), None) is not None

    def count(self, ids: NDArray[Any]) -> None:
        """Learn by counting, once, before the training loop; does nothing by default.

        Args:
            ids: (N,) integers in [0, V), the training text.
        """

    def restart(self, state: State, rows: torch.Tensor) -> State:
        """Return a state in which some of the texts start afresh.

        ``fit`` calls this for rows of a batch that begin with a new document, so that the model
        sees the beginning of a document as in generation, without anything before it. By default
        these rows are set to ``blank``; if that is None the state is returned unchanged, and
        beginnings are learned less well.

        Args:
            state: of B texts, as ``forward`` returned it.
            rows: (B,) bool, the texts that start afresh.
        """
        return state if self.blank is None else fill_rows(state, rows, self.blank)

    def held_out(self, tokens: int) -> int:
        """Return how many tokens of a text to keep from training for ``calibrate``; none here.

        Args:
            tokens: N, the length of the text to train on.
        """
        return 0

    def calibrate(self, ids: NDArray[Any], held_out: NDArray[Any]) -> None:
        """Learn what is learned on text that training does not read; nothing by default.

        ``Trainer`` calls it before each validation, where ``held_out(N)`` is not 0.

        Args:
            ids: (N - M,) integers in [0, V), the text in training.
            held_out: (M,) the text that was kept from it.
        """

    def score(self, ids: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State, Any]:
        """Return what ``forward`` does, and how far each score is to be trusted, if that is known.

        Returns:
            logits (B, T, V), the state, and a bin (B, T) int64 for a mixture to choose its
            weights by; None by default.
        """
        return *self(ids, state), None

    def extend(self, vocab_size: int, init_from: NDArray[np.int64]) -> "LanguageModel":
        """Return a model for a larger vocabulary that keeps everything this one has learned.

        Every part that is a ``LanguageModel`` of the same vocabulary extends itself. All other
        tensors get new entries along the axes whose length depends on the vocabulary.

        Args:
            vocab_size: V', the new number of tokens.
            init_from: (V',) int64; for each token the old token whose weights it starts with, or
                -1 for the mean over all old ones.

        Raises:
            ValueError: a tensor cannot have an entry for a new token: it holds integers, which
                have no mean, or an axis grows to something other than V'.

        >>> from textrnn import LSTMModel
        >>> model = LSTMModel(3, embedding_dim=2, hidden_size=4)
        >>> larger = model.extend(4, np.array([0, 1, 2, -1]))  # the last token is new
        >>> torch.equal(larger.embedding.weight[:3], model.embedding.weight)
        True
        """
        config = {**self.config, "vocab_size": vocab_size}
        with torch.device("meta"):
            shapes = type(self)(**config)
        tensors: dict[str, torch.Tensor] = {}
        for prefix, part in _language_models_in(self):
            if part.vocab_size == self.vocab_size:
                extended = part.extend(vocab_size, init_from).state_dict()
                tensors |= {f"{prefix}.{name}": tensor for name, tensor in extended.items()}
        old = self.state_dict()
        for name, tensor in shapes.state_dict().items():
            if name not in tensors:
                tensors[name] = extend_tensor(old[name], tensor.shape, init_from, name)
            elif tensor.numel() and tensor.shape != tensors[name].shape:
                raise ValueError(
                    f"The tensor {name!r} extends to {tuple(tensors[name].shape)}, but the model "
                    f"would be built with {tuple(tensor.shape)}. Pass sizes that change with "
                    "vocab_size, such as embedding_dim, to that part of it as arguments. "
                    f"Received: vocab_size={vocab_size}"
                )
        model = with_tensors(shapes, config, tensors)
        for new_p, old_p in zip(model.parameters(), self.parameters(), strict=True):
            new_p.requires_grad_(old_p.requires_grad)
        return model.train(self.training)


def _language_models_in(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, LanguageModel]]:
    """Yield the outermost language models inside a module, each with its name."""
    for name, child in module.named_children():
        if isinstance(child, LanguageModel):
            yield prefix + name, child
        else:
            yield from _language_models_in(child, f"{prefix}{name}.")


def extend_tensor(
    tensor: torch.Tensor, shape: Sequence[int], init_from: NDArray[np.int64], name: str = ""
) -> torch.Tensor:
    """Return a tensor with new entries for a larger vocabulary.

    Args:
        tensor: the old tensor.
        shape: the new shape; the axes that differ are those of the vocabulary.
        init_from: (V',) int64, as in ``LanguageModel.extend``.
        name: of the tensor, for the error.

    Raises:
        ValueError: a new entry would be a mean of integers, or an axis grows to something other
            than V'.

    >>> extend_tensor(torch.tensor([[1.0], [3.0]]), (3, 1), np.array([0, 1, -1])).tolist()
    [[1.0], [3.0], [2.0]]
    """
    tensor = tensor.detach()
    index = torch.from_numpy(init_from).to(tensor.device)
    known = index >= 0
    if len(shape) != tensor.ndim:
        raise _cannot_extend(name, f"its shape becomes {tuple(shape)}", tensor)
    for axis, size in enumerate(shape):
        if tensor.shape[axis] == size:
            continue
        if size != len(init_from):
            raise _cannot_extend(name, f"its axis {axis} grows to {size}", tensor)
        rows = tensor.index_select(axis, index.clamp(min=0))
        if tensor.is_floating_point():
            means = tensor.mean(axis, keepdim=True)
            along = [-1 if i == axis else 1 for i in range(tensor.ndim)]
            rows = torch.where(known.view(along), rows, means)
        elif not bool(known.all()):
            raise _cannot_extend(name, "integers have no mean to start from", tensor)
        tensor = rows
    return tensor.clone()


def _cannot_extend(name: str, reason: str, tensor: torch.Tensor) -> ValueError:
    return ValueError(
        f"The tensor {name!r} has no entries for new tokens: {reason}. Override "
        "`extend(vocab_size, init_from)` in the model's class, or train a new model on both texts. "
        f"Received: {tensor.dtype}, shape {tuple(tensor.shape)}"
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off; afterwards every part is in its earlier mode.

    >>> model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5).eval())
    >>> with evaluating(model):
    ...     print([part.training for part in model])
    [False, False]
    >>> [part.training for part in model]
    [True, False]
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's parameters; the CPU if it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def resize_tables(
    module: nn.Module, state_dict: Mapping[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Give a module's own tables, its flat buffers, the lengths that they have in a state dict.

    A hook for ``register_load_state_dict_pre_hook``: how long the tables of a counting model are
    depends on what it counted.
    """
    for name, table in list(module.named_buffers(recurse=False)):
        incoming = state_dict.get(prefix + name)
        if incoming is not None and incoming.dim() == table.dim() == 1:
            setattr(module, name, table.new_empty(incoming.shape))


def detach(state: State) -> State:
    """Return a state detached from its graph, so that gradients stop there.

    >>> detach((torch.ones(1, requires_grad=True) * 2, None))
    (tensor([2.]), None)
    """
    if state is None:
        return None
    if isinstance(state, torch.Tensor):
        return state.detach()
    return tuple(
        part.detach() if isinstance(part, torch.Tensor) else detach(part) for part in state
    )


def fill_rows(state: State, rows: torch.Tensor, value: float) -> State:
    """Return a state of tensors (B,) or (..., B, n) with the given rows (B,) set to a value.

    >>> fill_rows((torch.ones(2, 1), None), torch.tensor([True, False]), 0)[0].tolist()
    [[0.0], [1.0]]
    """
    if state is None:
        return None
    if isinstance(state, torch.Tensor):
        return state.masked_fill(rows if state.ndim == 1 else rows[:, None], value)
    return tuple(fill_rows(part, rows, value) for part in state)
