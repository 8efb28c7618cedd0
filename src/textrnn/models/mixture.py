"""Mixtures: the weighted sum of what several models expect."""

import copy
import functools
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.checks import check_choice, check_ids, check_keywords, check_vocab_ids
from textrnn.generation.steppers.ngram import BINS
from textrnn.models.base import LanguageModel, State, device_of, evaluating, resize_tables
from textrnn.models.families import PARTS
from textrnn.text.held_out import SLICES

Part = str | Mapping[str, Any] | LanguageModel
"""What stands for a part: a family's name, a description with arguments, or a model."""

_COUNTS = 0.4  # the weight of counts where none was learned
_MOST_COUNTED = 4_000_000  # tokens of one text
_WARM_UP, _CHUNK = 64, 64  # tokens that are read first, tokens that are read at a time
_ROUNDS = 60  # of the fit
_PRIOR, _BIN_PRIOR = 1000, 50  # how many tokens the weights known before are worth
_LEAST = 0.005  # the weight that every part keeps


class _Parts(LanguageModel):
    """What a model of models does by asking each of them."""

    def __init__(self, vocab_size: int, parts: Sequence[Part], arguments: dict[str, Any]) -> None:
        built = [_build(vocab_size, part, arguments) for part in parts]
        taken = {name for part in built for name in part.config}
        check_keywords("MixtureModel()", arguments, ["parts", *sorted(taken)])
        if len(built) < 2:
            raise ValueError(f"`parts` must be at least two models. Received: {parts!r:.100}")
        super().__init__(vocab_size=vocab_size, parts=[_describe(part) for part in built])
        self.parts = nn.ModuleList(built)
        self.register_buffer("weights", torch.zeros(BINS, len(built)))
        self.register_buffer("counted", torch.zeros(0, dtype=torch.int64))
        self.weights: torch.Tensor  # (bins, P)
        self.counted: torch.Tensor  # digests of the texts whose counts are in
        self.register_load_state_dict_pre_hook(resize_tables)  # type: ignore[no-untyped-call]
        self._reset_weights()

    @property
    def models(self) -> list[LanguageModel]:
        """The parts."""
        return list(self.parts)  # type: ignore[arg-type]

    def restart(self, state: State, rows: torch.Tensor) -> State:
        """Return a state in which some of the texts begin anew, in every part."""
        if state is None:
            return None
        pairs = zip(self.models, state, strict=True)
        return tuple(None if own is None else part.restart(own, rows) for part, own in pairs)

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the layer groups of the parts, numbered where several parts have some."""
        groups = [part.layer_groups() for part in self.models]
        if sum(map(bool, groups)) == 1:
            return next(group for group in groups if group)
        return {f"part{i}.{n}": group for i, g in enumerate(groups) for n, group in g.items()}

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights of all parts, one after the other, and forget all counts."""
        for part in self.models:
            part.reset_parameters(generator)  # type: ignore[operator]
        self._reset_weights()

    def _reset_weights(self) -> None:
        self.weights.copy_(default_weights(self.models).expand_as(self.weights))


