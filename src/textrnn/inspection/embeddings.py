"""The vectors of a model's tokens, and their principal components."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_int
from textrnn.errors import UnknownTokenError
from textrnn.history import new_axes
from textrnn.models.base import LanguageModel
from textrnn.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def embeddings(model: LanguageModel, n_components: int | None = None) -> NDArray[np.float32]:
    """Return the vectors of a model's tokens: row i is that of the token with id i.

    A model with one-hot input has no embedding; the input weights of its first layer are used
    instead. Column i of them is what token i adds to the layer's gates.

    Args:
        model: the model.
        n_components: k, at least 1: return only the first k principal components, the
            directions in which the vectors differ most (Pearson 1901). None: the vectors.

    Returns:
        (V, E) or (V, k) float32, a copy. Principal components have mean 0.

    Raises:
        ValueError: the model has no vectors, or they have fewer than k components.

    >>> from textrnn import GRUModel
    >>> embeddings(GRUModel(5, embedding_dim=3), n_components=2).shape
    (5, 2)
    """
    vectors = _vectors(model)
    if n_components is None:
        return vectors
    check_int("n_components", n_components, 1, min(vectors.shape))
    return pca(vectors, n_components)


def plot_embeddings(
    model: LanguageModel,
    vocab: Tokenizer,
    tokens: Iterable[str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw tokens at the first two principal components of their vectors.

    Tokens that the model treats alike lie near each other.

    Args:
        model: the model.
        vocab: its vocabulary.
        tokens: which to draw; None for all, which suits characters but is too many for words.
        ax: the matplotlib axes to draw in; a new figure if None.

    Returns:
        The axes: ``ax.figure.savefig("tokens.png")``.

    Raises:
        ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
        UnknownTokenError: the vocabulary does not hold one of the tokens.
        ValueError: the model has no vectors, or they have fewer than two components.
    """
    points = embeddings(model, n_components=2)
    every = map(vocab.token_text, range(len(vocab)))
    chosen = {token: vocab.token_id(token) for token in (every if tokens is None else tokens)}
    if unknown := [token for token, i in chosen.items() if i is None]:
        raise UnknownTokenError(
            "`tokens` must be tokens that the vocabulary holds, as surprisals() shows them. "
            f"Received: {unknown[0]!r}"
        )
    x, y = points[[i for i in chosen.values() if i is not None]].T
    ax = ax or new_axes()
    ax.scatter(x, y, s=4, alpha=0.3)
    for token, at in zip(chosen, zip(x, y, strict=True), strict=True):
        label = token if token.isprintable() and token.strip() else repr(token)
        ax.annotate(label.replace("$", r"\$"), at, ha="center", va="center", fontsize=9)
    ax.set_xlabel("first principal component")
    ax.set_ylabel("second principal component")
    return ax


def pca(vectors: NDArray[np.float32], n_components: int) -> NDArray[np.float32]:
    """Return the first principal components of some vectors, by singular value decomposition.

    Args:
        vectors: (N, D).
        n_components: k, at most N and D.

    Returns:
        (N, k) float32: coordinates along the k directions of greatest variance, each with
        mean 0. A direction's largest entry is positive, so the result is unique.

    >>> pca(np.array([[0, 0], [3, 4]], dtype=np.float32), 1).ravel().tolist()
    [-2.5, 2.5]
    """
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:n_components]
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(n_components), largest])[:, None]
    return np.asarray(centred @ directions.T, dtype=np.float32)


def _vectors(model: LanguageModel) -> NDArray[np.float32]:
    """Return the weights (V, E) of a model's embedding, or of its first layer."""
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == model.vocab_size:
            return module.weight.detach().float().cpu().numpy().copy()
        if isinstance(module, nn.RNNBase) and module.input_size == model.vocab_size:
            weight: torch.Tensor = module.get_parameter("weight_ih_l0")
            return weight.detach().t().float().cpu().numpy().copy()
    raise ValueError(
        "This model has no vectors for its tokens: it has no nn.Embedding of vocab_size rows. "
        f"Received: {type(model).__name__}"
    )
