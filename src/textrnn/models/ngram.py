"""The n-gram model: what followed the last few tokens so far?"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_choice, check_ids, check_int, check_vocab_ids
from textrnn.generation.steppers.ngram import NGramStepper
from textrnn.models.arrays import state_arrays
from textrnn.models.base import LanguageModel

_SMOOTHINGS = ("witten_bell", None)


class NGramModel(LanguageModel):
    """Predicts a token from what followed the n-1 tokens before it in the training text.

    It learns by counting, not by gradients: ``count(ids)``, once over the text. Only contexts
    that occur are stored, so memory grows with the text, not with V**n. It is the floor that a
    neural model has to beat, which is hard on little text.

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        order: n, at least 1; the model looks at n-1 tokens. 5 is a good start for characters.
        smoothing: ``"witten_bell"`` mixes all orders up to n. The fewer different tokens followed
            a context, the more it is trusted (Witten and Bell 1991, method C, interpolated as
            in Chen and Goodman 1998, section 2.5). ``None`` is plain maximum likelihood in the
            longest context seen: tokens that were never counted have probability zero, so the
            loss on new text is usually infinite.

    The state is the last n-1 ids, (B, n - 1) int64, -1 for "before the text". There are no
    parameters, hence no layer groups.

    >>> model = NGramModel(vocab_size=3, order=2, smoothing=None)
    >>> model.count(np.array([0, 1, 0, 1, 0, 2]))
    >>> logits, state = model(torch.tensor([[0]]))
    >>> [round(p, 3) for p in logits.exp()[0, 0].tolist()]  # after 0 came 1 twice, 2 once
    [0.0, 0.667, 0.333]
    """

    def __init__(
        self, vocab_size: int, *, order: int = 5, smoothing: str | None = "witten_bell"
    ) -> None:
        check_int("order", order, 1)
        check_choice("smoothing", smoothing, _SMOOTHINGS)
        super().__init__(vocab_size=vocab_size, order=order, smoothing=smoothing)
        self.levels = nn.ModuleList(_Table() for _ in range(order))
        self.stepper: NGramStepper
        self.register_load_state_dict_post_hook(_remake_stepper)  # type: ignore[no-untyped-call]
        _remake_stepper(self)

    def forward(
        self, ids: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score the token after each of ids (B, T): log-probabilities (B, T, V)."""
        b, t = ids.shape
        n = self.config["order"] - 1
        if state is None:
            state = ids.new_full((b, n), -1)
        text = torch.cat([state, ids], dim=1)  # (B, n + T)
        contexts = text[:, 1:].unfold(1, n, 1) if n else text[..., None][..., :0]  # (B, T, n)
        scores = self.stepper.log_probabilities(contexts.reshape(b * t, n).cpu().numpy())
        logits = torch.from_numpy(scores).to(ids.device).view(b, t, self.vocab_size)
        return logits, text[:, t:]

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return an empty dict: nothing here learns by gradients."""
        return {}

    def count(self, ids: NDArray[Any]) -> None:
        """Add the counts of a text.

        Args:
            ids: (N,) integers in [0, V).

        Raises:
            DataError: ``ids`` are not such integers.
        """
        ids = check_vocab_ids(check_ids(ids), self.vocab_size)
        parents = np.zeros(len(ids), dtype=np.int64)  # the context of each token, as a node
        moved = np.zeros(1, dtype=np.int64)  # where the nodes of the old table have gone
        for k, table in enumerate(self.levels):
            parents, moved = table.add(k, parents, moved, ids, self.vocab_size)  # type: ignore[operator]
        _remake_stepper(self)

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
        for k, (new, old) in enumerate(zip(model.levels, self.levels, strict=True)):
            table = {name: tensor.cpu().numpy() for name, tensor in old.named_buffers()}
            parent, token = np.divmod(table["contexts"], self.vocab_size)
            if k:
                table["contexts"] = parent * vocab_size + new_ids[token]
            table["tokens"] = new_ids[table["tokens"]].astype(np.int32)
            for name, array in table.items():
                setattr(new, name, torch.from_numpy(array))
        _remake_stepper(model)
        return model

    def truncated(self, order: int) -> "NGramModel":
        """Return the model of a lower order, from the same counts."""
        check_int("order", order, 1, self.config["order"])
        model = NGramModel(self.vocab_size, order=order, smoothing=self.config["smoothing"])
        for new, old in zip(model.levels, self.levels, strict=False):
            for name, tensor in old.named_buffers():
                setattr(new, name, tensor)
        _remake_stepper(model)
        return model


class _Table(nn.Module):
    """The counts after all contexts of one length, laid out as ``NGramStepper`` reads them.

    >>> table, root = _Table(), np.zeros(4, dtype=np.int64)  # at level 0 all share one context
    >>> nodes, moved = table.add(0, root, root[:1], np.array([0, 1, 0, 1]), vocab_size=2)
    >>> nodes.tolist(), table.tokens.tolist(), table.counts.tolist()
    ([0, 0, 0, 0], [0, 1], [2, 2])
    >>> longer = _Table()  # at level 1 the contexts of the last three tokens are 0, 1, 0
    >>> nodes, moved = longer.add(1, nodes, moved, np.array([0, 1, 0, 1]), vocab_size=2)
    >>> nodes.tolist(), longer.tokens.tolist(), longer.counts.tolist()  # 1 after 0 twice
    ([0, 1, 0], [1, 0], [2, 1])
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("contexts", torch.empty(0, dtype=torch.int64))
        self.register_buffer("starts", torch.empty(0, dtype=torch.int64))
        self.register_buffer("tokens", torch.empty(0, dtype=torch.int32))
        self.register_buffer("counts", torch.empty(0, dtype=torch.int32))

    def add(
        self,
        k: int,
        parents: NDArray[np.int64],
        moved: NDArray[np.int64],
        ids: NDArray[np.int64],
        vocab_size: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the tokens that follow the contexts of k tokens in a text.

        Args:
            k: the level of this table.
            parents: (N - k + 1,) for each token of ``ids`` that has a context of k-1 tokens, the
                node of that context at level k-1; at level 0, where all share one, (N,) zeros.
            moved: the new number of each old node of level k-1.
            ids: (N,) the text.
            vocab_size: V.

        Returns:
            ``parents`` and ``moved`` of this level.
        """
        old = {name: tensor.cpu().numpy() for name, tensor in self.named_buffers()}
        if k == 0:
            pairs, old_pairs = parents, np.zeros(min(1, len(old["contexts"])), dtype=np.int64)
        else:
            pairs = parents[1:] * vocab_size + ids[: max(len(parents) - 1, 0)]
            parent, token = np.divmod(old["contexts"], vocab_size)
            old_pairs = moved[parent] * vocab_size + token
        contexts = np.unique(np.concatenate([old_pairs, pairs]))
        nodes, moved = np.searchsorted(contexts, pairs), np.searchsorted(contexts, old_pairs)

        owner = np.repeat(moved, np.diff(old["starts"]))
        seen = np.concatenate([owner * vocab_size + old["tokens"], nodes * vocab_size + ids[k:]])
        weights = np.concatenate([old["counts"], np.ones(len(nodes), dtype=np.int64)])
        successors, inverse = np.unique(seen, return_inverse=True)
        counts = np.bincount(inverse, weights, minlength=len(successors))
        starts = np.searchsorted(successors, np.arange(len(contexts) + 1) * vocab_size)

        self.contexts, self.starts = torch.from_numpy(contexts), torch.from_numpy(starts)
        self.tokens = torch.from_numpy((successors % vocab_size).astype(np.int32))
        self.counts = torch.from_numpy(counts.astype(np.int32))
        return nodes, moved


def _remake_stepper(model: NGramModel, _: object = None) -> None:
    if not next(model.buffers()).is_meta:
        model.stepper = NGramStepper(model.config, state_arrays(model))
