"""Defaults for what the user left open, chosen from the text, the time and the device."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from textrnn.checks import check_int
from textrnn.models.base import LanguageModel
from textrnn.models.registry import ModelSpec, family_of, part_families
from textrnn.text.corpus import Corpus
from textrnn.text.pieces import blocks
from textrnn.text.remarks import remarks
from textrnn.training import distributed
from textrnn.training.device import pick_precision
from textrnn.training.plan import FitArguments, Plan
from textrnn.training.threads import training_speed

EPOCHS = 10
"""Passes over the text if neither epochs nor minutes are given."""

_MANY = 1000  # tokens in a vocabulary: more than an alphabet has


def choose_plan(
    corpus: Corpus,
    vocab_size: int,
    asked: FitArguments,
    *,
    model: ModelSpec | LanguageModel,
    model_args: Mapping[str, Any],
    precision: str,
    device: torch.device,
    began: float,
) -> Plan:
    """Return everything that ``fit`` decides before the first step.

    Args:
        corpus: the text.
        vocab_size: V.
        asked: what the caller of ``fit`` chose.
        model: a name in ``MODELS`` or a class, for a new model; or the existing model.
        model_args: the arguments of a new model that the user chose.
        precision: as in ``OptimizerConfig``.
        device: where the model is trained.
        began: when ``asked.minutes`` began, by ``time.perf_counter``.
    """
    precision = pick_precision(precision, device, family_of(model) is not None)
    speed, minutes = 0.0, asked.minutes
    if minutes and (not isinstance(model, LanguageModel) or model.learns_by_gradient):
        fast, spent = training_speed(device, precision), (time.perf_counter() - began) / 60
        measured = torch.tensor([fast, spent], device=device)  # spent on reading the text
        speed, spent = distributed.all_reduce_mean(measured).tolist()  # all choose the same
        minutes = max(minutes - spent, minutes / 10)
    tokens = len(corpus.ids)
    budget = estimate_tokens(tokens, asked.epochs, minutes, speed, vocab_size)
    timed = asked.minutes is not None
    if isinstance(model, LanguageModel):
        parts = [m for m in model.modules() if isinstance(m, LanguageModel)]
        chosen = dict[str, Any]()
        width = max((part.config.get("hidden_size", 0) for part in parts), default=0) or 256
    else:
        chosen = choose_model_args(model, model_args, tokens, budget, vocab_size, timed=timed)
        width = check_int("hidden_size", chosen.get("hidden_size", 256), 1)
    sizes = choose_batch(tokens, budget, device.type, width)
    sizes |= {n: size for n in ("batch_size", "seq_len") if (size := getattr(asked, n))}
    return Plan(
        epochs=asked.epochs,
        minutes=asked.minutes,
        initial_epoch=asked.initial_epoch,
        stateful=asked.stateful,
        validation_freq=asked.validation_freq,
        precision=precision,
        speed=speed,
        model_args=chosen,
        began=began,
        **sizes,
    )


def estimate_tokens(
    tokens: int, epochs: int | None, minutes: float | None, speed: float, vocab_size: int
) -> int:
    """Return how many tokens a model of width 256 would read in training, over all epochs.

    Args:
        tokens: the length of the text to train on.
        epochs: passes over it, or None.
        minutes: wall time instead.
        speed: tokens per second that ``training_speed`` measured.
        vocab_size: V; a large softmax takes longer.
    """
    if epochs is not None:
        return tokens * epochs
    slower = _cost(256, 65) / _cost(256, vocab_size)
    return int(60 * (minutes or 0) * 0.8 * speed * slower)  # optimiser, dropout and validation


def choose_model_args(
    model: ModelSpec,
    given: Mapping[str, Any],
    tokens: int,
    budget: int,
    vocab_size: int,
    *,
    timed: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a new model for a text of so many tokens.

    The more tokens it will read, the wider the model should be. The more epochs it makes, the more
    dropout it needs against overfitting; with very many, also on the recurrent weights
    (``weight_drop``, Merity et al. 2018). With a large vocabulary and little text it learns more
    if the embeddings are the output weights too (``tie_weights``). A model that is not recurrent
    keeps its class's defaults. Counts beside it look back 8 tokens, 4 where these are words: no
    order is better by more than 0.004 nats on any of our corpora. ``benchmarks/RESULTS.md`` has
    the measurements behind this.

    Args:
        model: a name in ``MODELS``, or a class.
        given: the arguments that the user chose.
        tokens: the length of the text to train on.
        budget: how many tokens a model of width 256 would read (``estimate_tokens``).
        vocab_size: V.
        timed: whether training ends by time; a wider model then reads less.
    """
    families = part_families(model)
    if not any(family and family.sized_by_text for family in families):
        return dict(given)
    many = vocab_size > _MANY
    epochs = budget / max(tokens, 1)
    # Where width 384 would soon overfit, use 512 and fewer epochs.
    wide = 25_000_000 if timed and 30 < epochs < 100 else 40_000_000
    hidden = 256 if budget < 9_000_000 else 384 if budget < wide else 512
    each = {h: epochs * _cost(256, vocab_size) / _cost(h, vocab_size) for h in (512, 384, 256)}
    if many:  # the widest that reads the text three times; see below
        hidden = next((h for h, n in each.items() if timed and n >= _READINGS), 256)
    if timed:
        epochs = each[hidden]
    # The wider the model, or the rarer the tokens, the sooner it overfits.
    overfitting = epochs * hidden / 256 * (2 if many else 1)
    dropout = next(p for p, most in _DROPOUT if overfitting < most)
    weight_drop = 0.0 if epochs < 20 else 0.2 if epochs < 40 else 0.4
    if many and epochs > 6:
        dropout, weight_drop = 0.5, 0.4
    chosen: dict[str, Any] = {"hidden_size": hidden, "dropout": dropout, "weight_drop": weight_drop}
    if many and not {"embedding_dim", "input"} & set(given):
        chosen["tie_weights"] = True
    if any(family and family.name == "ngram" for family in families):
        chosen["order"] = 5 if many else 9
    return {**chosen, **given}


