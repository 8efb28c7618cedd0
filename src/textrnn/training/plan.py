"""What ``fit`` is about to do: the model and the sizes, chosen where the user left them open."""

from collections.abc import Mapping
from typing import Any

import torch

from textrnn.models import LanguageModel
from textrnn.models.registry import MODELS, build
from textrnn.text.corpus import Corpus
from textrnn.text.vocab import Vocab
from textrnn.training import defaults, distributed
from textrnn.training.device import pick_precision
from textrnn.training.optim import OptimizerConfig
from textrnn.training.threads import training_speed


def make_plan(
    corpus: Corpus,
    model: LanguageModel | None,
    vocab: Vocab | None,
    *,
    kind: str,
    model_args: dict[str, Any],
    settings: OptimizerConfig,
    device: torch.device,
    seed: int | None,
    epochs: int | None = defaults.EPOCHS,
    minutes: float | None = None,
    begun: Mapping[str, Any] | None = None,
) -> tuple[LanguageModel, dict[str, Any]]:
    """Return a model for a text, the one there is or a new one, and how to train it.

    Args:
        corpus: the text.
        model: the one there is.
        vocab: the one that it was made for; the corpus may have more symbols.
        kind: a name in ``MODELS``, or the class of a user's own.
        model_args: the arguments that the user chose.
        settings: how to optimise.
        device: where.
        seed: of the initial weights.
        epochs: passes over the text, or None.
        minutes: wall time instead.
        begun: what was chosen for a training that goes on from a backup; nothing is measured
            then, and nothing chosen anew.

    Raises:
        ValueError: the model was made for another number of symbols.
    """
    v, n = len(corpus.vocab), len(corpus.ids)
    precision = pick_precision(settings.precision, device, kind in MODELS)
    speed = 0.0
    if minutes and kind != "ngram" and not begun:
        measured = torch.tensor(training_speed(device, precision), device=device)
        speed = float(
            distributed.all_reduce_mean(measured)
        )  # so that all processes choose the same
    reading = defaults.choose_reading(n, epochs, minutes, speed, v)
    if model is None:
        timed = minutes is not None
        chosen = defaults.choose_model(kind, model_args, n, reading, v, timed=timed)
        if begun:
            chosen = {name: begun.get(name, x) for name, x in chosen.items()} | model_args
        model = build(kind, v, chosen, seed)
    elif vocab is not None and len(vocab) < v:
        model = model.extend(v, corpus.vocab.init_from(vocab))
    if model.vocab_size != v:
        expected = f"vocab_size must be the text's number of symbols, {v}. Received"
        raise ValueError(f"{expected}: a model with vocab_size={model.vocab_size}")
    width = model.config.get("hidden_size", 256)
    chosen = defaults.choose_training(n, reading, device.type, width)
    chosen |= {"precision": precision, "speed": speed}
    if begun:
        chosen = {name: begun.get(name, x) for name, x in chosen.items()}
    return model.to(device), chosen
