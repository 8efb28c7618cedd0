"""The facade: a text in, a generator out. It joins the stations and contains no algorithm."""

import inspect
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from textrnn import recipe, saving
from textrnn.callbacks import Callback, ProgressBar
from textrnn.datasets import Text, read_text, split
from textrnn.device import pick_device
from textrnn.errors import (
    NotFittedError,
    UnsupportedFormatError,
    check_choice,
    check_int,
    check_keywords,
    named_arguments,
)
from textrnn.evaluation import evaluate, surprisals
from textrnn.history import History
from textrnn.models import MODELS, LanguageModel, build, kind_of, stepper_of
from textrnn.models.base import describe, rebuild, to_arrays
from textrnn.optim import LearningRate, Schedule, Settings
from textrnn.sampler import Speaker, Steps, read_model
from textrnn.trainer import Trainer, check_plan
from textrnn.vocab import LEVELS, Vocab

_log = logging.getLogger("textrnn")


class TextGenerator(Speaker):
    """Turns a text into a generator of texts like it.

    Nothing happens in the constructor. What is left open (the sizes of the model and of the
    batches, the learning rate) is chosen in ``fit`` from the text, and shown.

    Args:
        model: ``"lstm"``, ``"gru"``, ``"rnn"``, ``"ngram"``, or a ``LanguageModel`` of your own.
        level: ``"char"`` or ``"word"``: what a token is.
        device: ``"auto"`` (CUDA if there is one, then Apple's MPS, then the CPU), or a name.
        seed: at least 0; makes ``fit`` repeatable (on a CPU, with epochs rather than minutes).
        **model_args: arguments of the model's class, such as ``hidden_size=512``.

    Attributes:
        model: the ``LanguageModel``, a plain torch module; None before ``fit``.
        vocab: the ``Vocab``; None before ``fit``.
        history: the ``History`` of the last ``fit``.
        stop_training: set it to True in a callback to end training.

    Raises:
        TypeError: a model argument that the model's class does not take.
        ValueError: an unknown model, level or device.

    >>> from textrnn.datasets import load_human_numbers
    >>> gen = TextGenerator("ngram", order=4)
    >>> history = gen.fit(load_human_numbers(1, 500))
    >>> gen.generate("seventy o", 2, temperature=0)
    'seventy one'
    """

    def __init__(
        self,
        model: str | LanguageModel = "lstm",
        *,
        level: str = "char",
        device: str | torch.device = "auto",
        seed: int | None = None,
        **model_args: Any,
    ) -> None:
        check_choice("level", level, LEVELS)
        own = ("level", "device", "seed")
        if isinstance(model, LanguageModel):
            check_keywords("TextGenerator(model=<an instance>)", model_args, own)
            self.model: LanguageModel | None = model
        else:
            check_choice("model", model, MODELS)
            _, *allowed = inspect.signature(MODELS[model]).parameters
            check_keywords(f'TextGenerator("{model}")', model_args, [*own, *allowed])
            self.model = None
        if seed is not None:
            check_int("seed", seed, 0, 2**63 - 1)
        self.vocab: Vocab | None = None
        self.history = History()
        self.stop_training = False
        self.level, self.device, self.seed = level, pick_device(device), seed
        self._kind = model if isinstance(model, str) else kind_of(model)
        self._model_args = model_args
        self._settings: dict[str, Any] = {}
        self._trainer: Trainer | None = None

    @named_arguments
    def compile(
        self,
        *,
        optimizer: str = "adamw",
        learning_rate: LearningRate | None = None,
        weight_decay: float = 0.01,
        clip_norm: float | None = 1.0,
        schedule: str | Schedule = "one_cycle",
    ) -> None:
        """Say how to optimise; without it ``fit`` uses these defaults.

        Args:
            optimizer: ``"adamw"``, ``"adam"`` or ``"sgd"``.
            learning_rate: the schedule's peak: a float, or one a layer group as
                ``slice(lo, hi)``, list or dict; None to have it chosen.
            weight_decay: of the matrices, at least 0.
            clip_norm: the largest norm a gradient may have; None for no limit.
            schedule: ``"one_cycle"``, ``"cosine"``, ``"constant"``, or a function from progress
                in [0, 1] to a factor of the learning rate.

        Raises:
            TypeError, ValueError: a value is out of range. Whether the rates fit the model's
                layer groups shows in ``fit``.
        """
        settings: dict[str, Any] = {
            "optimizer": optimizer,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "schedule": schedule,
        }
        if learning_rate is not None:
            settings["learning_rate"] = learning_rate
        Settings(**settings)
        self._settings, self._trainer = settings, None

    @named_arguments
    def fit(
        self,
        text: Text,
        *,
        epochs: int | None = None,
        minutes: float | None = None,
        batch_size: int | None = None,
        seq_len: int | None = None,
        validation_split: float = 0.1,
        validation_data: Text | None = None,
        callbacks: Iterable[Callback] | None = None,
        initial_epoch: int = 0,
        verbose: str | int = "auto",
    ) -> History:
        """Learn from a text. A second call goes on from the weights.

        Args:
            text: a ``str`` is the text itself, a ``Path`` a UTF-8 file, a list holds documents.
            epochs: passes over the text; 10 if neither this nor ``minutes`` is given.
            minutes: wall time instead, everything included; the learning-rate schedule is
                sized to it.
            batch_size: rows of text read side by side; chosen if None.
            seq_len: tokens that gradients flow back; chosen if None.
            validation_split: the part of the text, at its end, that is kept for validation, in
                [0, 1); 0 for none.
            validation_data: a text for validation instead.
            callbacks: as in Keras; see ``textrnn.callbacks``.
            initial_epoch: number of the first epoch, to go on counting after an earlier ``fit``.
            verbose: 0 is silent, 1 draws a progress bar, 2 writes a line an epoch, both to
                standard error; "auto" is 1 in a terminal and 2 elsewhere.

        Returns:
            The ``History``, with ``loss`` and ``val_loss`` (nats per token), ``bits_per_char``,
            ``perplexity``, ``learning_rate`` and ``seconds`` of each epoch.

        Raises:
            DataError: the text is empty, too short, not UTF-8, or a str that names a file.
            UnknownTokenError: an earlier ``fit`` did not see a symbol of this text.
            NonFiniteError: the loss became infinite or NaN; the weights are the last good ones.
        """
        began = time.perf_counter()
        if epochs is None and minutes is None:
            epochs = recipe.EPOCHS
        callbacks = () if callbacks is None else callbacks
        check_plan(epochs, minutes, batch_size, seq_len, initial_epoch, callbacks)
        check_choice("verbose", verbose, ("auto", 0, 1, 2))
        text = read_text(text)
        valid_text = None if validation_data is None else read_text(validation_data)
        joint = "" if self.level == "char" else "\n"  # two words must not become one
        whole = text if valid_text is None else text + joint + valid_text
        vocab = self.vocab or Vocab.from_text(whole, self.level, **recipe.choose_vocab(self.level))
        all_ids, valid_ids = vocab.encode(text), vocab.encode(valid_text or "")
        ids, valid_ids = split(all_ids, validation_split, valid_ids if valid_text else None)
        model = self._prepare(vocab, len(ids))
        chosen = recipe.choose_training(len(ids), self.device.type)
        if self._trainer is None:
            settings = Settings(**{"learning_rate": chosen["learning_rate"], **self._settings})
            self._trainer = Trainer(model, settings, seed=self.seed)
        self.vocab, self.model = vocab, model
        batch_size, seq_len = batch_size or chosen["batch_size"], seq_len or chosen["seq_len"]
        sizes = {"batch_size": batch_size, "seq_len": seq_len}
        headline = recipe.headline(model, len(ids), len(valid_ids), self.learning_rate, sizes)
        _log.info(headline)
        level = (1 if sys.stderr.isatty() else 2) if verbose == "auto" else verbose
        bars = [ProgressBar(headline, bar=level == 1)] if level else []
        ratio = valid_ratio = len(text) / len(all_ids)
        if valid_text is not None:
            valid_ratio = len(valid_text) / len(valid_ids)
        self.history = History()
        return self._trainer.fit(
            ids,
            valid_ids if len(valid_ids) else None,
            epochs=epochs,
            seconds=minutes and max(60 * minutes - (time.perf_counter() - began), 1e-3),
            callbacks=[*bars, *callbacks],
            initial_epoch=initial_epoch,
            chars_per_token=(ratio, valid_ratio),
            owner=self,
            history=self.history,
            **sizes,
        )

    def _prepare(self, vocab: Vocab, tokens: int) -> LanguageModel:
        """Give the model that is there, or build the one that was asked for."""
        model = self.model
        if model is None:
            chosen = {} if self._kind == "ngram" else recipe.choose_model(tokens, len(vocab))
            model = build(self._kind, len(vocab), {**chosen, **self._model_args}, self.seed)
        if model.vocab_size != len(vocab):
            raise ValueError(
                f"The model's vocab_size must be the number of symbols in the text, {len(vocab)}. "
                f"Received: a model with vocab_size={model.vocab_size}"
            )
        return model.to(self.device)

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
        """Give the surprisal of every token, for a heat map of what the model finds odd.

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
        """Give a table of the model's layer groups, tensors, shapes and parameter counts."""
        vocab, model = self._fitted()
        return f"{vocab}, on {self.device}\n{describe(model)}"

    @property
    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """The model's parts from input to output, each with its parameters."""
        return self._fitted()[1].layer_groups()

    def save(self, path: str | Path) -> None:
        """Write everything needed to generate, evaluate and go on training to one file.

        Args:
            path: the file, ``.safetensors`` by custom. One that exists is replaced at once and
                as a whole. The optimiser's moments are not in it: ``fit`` starts them anew.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            OSError: the file cannot be written; what was there before still is.
        """
        vocab, model = self._fitted()
        header = {
            "kind": kind_of(model),
            "model": model.config,
            "vocab": vocab.to_config(),
            "history": self.history.to_config(),
        }
        saving.save(path, header, to_arrays(model))

    @classmethod
    @named_arguments
    def load(
        cls,
        path: str | Path,
        device: str | torch.device = "auto",
        *,
        model_class: type[LanguageModel] | None = None,
    ) -> "TextGenerator":
        """Read a file that ``save`` wrote. It executes nothing from the file.

        Args:
            path: the file.
            device: where the model goes, whatever device it was trained on.
            model_class: your own model class, if the file holds one; it is built with the
                file's config.

        Raises:
            UnsupportedFormatError: not a model file, one by a newer textrnn, or one that holds
                a class of its author's own.
            CorruptModelError: the file is damaged.
            OSError: it cannot be read.
        """
        header, vocab, history, tensors = read_model(path)
        kind = header["kind"]
        if model_class is None and kind not in MODELS:
            raise UnsupportedFormatError(
                f"The file holds a model class of its author's own, {kind!r:.60}; pass it as "
                f"`model_class`. Received: {str(path)!r}"
            )
        model = rebuild(model_class or MODELS[kind], header["model"], tensors)
        gen = cls(model, level=vocab.level, device=device)
        gen.vocab, gen.model = vocab, model.to(gen.device)
        gen.history = history
        return gen

    @property
    def learning_rate(self) -> float:
        """The peak learning rate of the last layer group; setting it scales all groups."""
        return self._trainer.learning_rate if self._trainer else 0.0

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self._trainer is None:
            raise NotFittedError("There is no training yet; compile(learning_rate=...) sets it.")
        self._trainer.learning_rate = value

    def _fitted(self) -> tuple[Vocab, LanguageModel]:
        if self.vocab is None or self.model is None:
            raise NotFittedError(
                "This TextGenerator has learnt nothing yet: call fit(text) first, or use "
                "TextGenerator.load(path)."
            )
        return self.vocab, self.model

    def _voice(self) -> tuple[Vocab, Steps]:
        vocab, model = self._fitted()
        return vocab, stepper_of(model)