_READINGS = 3
"""How often a model of a large vocabulary should read the text, before a narrower one is better.

Measured on 39,569 characters of the Book of Songs, 2,798 different ones, in val_loss. In 40
CPU-seconds: width 512 (5 epochs) 5.445, 256 (16) 5.549, 192 (24) 5.585, 128 (23) 5.571. In 14 to
20: 512 (2) 5.639, 384 (4) 5.521, 256 (6) 5.508, 192 (9) 5.513, 128 (9) 5.561. On 600 kB of Anna
Karenina as words 256 (2) had 4.516 and 128 (2) 4.945.
"""

_DROPOUT = ((0.1, 7), (0.25, 13), (0.4, 20), (0.5, float("inf")))
"""The dropout to use while ``overfitting``, in epochs at width 256, is below the second number."""


def choose_batch(
    tokens: int, budget: int, device_type: str, hidden_size: int = 256
) -> dict[str, Any]:
    """Return batch size, sequence length and peak learning rate.

    On a CPU small batches learn most per second, and with little time or text even smaller ones.
    A GPU needs many rows to be busy.
    """
    if device_type == "cpu":
        rows = 16 if budget < 3_000_000 or tokens < 300_000 else 32
        rate = min(0.01, round(2.56 / hidden_size, 4))
        return {"batch_size": rows, "seq_len": 64, "learning_rate": rate}
    return {"batch_size": 128, "seq_len": 128, "learning_rate": 8e-3}


def first_lines(
    model: LanguageModel,
    corpus: Corpus,
    plan: Plan,
    saved: Mapping[str, Any] | None = None,
    *,
    is_new: bool = True,
) -> str:
    """Return what ``fit`` says first: the headline, and what is wrong with the text, if anything.

    Args:
        model: what is trained.
        corpus: the text.
        plan: how to train.
        saved: the plan of a backup, if one is resumed; its text was spoken of before.
        is_new: whether the model has not learned from another text.
    """
    line = headline(model, corpus, plan, resumes=saved is not None)
    return "\n".join([line, *remarks(corpus, is_new=is_new)]) if saved is None else line


def headline(model: LanguageModel, corpus: Corpus, plan: Plan, *, resumes: bool = False) -> str:
    """Return one line about the model (leaving out what is off), the text and the plan."""
    parts = [describe(part) for part in getattr(model, "models", [model])]
    valid = 0 if corpus.valid_ids is None else len(corpus.valid_ids)
    line = f"{corpus.documents}; " if corpus.documents else ""
    line += f"{' + '.join(parts)}: {len(corpus.ids):,} tokens to train on, "
    line += f"{valid:,} to validate on"
    if parameters := list(model.parameters()):
        line += f"; {sum(p.numel() for p in parameters):,} parameters on {parameters[0].device}, "
        names = ("learning_rate", "batch_size", "seq_len")
        line += ", ".join(f"{name}={getattr(plan, name):g}" for name in names)
        if plan.precision != "float32":
            line += f", precision={plan.precision}"
    if rare := _rare_characters(corpus):
        line += (
            f"; {rare:,} of {model.vocab_size:,} characters occur once or twice: "
            "vocab=Vocab.from_text(text, min_freq=3) or --min-freq 3 leaves them out"
        )
    return f"{line}; resumes from a backup" if resumes else line


def _rare_characters(corpus: Corpus) -> int:
    """Return how many characters occur once or twice, or 0 where those are few.

    >>> from textrnn.text.vocab import Vocab
    >>> _rare_characters(Corpus(range(60), vocab=Vocab(map(chr, range(65, 125)))))
    60
    """
    vocab = corpus.vocab
    if vocab is None or vocab.name != "char" or vocab.unk_id is not None:
        return 0
    size = len(vocab)
    counts = np.zeros(size, dtype=np.int64)
    for ids in (part for part in (corpus.ids, corpus.valid_ids) if part is not None):
        for part in blocks(ids):
            counts += np.bincount(part, minlength=size)
    rare = int((counts <= 2).sum())
    return rare if rare > max(20, size // 4) else 0


def describe(model: LanguageModel) -> str:
    """Return a model's class and arguments, leaving out what is off.

    >>> from textrnn import NGramModel
    >>> describe(NGramModel(65, order=3))
    'NGramModel(vocab_size=65, order=3, smoothing=kneser_ney)'
    """
    settings = {name: value for name, value in model.config.items() if value not in (False, 0)}
    config = ", ".join(f"{name}={value}" for name, value in settings.items())
    return f"{type(model).__name__}({config})"


def _cost(hidden_size: int, vocab_size: int) -> int:
    """Return the multiplications of an LSTM's forward pass per token."""
    width = 64 if vocab_size <= _MANY else hidden_size
    return 4 * hidden_size * (width + hidden_size) + hidden_size * vocab_size
