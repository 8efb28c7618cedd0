"""The fingerprint of a run, so that no other run resumes its backup."""

import hashlib
import json
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.models.arrays import state_arrays
from textrnn.models.base import LanguageModel
from textrnn.models.mixture import MixtureModel
from textrnn.models.registry import model_type_of
from textrnn.text.corpus import Corpus
from textrnn.text.pieces import blocks
from textrnn.training.optim import OptimizerConfig, make_optimizer
from textrnn.training.plan import Plan

_POINTS = 256  # the number of points at which schedules are compared


def fingerprint(
    model: LanguageModel, config: OptimizerConfig, corpus: Corpus, plan: Plan, seed: int | None
) -> dict[str, Any]:
    """Return what must match before a backup can be resumed, as values for JSON.

    Args:
        model: its type and config, and which of its parameters are frozen.
        config: how it is optimised.
        corpus: the ids, and the tokens that they stand for.
        plan: how long to train, in what batches and precision.
        seed: the seed of training.
    """
    vocab = None if corpus.vocab is None else json.dumps(corpus.vocab.to_config())
    facts = {
        "text": _digest(corpus.ids),
        "documents": None if corpus.starts is None else _digest(corpus.starts),
        "validation text": None if corpus.valid_ids is None else _digest(corpus.valid_ids),
        "vocabulary": vocab and hashlib.sha256(vocab.encode()).hexdigest()[:16],
        "model": model_type_of(model),
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
        **_arguments(model),
        **config.to_config(),
        "precision asked for": config.precision,  # the plan has what was chosen
        "schedule's factors": _digest_schedule(config),
        "optimizer's settings": _settings(model, config),
        **{name: getattr(plan, name) for name in _OF_PLAN},
        "seed": seed,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


_OF_PLAN = (
    "epochs", "minutes", "initial_epoch", "batch_size", "seq_len", "stateful", "precision",
    "validation_freq",
)  # fmt: skip


def _arguments(model: LanguageModel) -> dict[str, Any]:
    """Return a model's config, with that of each part of a mixture in entries of its own."""
    config = dict(model.config)
    parts = config.pop("parts") if isinstance(model, MixtureModel) else []
    for i, part in enumerate(parts):
        config |= {f"part {i}: {name}": value for name, value in part.items()}
    return config


@dataclass
class Origin:
    """Identifies the weights that a training begins from, as part of its fingerprint.

    Args:
        loaded: whether the model comes from a file. A new model is identified by its seed; without
            one its initial weights differ in each process, and it may be resumed all the same.
        fits: the number of finished trainings of the model.
        weights: the digest of the loaded weights, once it is known.
    """

    loaded: bool = False
    fits: int = 0
    weights: str | None = None

    def facts(self, model: LanguageModel) -> dict[str, Any]:
        """Return which ``fit`` of the model this is, and the digest of its loaded weights.

        Args:
            model: the model; if it was loaded and not trained yet, before its first step.
        """
        if self.loaded and self.weights is None and not self.fits:
            digest = hashlib.sha256()
            for name, array in sorted(state_arrays(model).items()):
                digest.update(name.encode() + np.ascontiguousarray(array).data)
            self.weights = digest.hexdigest()[:16]
        return {"fit": self.fits + 1, "loaded weights": self.weights}


def _digest_schedule(config: OptimizerConfig) -> str:
    """Return a digest of a schedule's factors, because two functions may have one name."""
    schedule = config.resolve_schedule()
    factors = [f"{schedule(i / _POINTS):.9g}" for i in range(_POINTS + 1)]
    return hashlib.sha256(" ".join(factors).encode()).hexdigest()[:16]


def _settings(model: LanguageModel, config: OptimizerConfig) -> list[str] | None:
    """Return the settings of an optimiser that a function made; None for any other."""
    if not model.learns_by_gradient or not isinstance(config.optimizer, FunctionType):
        return None
    optimizer = make_optimizer(model, config)
    defaults = [f"{name}={value}" for name, value in optimizer.defaults.items() if value]
    return [type(optimizer).__name__, *sorted(defaults)]


def _digest(ids: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for part in blocks(ids):  # as int64, whatever dtype the ids have
        digest.update(np.ascontiguousarray(part, dtype=np.int64).data)
    return f"{len(ids)} tokens with sha256 {digest.hexdigest()[:16]}"
