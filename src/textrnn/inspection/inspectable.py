"""The methods of a ``TextGenerator`` that look inside its model."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import named_arguments
from textrnn.evaluation import loss
from textrnn.history import History
from textrnn.inspection import embeddings, layer_groups, summary
from textrnn.inspection.summary import Summary
from textrnn.models.base import LanguageModel, device_of
from textrnn.text.corpus import encode_source
from textrnn.text.given_ids import given_ids
from textrnn.text.sources import Text, open_source
from textrnn.text.spelling import spelling_bits
from textrnn.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Inspectable(ABC):
    """The methods of a ``TextGenerator`` that look inside its model.

    Every method raises ``NotFittedError`` before the first ``fit``, and ``RuntimeError`` while
    another thread is in ``fit``; a ``fit`` that begins waits for the methods that are under way.
    """

    @abstractmethod
    def _reading(self) -> AbstractContextManager[tuple[Tokenizer, LanguageModel]]:
        """Yield the vocabulary and the model, which no other thread changes meanwhile.

        Raises:
            NotFittedError: there is none yet.
            RuntimeError: another thread is training it.
        """

    model: LanguageModel | None
    history: History

    def __repr__(self) -> str:
        if self.model is None:
            return f"{type(self).__name__}(not fitted)"
        with self._reading() as (vocab, model):
            on = f"{sum(p.numel() for p in model.parameters()):,} parameters on {device_of(model)}"
            name = type(model).__name__
            return f"{type(self).__name__}({name}, {on}, {vocab!r}, {self.history!r})"

    @named_arguments
    def evaluate(self, text: Text, *, unknown: str | None = None) -> dict[str, float]:
        """Return how well the model predicts a text, read as a whole with the state carried.

        For a model of documents every text is a document, or several; their ends count as tokens.

        Args:
            text: as ``fit`` takes it.
            unknown: what to do about a token that the vocabulary does not hold: "error", "skip" or
                "unk", as in ``Vocab.encode``.

        Returns:
            ``loss`` (nats per token), ``bits_per_char`` (unknown tokens spelled letter by letter),
            ``perplexity``, ``accuracy``.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            UnknownTokenError: the text has a token that the vocabulary does not hold.
        """
        with self._reading() as (vocab, model):
            if (given := given_ids(text, vocab)) is not None:
                ids, ratio, spelling = given.ids, given.chars_per_token, given.spelling(given.ids)
            else:
                source = open_source(text)
                ids, ratio = encode_source(source, vocab, unknown)
                spelling = spelling_bits(vocab, source, ids, ratio)
            return loss.evaluate(model, ids, chars_per_token=ratio, spelling=spelling)

    @named_arguments
    def surprisals(self, text: Text, *, unknown: str | None = None) -> list[tuple[str, float]]:
        """Return the surprisal of every token: how unexpected the model finds it.

        Args:
            text: as ``fit`` takes it.
            unknown: as in ``evaluate``.

        Returns:
            (token, nats) for each token. The first token is scored as after a line break; by a
            model of documents as the first of a document, and each document's end is ``""``.

        Raises:
            NotFittedError, UnknownTokenError: as ``evaluate``.
        """
        with self._reading() as (vocab, model):
            if (given := given_ids(text, vocab)) is not None:
                ids = given.ids
            else:
                ids, _ = encode_source(open_source(text), vocab, unknown)
            if vocab.eot_id is None:
                ids = np.concatenate([[vocab.start_id], ids])
            nats = loss.surprisals(model, ids).tolist()
        return list(zip(map(vocab.token_text, ids[1:].tolist()), nats, strict=True))

    def summary(self) -> Summary:
        """Return a table of the model's layer groups, tensors, shapes and parameter counts."""
        with self._reading() as (vocab, model):
            return summary.summary(model, vocab)

    @property
    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """The model's parameters by layer group, from input to output."""
        with self._reading() as (_, model):
            return model.layer_groups()

    def freeze(self) -> None:
        """Freeze all layer groups but the last, the head: ``freeze_to(-1)``."""
        self.freeze_to(-1)

    def freeze_to(self, n: int) -> None:
        """Freeze the layer groups before number ``n``, and unfreeze the others, as in fastai.

        Args:
            n: the first group that learns, counted from 0 at the input; -1 is the last one.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            ValueError: the model has no such group; one that learns by counting has none.
        """
        with self._reading() as (_, model):
            layer_groups.freeze_to(model, n)

    def unfreeze(self) -> None:
        """Unfreeze all layer groups: ``freeze_to(0)``."""
        self.freeze_to(0)

    @named_arguments
    def embeddings(self, n_components: int | None = None) -> NDArray[np.float32]:
        """Return the vectors of the tokens: row i is that of ``vocab.itos[i]``.

        Args:
            n_components: k, at least 1: return only the first k principal components, the
                directions in which the vectors differ most. None: the vectors themselves.

        Returns:
            (V, E) or (V, k) float32, a copy.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            ValueError: the model has no vectors, or they have fewer than k components.
        """
        with self._reading() as (_, model):
            return embeddings.embeddings(model, n_components)

    @named_arguments
    def plot_embeddings(
        self, tokens: Iterable[str] | None = None, ax: "Axes | None" = None
    ) -> "Axes":
        """Draw tokens at the first two principal components of their vectors.

        Args:
            tokens: which to draw; None for all, which suits characters but is too many for words.
            ax: the matplotlib axes to draw in; a new figure if None.

        Returns:
            The axes: ``ax.figure.savefig("tokens.png")``.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            ImportError: matplotlib is missing; ``pip install "textrnn[plot]"``.
            UnknownTokenError: the vocabulary does not hold one of the tokens.
        """
        with self._reading() as (vocab, model):
            return embeddings.plot_embeddings(model, vocab, tokens, ax)
