"""The fingerprint of a run, so that no other run resumes its backup."""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.models.base import LanguageModel
from textrnn.models.registry import model_type_of
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan

_CHUNK = 1 << 22  # ids whose digest is computed at a time


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
        "validation text": None if corpus.valid_ids is None else _digest(corpus.valid_ids),
        "vocabulary": vocab and hashlib.sha256(vocab.encode()).hexdigest()[:16],
        "model": model_type_of(model),
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
        **model.config,
        **config.to_config(),
        **{name: getattr(plan, name) for name in _OF_PLAN},
        "seed": seed,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


_OF_PLAN = (
    "epochs", "minutes", "initial_epoch", "batch_size", "seq_len", "stateful", "precision",
)  # fmt: skip


def _digest(ids: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for first in range(0, len(ids), _CHUNK):  # as int64, whatever dtype the ids have
        digest.update(np.ascontiguousarray(ids[first : first + _CHUNK], dtype=np.int64).data)
    return f"{len(ids)} tokens with sha256 {digest.hexdigest()[:16]}"
