"""Layers that several families use."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from textrnn.checks import check_int, check_number


class Dropout(nn.Module):
    """Zeroes elements at random in training, with a random generator of its own.

    The other elements are divided by 1 - p, so that the expectation stays the same (Srivastava et
    al. 2014). A mask smaller than the tensor is broadcast: one of shape (B, H) for a (T, B, H)
    tensor drops the same features at every step of a window (variational dropout, Gal and
    Ghahramani 2016), which suits recurrent networks better than a new mask for every step.

    Args:
        name: the argument of the model that p comes from, for the error.
        p: the probability that an element is zeroed, in [0, 1).

    Attributes:
        generator: the source of randomness; None for torch's global generator.

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
        """Return x with elements dropped in training, otherwise x itself.

        Args:
            x: floating-point numbers of any shape.
            mask: the shape of the mask, which broadcasts to that of x; None for the shape of x.
        """
        if not self.training or self.p == 0:
            return x
        keep = x.new_empty(x.shape if mask is None else tuple(mask))
        return x * keep.bernoulli_(1 - self.p, generator=self.generator).div_(1 - self.p)

    def extra_repr(self) -> str:
        """Return the text that ``print`` shows between the brackets."""
        return f"p={self.p}"


def embedding_width(embedding_dim: int | None, vocab_size: int) -> int:
    """Return the width of the embedding: as given, or the vocabulary's size up to a limit.

    Vectors as wide as the vocabulary can tell all tokens apart; characters need at most 64
    dimensions, words need some more.

    >>> embedding_width(None, 30), embedding_width(None, 300), embedding_width(None, 20_000)
    (30, 64, 128)
    """
    check_int("vocab_size", vocab_size, 1)
    if embedding_dim is None:
        return min(vocab_size, 64 if vocab_size <= 1000 else 128)
    return check_int("embedding_dim", embedding_dim, 1)


def new_embedding(vocab_size: int, embedding_dim: int) -> nn.Embedding:
    """Return an embedding, (V, E).

    On the meta device, where no weights are drawn, this skips the initialisation of
    ``nn.Embedding``, whose first call imports hundreds of modules and takes seconds.
    """
    weight = torch.empty(vocab_size, embedding_dim)
    if weight.is_meta:
        make: Any = nn.Embedding.from_pretrained
        table: nn.Embedding = make(weight, freeze=False)
        return table
    return nn.Embedding(vocab_size, embedding_dim)
