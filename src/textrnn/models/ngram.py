"""The n-gram model: what followed the last few tokens so far?"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_choice, check_ids, check_int
from textrnn.generation.steppers import trie as tries
from textrnn.generation.steppers.ngram import NGramStepper
from textrnn.generation.steppers.smoothing import SMOOTHINGS
from textrnn.generation.steppers.trie import Trie
from textrnn.models.arrays import state_arrays
from textrnn.models.base import LanguageModel, resize_tables
from textrnn.models.counting import add_counts


class NGramModel(LanguageModel):
    """Predicts a token from what followed the n-1 tokens before it in the training text.

    It learns by counting, not by gradients: ``count(ids)``, once over the text. Only n-grams
    that occur are stored, so memory grows with the text, not with V**n; of large texts the
    longest n-grams that occur once are left out (``models/counting.py``). It is the floor that a
    neural model has to beat, which is hard on little text.

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        order: n, at least 1; the model looks at n-1 tokens. 7 is a good start for characters, 4
            for words.
        smoothing: ``"kneser_ney"`` is modified Kneser-Ney smoothing, interpolated (Chen and
            Goodman 1999): after a new context a token is the likelier, the more different contexts
            it has followed. With ``"witten_bell"`` a context is the more trusted, the fewer
            different tokens followed it (Witten and Bell 1991, method C). ``None`` is plain maximum
            likelihood in the longest context seen: tokens that were never counted have probability
            zero, so the loss on new text is usually infinite.

    The state is the node of the longest stored context, (B,) int64. There are no parameters, hence
    no layer groups.

    >>> model = NGramModel(vocab_size=3, order=2, smoothing=None)
    >>> model.count(np.array([0, 1, 0, 1, 0, 2]))
    >>> logits, state = model(torch.tensor([[0]]))
    >>> [round(p, 3) for p in logits.exp()[0, 0].tolist()]  # after 0 came 1 twice, 2 once
    [0.0, 0.667, 0.333]
    """

    blank = 0

    def __init__(
        self, vocab_size: int, *, order: int = 7, smoothing: str | None = "kneser_ney"
    ) -> None:
        check_int("order", order, 1)
        check_choice("smoothing", smoothing, SMOOTHINGS)
        super().__init__(vocab_size=vocab_size, order=order, smoothing=smoothing)
        for name, shape, dtype in tries.layout(vocab_size, order):
            kind = torch.from_numpy(np.zeros(0, dtype)).dtype
            self.register_buffer(name, torch.zeros(shape or 0, dtype=kind))
        self.min_counts: torch.Tensor
        self.reset_parameters()
        self.stepper: NGramStepper
        self.register_load_state_dict_pre_hook(resize_tables)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_remake_stepper)  # type: ignore[no-untyped-call]

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Forget all counts; the generator is not used."""
        device = self.min_counts.device
        for name, shape, dtype in tries.layout(self.vocab_size, self.config["order"]):
            empty = torch.from_numpy(np.zeros(shape or 0, dtype))
            setattr(self, name, empty.to(device))
        self.min_counts.fill_(1)
        _remake_stepper(self)

    def forward(
        self, ids: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score the token after each of ids (B, T): log-probabilities (B, T, V)."""
        return self.score(ids, state)[:2]

    def score(
        self, ids: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what ``forward`` does, and the bin (B, T) of each context."""
        nodes = ids.new_zeros(len(ids)) if state is None else state
        contexts = self.stepper.advance(nodes.cpu().numpy(), ids.cpu().numpy())  # (B, T)
        scores = self.stepper.score(contexts.reshape(-1)).reshape(*ids.shape, self.vocab_size)
        arrays = scores, contexts[:, -1].copy(), self.stepper.bins(contexts)
        logits, nodes, bins = (torch.from_numpy(array).to(ids.device) for array in arrays)
        return logits, nodes, bins

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return an empty dict: nothing here learns by gradients."""
        return {}

    def count(self, ids: NDArray[Any]) -> None:
        """Add the counts of a text.

        Args:
            ids: (N,) integers in [0, V). No n-gram spans two texts.

        Raises:
            DataError: ``ids`` are not such integers.
        """
        self._store(add_counts(self.stepper.trie, check_ids(ids)))

    def extend(self, vocab_size: int, init_from: NDArray[np.int64]) -> "NGramModel":
        """Return a model for a larger vocabulary with the same counts.

        New tokens have no counts yet, whichever tokens they resemble.

        Args:
            vocab_size: V', the new number of tokens.
            init_from: (V',) the old id of each token. Known tokens keep their order, and the first
                entry with an old id is that token itself.
        """
        model = NGramModel(**{**self.config, "vocab_size": vocab_size})
        new_ids = np.array([np.flatnonzero(init_from == i)[0] for i in range(self.vocab_size)])
        trie = self.stepper.trie
        levels = [level._replace(tokens=new_ids[level.tokens]) for level in trie.levels()]
        model._store(Trie.from_levels(levels, vocab_size, trie.min_counts))
        return model

    def truncated(self, order: int) -> "NGramModel":
        """Return the model of a lower order, from the same counts."""
        check_int("order", order, 1, self.config["order"])
        model = NGramModel(self.vocab_size, order=order, smoothing=self.config["smoothing"])
        trie = self.stepper.trie
        model._store(
            Trie.from_levels(trie.levels()[:order], self.vocab_size, trie.min_counts[:order])
        )
        return model

    def _store(self, trie: Trie) -> None:
        for name, array in trie.to_tensors().items():
            setattr(self, name, torch.from_numpy(array.copy()))
        _remake_stepper(self)


def _remake_stepper(model: NGramModel, _: object = None) -> None:
    if not next(model.buffers()).is_meta:
        model.stepper = NGramStepper(model.config, state_arrays(model))
