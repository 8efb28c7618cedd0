"""Looking at a trained model: how good it is, what is in it; and holding parts of it still."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_int, named_arguments
from textrnn.errors import UnknownTokenError
from textrnn.evaluation.scoring import evaluate, surprisals
from textrnn.history import new_axes
from textrnn.models.base import LanguageModel, describe
from textrnn.text.sources import Text, read_text
from textrnn.text.vocab import Vocab

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Inspectable(ABC):
    """Whatever has a vocabulary and a model that one can look into: a ``TextGenerator``."""

    @abstractmethod
    def _fitted(self) -> tuple[Vocab, LanguageModel]:
        """Return the vocabulary and the model, or raise ``NotFittedError``."""

    def evaluate(self, text: Text) -> dict[str, float]:
        """Measure how well the model predicts a text, over the whole of it, state carried.

        Returns:
            ``loss`` (nats per token), ``bits_per_char``, ``perplexity``.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            UnknownTokenError: the text has a symbol that the vocabulary does not hold.
        """
        vocab, model = self._fitted()
        text = read_text(text)
        ids = vocab.encode(text)
        return evaluate(model, ids, chars_per_token=len(text) / max(len(ids), 1))

    def score(self, text: Text) -> list[tuple[str, float]]:
        """Return the surprisal of every token, for a heat map of what the model finds odd.

        Returns:
            (token, nats) for each token; the first one is scored as after a line break.

        Raises:
            NotFittedError, UnknownTokenError: as ``evaluate``.
        """
        vocab, model = self._fitted()
        ids = vocab.encode(read_text(text))
        with_start = np.concatenate([[vocab.start_id], ids])
        return list(
            zip([vocab.itos[i] for i in ids], surprisals(model, with_start).tolist(), strict=True)
        )

    def summary(self) -> str:
        """Return a table of the model's layer groups, tensors, shapes and parameter counts.

        Raises:
            NotFittedError: there was no ``fit`` yet.
        """
        vocab, model = self._fitted()
        device = next((p.device for p in model.parameters()), "cpu")
        return f"{vocab}, on {device}\n{describe(model)}"

    @property
    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """The model's parts from input to output, each with its parameters."""
        return self._fitted()[1].layer_groups()

    def freeze(self) -> None:
        """Let ``fit`` change only the last layer group, the head: ``freeze_to(-1)``.

        Raises:
            NotFittedError: there was no ``fit`` yet.
        """
        self.freeze_to(-1)

    def freeze_to(self, n: int) -> None:
        """Let ``fit`` change only the layer groups from number ``n`` on, as in fastai.

        Args:
            n: the first group that learns, from 0; -2 stands for the last but one. Earlier
                ``freeze`` calls are undone.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            ValueError: the model has no such group; a counting model has none at all.

        >>> from textrnn import TextGenerator
        >>> gen = TextGenerator("gru", hidden_size=8, seed=0)
        >>> history = gen.fit("abc" * 1000, epochs=1, verbose=0)
        >>> gen.freeze_to(1)
        >>> {name: group[0].requires_grad for name, group in gen.layer_groups.items()}
        {'embedding': False, 'layer0': True, 'head': True}
        """
        groups = self.layer_groups
        if not groups:
            raise ValueError("This model has no layer groups: it learns by counting.")
        first = check_int("n", n, -len(groups), len(groups) - 1) % len(groups)
        for i, parameters in enumerate(groups.values()):
            for p in parameters:
                p.requires_grad_(i >= first)

    def unfreeze(self) -> None:
        """Let ``fit`` change all layer groups again: ``freeze_to(0)``."""
        self.freeze_to(0)

    @named_arguments
    def embeddings(self, n_components: int | None = None) -> NDArray[np.float32]:
        """Return the vectors that the model has for its symbols, row i for ``vocab.itos[i]``.

        A model with one-hot input has no embedding; its vectors are the input weights of the
        first layer, which do the same.

        Args:
            n_components: k, at least 1: give only the first k principal components, those
                directions in which the vectors differ most (Pearson 1901), with the mean of
                each taken off. None: the vectors as they are.

        Returns:
            (V, E) or (V, k) float32.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            ValueError: the model has no vectors (a counting one), or fewer than k components.
        """
        vectors = _vectors(self._fitted()[1])
        if n_components is None:
            return vectors
        check_int("n_components", n_components, 1, min(vectors.shape))
        return pca(vectors, n_components)

    @named_arguments
    def plot_embeddings(
        self, symbols: Iterable[str] | None = None, ax: "Axes | None" = None
    ) -> "Axes":
        """Draw the symbols where the first two principal components of their vectors are.

        Symbols that the model finds alike lie near each other.

        Args:
            symbols: which to draw; all if None, which is fit for characters but not for words.
            ax: the matplotlib axes to draw in; a new figure if None.

        Returns:
            The axes: ``ax.figure.savefig("symbols.png")``.

        Raises:
            ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
            UnknownTokenError: a symbol that the vocabulary does not hold.
        """
        vocab, _ = self._fitted()
        points = self.embeddings(n_components=2)
        chosen = list(vocab.itos if symbols is None else symbols)
        if odd := [symbol for symbol in chosen if symbol not in vocab]:
            raise UnknownTokenError(
                f"The vocabulary does not hold this symbol. Received: {odd[0]!r}"
            )
        x, y = points[[vocab.stoi[symbol] for symbol in chosen]].T
        ax = ax or new_axes()
        ax.scatter(x, y, s=4, alpha=0.3)
        for symbol, at in zip(chosen, zip(x, y, strict=True), strict=True):
            label = symbol if symbol.isprintable() and symbol.strip() else repr(symbol)
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
        (N, k): coordinates along the k directions of greatest variance, each with mean 0; a
        direction points where its largest entry is positive, so that the result is unique.

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
    """Return what a model turns its symbols into, (V, E)."""
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == model.vocab_size:
            return module.weight.detach().float().cpu().numpy().copy()
        if isinstance(module, nn.RNNBase) and module.input_size == model.vocab_size:
            weight: torch.Tensor = module.get_parameter("weight_ih_l0")
            return weight.detach().t().float().cpu().numpy().copy()
    raise ValueError(
        "This model has no vectors for its symbols; one with an nn.Embedding has. "
        f"Received: {type(model).__name__}"
    )