class MixtureModel(_Parts):
    """Mixes the probabilities of models: log(w · softmax(a) + (1 - w) · softmax(b)).

    Counts know the rare contexts of a text by heart, a network generalises; together they predict
    a text better than either. The weights depend on how far the counts are to be trusted in the
    context at hand, and are learned on text that no part was trained on (``calibrate``); without
    any, counts have the weight 0.4.

    In training mode it returns the scores of the parts that learn by gradients alone: training
    them on the mixture's loss takes longer and is no better.

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        parts: two models or more. Each is a model of a built-in family, such a family's name, or
            a dict of the name as ``"model"`` and further arguments of its class.
        **arguments: further arguments, each for all parts whose class takes it.

    The state is a tuple of the parts' states. The layer groups are those of the parts that learn
    by gradients.

    >>> model = MixtureModel(5, parts=[{"model": "gru", "hidden_size": 8}, "ngram"]).eval()
    >>> model.count(np.array([0, 1, 2, 0, 1, 2, 0, 1]))
    >>> logits, state = model(torch.tensor([[0, 1]]))
    >>> round(logits.exp()[0, 1].sum().item(), 4), logits[0, 1].argmax().item()
    (1.0, 2)
    """

    def __init__(
        self, vocab_size: int, *, parts: Sequence[Part] = ("lstm", "ngram"), **arguments: Any
    ) -> None:
        super().__init__(vocab_size, parts, arguments)
        self._held_out: _HeldOut | None = None
        self._counts = 0  # how many tokens were counted last; 0 for all

    def forward(self, ids: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """Score the token after each of ids (B, T): log-probabilities (B, T, V)."""
        states = list(state or [None] * len(self.parts))
        in_training = self.training and self.learns_by_gradient
        scores, bins = {}, None
        for i, part in enumerate(self.models):
            if part.learns_by_gradient or not in_training:
                scores[i], states[i], found = part.score(ids, states[i])
                bins = found if bins is None else bins
        weights = self.weights[:1].expand(*ids.shape, -1) if bins is None else self.weights[bins]
        return _mix(scores, weights), tuple(states)

    def count(self, ids: NDArray[Any]) -> None:
        """Count a text, unless it was counted before: a second ``fit`` of a text adds nothing.

        Args:
            ids: (N,) integers in [0, V), of which the last four million are counted. That takes
                some 8 seconds and 700 MB; all of a long text would take minutes.
        """
        ids = check_ids(ids[-_MOST_COUNTED:])
        self._counts = len(ids)
        digest = _digest(ids)
        if digest not in self.counted.tolist():
            for part in self.models:
                part.count(ids)
            self.counted = torch.cat([self.counted, self.counted.new_tensor([digest])])

    def extend(self, vocab_size: int, init_from: NDArray[np.int64]) -> "MixtureModel":
        """Return a mixture of the extended parts, with the same weights."""
        parts = [part.extend(vocab_size, init_from) for part in self.models]
        model = MixtureModel(vocab_size, parts=parts)
        model.weights, model.counted = self.weights.clone(), self.counted.clone()
        return model.train(self.training)

    def held_out(self, tokens: int) -> int:
        """Return how many tokens ``calibrate`` wants: a fortieth, at most 20,000 of them."""
        return min(tokens // 40, 20_000) if tokens >= 40_000 else 0

    def calibrate(self, ids: NDArray[Any], held_out: NDArray[Any]) -> None:
        """Learn the weights on text that no part was trained on, by expectation maximisation.

        Args:
            ids: (N,) the text in training without ``held_out``; of it as many tokens are counted
                as ``count`` did last.
            held_out: (M,) what was left out of training.
        """
        known, ids = self._held_out, ids[-self._counts :]
        if known is None or known.text is not held_out:
            self._held_out = known = _HeldOut(self, ids, held_out)
        self.weights.copy_(torch.from_numpy(known.fit(self)).to(self.weights))


class _HeldOut:
    """Text to learn weights on, and what the counts of the rest say of it."""

    def __init__(self, model: MixtureModel, ids: NDArray[Any], text: NDArray[Any]) -> None:
        self.text = text
        ids = check_ids(ids)
        usable = check_vocab_ids(check_ids(text), model.vocab_size)
        rows = torch.from_numpy(usable[: len(usable) // SLICES * SLICES].reshape(SLICES, -1))
        self.x, self.y = rows[:, :-1], rows[:, 1:]
        self.counts: dict[int, NDArray[np.float64]] = {}
        self.bins = np.zeros(self.x[:, _WARM_UP:].numel(), dtype=np.intp)
        for i, part in enumerate(model.models):
            if not part.learns_by_gradient:
                twin: Any = type(part)(**part.config)
                twin.count(ids)
                self.counts[i], bins = self._scores(twin)
                self.bins = self.bins if bins is None else bins

    def _scores(self, part: LanguageModel) -> tuple[NDArray[np.float64], NDArray[np.intp] | None]:
        """Return a part's log-probability of each token, and the bin of its context."""
        device, state = device_of(part), None
        found, bins = [], []
        with evaluating(part):
            for x, y in zip(self.x.split(_CHUNK, 1), self.y.split(_CHUNK, 1), strict=True):
                logits, state, some = part.score(x.to(device), state)
                logs = logits.float().log_softmax(-1).gather(-1, y.to(device)[..., None])
                found.append(logs[..., 0].cpu())
                bins.append(some)
        scores = torch.cat(found, 1)[:, _WARM_UP:].double().flatten().numpy()
        if any(some is None for some in bins):
            return scores, None
        return scores, torch.cat(bins, 1)[:, _WARM_UP:].flatten().cpu().numpy()

    def fit(self, model: MixtureModel) -> NDArray[np.float64]:
        """Return the weights (bins, P) under which this text is likeliest."""
        scores = [
            self.counts[i] if i in self.counts else self._scores(part)[0]
            for i, part in enumerate(model.models)
        ]
        p = np.exp(np.stack(scores))  # (P, N)
        overall = first = default_weights(model.models).numpy()
        for _ in range(_ROUNDS):
            shares = overall[:, None] * p
            overall = (shares / shares.sum(0)).sum(1) + _PRIOR * first
            overall /= overall.sum()
        sizes = np.bincount(self.bins, minlength=BINS)
        weights = np.tile(overall, (BINS, 1))
        for _ in range(_ROUNDS):
            shares = weights[self.bins].T * p
            shares /= shares.sum(0)
            sums = np.stack([np.bincount(self.bins, one, minlength=BINS) for one in shares], 1)
            weights = (sums + _BIN_PRIOR * overall) / (sizes + _BIN_PRIOR)[:, None]
        return (weights + _LEAST) / (1 + _LEAST * len(p))


def default_weights(parts: Sequence[LanguageModel]) -> torch.Tensor:
    """Return the weight of each part where none was learned, (P,) float64."""
    counts = [not part.learns_by_gradient for part in parts]
    few = sum(counts)
    share = _COUNTS if 0 < few < len(counts) else few / len(counts)
    each = [share / few if c else (1 - share) / (len(counts) - few) for c in counts]
    return torch.tensor(each, dtype=torch.float64)


def _mix(scores: Mapping[int, torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the weighted sum of probabilities; of one part, its scores.

    Args:
        scores: (B, T, V) of each part in use.
        weights: (B, T, P) of all parts; those of the parts in use are made to sum to 1.
    """
    if len(scores) == 1:
        return next(iter(scores.values()))
    used = weights[..., list(scores)]
    logs = (used / used.sum(-1, keepdim=True)).log()
    parts = [one.log_softmax(-1) + logs[..., [i]] for i, one in enumerate(scores.values())]
    return functools.reduce(torch.logaddexp, parts)


def _build(vocab_size: int, part: Part, shared: Mapping[str, Any]) -> LanguageModel:
    """Return the model that ``parts`` names, describes or holds."""
    if isinstance(part, LanguageModel):
        _describe(part)
        return part
    own = {"model": part} if isinstance(part, str) else dict(part)
    check_choice("model", name := own.pop("model"), PARTS)
    model: Any = PARTS[name].model
    takes = inspect.signature(model).parameters
    own = {**{key: value for key, value in shared.items() if key in takes}, **own}
    return model(vocab_size, **own)  # type: ignore[no-any-return]


def _describe(part: LanguageModel) -> dict[str, Any]:
    """Return the entry of the config that rebuilds a part."""
    name = next((name for name, family in PARTS.items() if family.model is type(part)), None)
    if name is None:
        raise TypeError(
            "Every part of a mixture must be a model of a built-in family, "
            f"{', '.join(PARTS)}. Received: {type(part).__name__}"
        )
    own = {key: value for key, value in part.config.items() if key != "vocab_size"}
    return {"model": name, **copy.deepcopy(own)}


def _digest(ids: NDArray[Any]) -> int:
    """Return 63 bits that tell texts apart, whatever dtype their ids have."""
    digest = hashlib.sha256()
    for first in range(0, len(ids), 1 << 22):
        digest.update(np.ascontiguousarray(ids[first : first + (1 << 22)], dtype=np.int64).data)
    return int.from_bytes(digest.digest()[:8], "big") >> 1
