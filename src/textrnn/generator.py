"""The facade: a text in, a generator out. It joins the packages and contains no algorithm."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from textrnn.callbacks.base import Callback, check_callbacks
from textrnn.callbacks.report import VERBOSE, progress
from textrnn.checks import check_choice, check_int, named_arguments, plain
from textrnn.errors import NotFittedError, UnsupportedFormatError
from textrnn.files import model_file
from textrnn.generation.decoding import SupportsStepping
from textrnn.generation.loading import DOCUMENTS, document_tensors, read_model, tokenizer_header
from textrnn.generation.sampler import GenerationMixin
from textrnn.history import History
from textrnn.inspection.inspectable import Inspectable
from textrnn.models import LanguageModel
from textrnn.models.arrays import from_arrays, state_arrays
from textrnn.models.registry import (
    MODELS,
    ModelSpec,
    check_arguments,
    make_stepper,
    model_type_of,
)
from textrnn.text.corpus import Corpus, read_corpus
from textrnn.text.levels import LEVELS
from textrnn.text.novelty import join_hashes
from textrnn.text.sources import Text
from textrnn.text.tokenizer import Tokenizer, check_tokenizer
from textrnn.training import defaults
from textrnn.training.device import pick_device
from textrnn.training.fingerprint import Origin
from textrnn.training.lock import TrainingLock
from textrnn.training.lr_finder import SuggestedLRs, lr_find
from textrnn.training.optim import LearningRate, MakeOptimizer, OptimizerConfig
from textrnn.training.plan import FitArguments
from textrnn.training.prepare import Setup
from textrnn.training.schedules import Schedule
from textrnn.training.trainer import Trainer


class TextGenerator(GenerationMixin, Inspectable):
    """Learns from a text and generates more text like it.

    The constructor does no work. ``fit`` chooses from the text what you leave open, and shows it.

    Args:
        model: ``"lstm"``, ``"gru"``, ``"rnn"``, ``"window_rnn"``, ``"window_mlp"``, ``"ngram"``,
            some joined by "+", a ``"mixture"``; a ``LanguageModel`` class or instance.
        level: what a token is, as in ``Vocab``, if no ``vocab`` is passed.
        vocab: your own tokenizer; it is used as it is and not extended.
        device: ``"auto"`` (CUDA if there is one, then Apple's MPS, then the CPU), or a name.
        seed: at least 0; makes ``fit`` repeatable (on a CPU, with epochs rather than minutes).
        **model_args: arguments of the model's class, such as ``hidden_size=512``.

    Attributes:
        model: the ``LanguageModel``, a plain torch module; None before ``fit``.
        vocab: the tokenizer, a ``Vocab``; None before ``fit`` unless it was passed.
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
        model: ModelSpec | LanguageModel = "lstm+ngram",
        *,
        level: str = "char",
        vocab: Tokenizer | None = None,
        device: str | torch.device = "auto",
        seed: int | None = None,
        **model_args: Any,
    ) -> None:
        check_choice("level", level, LEVELS)
        check_tokenizer("vocab", vocab)
        check_arguments(model, model_args, ("level", "vocab", "device", "seed"))
        self.model = model if isinstance(model, LanguageModel) else None
        self.vocab = vocab
        self.history, self._hashes, self.stop_training = History(), None, False
        self.level = level if vocab is None else vocab.name
        self.device = pick_device(device)
        self.seed = None if seed is None else check_int("seed", seed, 0, 2**63 - 1)
        spec = type(model) if isinstance(model, LanguageModel) else model
        self._setup = Setup(spec, plain(model_args), self.device, self.seed, OptimizerConfig())
        self._trainer: Trainer | None = None
        self._origin = Origin()
        self._extends = False  # a vocabulary that was passed stays as it is
        self._lock = TrainingLock("TextGenerator")

    @named_arguments
    def compile(
        self,
        *,
        optimizer: str | MakeOptimizer = "adamw",
        learning_rate: LearningRate | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = 1.0,
        schedule: str | Schedule = "one_cycle",
        precision: str = "auto",
    ) -> None:
        """Set how to optimise; without it ``fit`` uses these defaults.

        Args:
            optimizer: ``"adamw"``, ``"adam"``, ``"sgd"``, a torch optimiser class, or a function
                from parameter groups to an optimiser.
            learning_rate: the schedule's peak: a float, or one rate per layer group as
                ``slice(lo, hi)``, list or dict; None lets ``fit`` choose.
            weight_decay: of the matrices, at least 0; None is 0.01 for "adamw", 0 for others.
            clip_norm: the largest norm of the gradients; None for no limit.
            schedule: ``"one_cycle"``, ``"cosine"``, ``"cosine_restarts"``, ``"step_decay"``,
                ``"constant"``, or a function from progress to a factor (``textrnn.schedules``).
            precision: of matrix products: ``"float32"``, ``"bfloat16"``, ``"float16"``, or "auto":
                float16 on CUDA, bfloat16 on CPUs made for it, else (custom models too) float32.

        Raises:
            TypeError, ValueError: a value is out of range. ``fit`` checks the layer groups.
        """
        config = OptimizerConfig(
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            schedule=schedule,
            precision=precision,
        )
        self._setup = replace(self._setup, config=config)
        self._trainer = None

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
        cache: str | Path | None = None,
        callbacks: Iterable[Callback] | None = None,
        initial_epoch: int = 0,
        stateful: bool = True,
        validation_freq: int = 1,
        verbose: str | int = "auto",
    ) -> History:
        """Learn from a text. A second call continues from the weights.

        A second call, or a call after ``load``, adds new tokens of the text to the vocabulary.
        They start with the weights of a similar token or the mean; known tokens keep theirs.

        Args:
            text: a ``str`` is the text itself, a ``Path`` a UTF-8 file, a list holds documents.
            epochs: passes over the text; 10 if neither this nor ``minutes`` is given.
            minutes: wall time instead, everything included; the learning-rate schedule fits it.
            batch_size: rows of text read side by side; chosen if None.
            seq_len: the length of back-propagation through time, in tokens; chosen if None.
            validation_split: the part held out, in [0, 1): a text's end, or random documents.
            validation_data: a text for validation instead.
            cache: where the ids of a ``Path`` are kept, "FILE.bin", and read from the next time.
            callbacks: as in Keras; see ``textrnn.callbacks``.
            initial_epoch: the number of the first epoch, to continue counting.
            stateful: whether the state is carried from window to window in training.
            validation_freq: validate after so many epochs, and after the last one.
            verbose: 0 is silent, 1 draws a bar, 2 writes lines; "auto" is 1 in a terminal, else 2.

        Returns:
            The ``History``: ``loss`` and ``val_loss`` (nats per token) of each epoch, and more.

        Raises:
            DataError: the text is empty, too short, not UTF-8, or a str that names a file.
            UnknownTokenError: ``vocab`` was passed and does not hold a token of the text.
            NonFiniteError: the loss became infinite or NaN; the weights are the last good ones.
            RuntimeError: another thread is training this generator.
            ValueError: a backup (``BackupAndRestore``) belongs to a different run.
        """
        began = time.perf_counter()
        asked = FitArguments(
            epochs=defaults.EPOCHS if epochs is None and minutes is None else epochs,
            minutes=minutes,
            batch_size=batch_size,
            seq_len=seq_len,
            initial_epoch=initial_epoch,
            stateful=plain(stateful),
            validation_freq=validation_freq,
        )
        callbacks = [] if callbacks is None else callbacks
        check_callbacks(callbacks)
        check_choice("verbose", verbose, VERBOSE)
        with self._lock.training():
            corpus = self._read(text, validation_split, validation_data, cache)
            saved = next((found for c in callbacks if (found := c.saved_plan())), None)
            plan = self._setup.plan(corpus, asked, began, model=self.model, saved=saved)
            was_trained = self.vocab is not None and self.model is not None
            before = dict(vars(self))
            known = self._trainer, self.model, self.vocab
            trainer = self._setup.trainer_for(corpus, plan, self._origin, *known)
            self._extends |= self.vocab is None
            self.vocab, self.model, self._trainer = corpus.vocab, trainer.model, trainer
            self._hashes = join_hashes(self._hashes, corpus.hashes)
            plan = replace(plan, learning_rate=trainer.learning_rate)
            self.history = History()
            self.history.params = {**plan.to_params(), "seed": self.seed}
            lines = defaults.first_lines(trainer.model, corpus, plan, saved, is_new=not was_trained)
            shown = [*progress(verbose, lines, from_start=was_trained), *callbacks]
            try:
                return trainer.fit(corpus, plan, shown, history=self.history, callback_model=self)
            except BaseException:
                if not trainer.begun:
                    vars(self).update(before)
                raise

    @named_arguments
    def lr_find(
        self,
        text: Text,
        *,
        batch_size: int | None = None,
        seq_len: int | None = None,
        steps: int = 100,
    ) -> SuggestedLRs:
        """Train a copy at ever higher learning rates until it diverges; suggest a good one.

        Args:
            text: what ``fit`` will get.
            batch_size: as in ``fit``.
            seq_len: as in ``fit``.
            steps: how many rates to try, at least 2, from 1e-6 to 1.

        Returns:
            The suggestions ``valley``, ``steep`` and ``minimum``, and ``plot()``. Pass one of
            them to ``compile(learning_rate=...)``.

        Raises:
            DataError: as ``fit``.
            ValueError: the model learns by counting, or an argument is out of range.
        """
        asked = FitArguments(epochs=defaults.EPOCHS, batch_size=batch_size, seq_len=seq_len)
        with self._lock.reading():
            corpus = self._read(text)
            plan = self._setup.plan(corpus, asked, time.perf_counter(), model=self.model)
            return lr_find(
                self._setup.model_for(corpus, plan, self.model, self.vocab),
                corpus.epoch_ids(0),
                self._setup.config_for(plan),
                batch_size=plan.batch_size,
                seq_len=plan.seq_len,
                steps=steps,
                seed=self.seed,
            )

    def _read(self, text: Text, *how: Any) -> Corpus:
        return read_corpus(text, self.level, self.vocab, self._extends, self.seed, *how)

    def save(self, path: str | Path) -> None:
        """Write everything needed to generate, evaluate and train further to one file.

        Args:
            path: the file, usually ``.safetensors``. An existing model is replaced atomically.
                The optimiser's moments are not saved: ``fit`` starts them anew.

        Raises:
            NotFittedError: there was no ``fit`` yet.
            OSError: the file cannot be written, or is not a textrnn model; it stays as it was.
        """
        with self._reading() as (vocab, model):
            header = {"kind": model_type_of(model), "model": model.config}
            header |= {**tokenizer_header(vocab), "history": self.history.to_config()}
            model_file.save(path, header, state_arrays(model) | document_tensors(self._hashes))

    @classmethod
    @named_arguments
    def load(
        cls,
        path: str | Path,
        device: str | torch.device = "auto",
        *,
        model_class: type[LanguageModel] | None = None,
        tokenizer_class: type[Tokenizer] | None = None,
    ) -> "TextGenerator":
        """Load a file that ``save`` wrote. It executes nothing from the file.

        Args:
            path: the file.
            device: where the model goes, whichever device it was trained on.
            model_class: your own model class, if the file holds one; it is built with the
                file's config.
            tokenizer_class: your own tokenizer class, likewise.

        Raises:
            UnsupportedFormatError: not a model file, one by a newer textrnn, or one with a custom
                class that was not passed.
            CorruptModelError: the file is damaged.
            OSError: it cannot be read.
        """
        header, vocab, history, tensors = read_model(path, tokenizer_class)
        kind, hashes = header["kind"], tensors.pop(DOCUMENTS, None)
        if model_class is None and kind not in MODELS:
            message = f"The file holds a custom model class, {kind!r:.60}; pass it as `model_class`"
            raise UnsupportedFormatError(f"{message}. Received: {str(path)!r}")
        model = from_arrays(model_class or MODELS[kind], header["model"], tensors)
        gen = cls(model, vocab=vocab, device=device)
        gen.model = model.to(gen.device).eval()
        gen.history, gen._origin, gen._extends = history, Origin(loaded=True), True
        gen._hashes = hashes
        return gen

    @property
    def learning_rate(self) -> float | None:
        """The peak learning rate of the last layer group; setting it scales all groups.

        Before ``fit``, or for a model that only counts, it is the one that ``compile`` was given.
        """
        if self._trainer is not None:
            return self._trainer.learning_rate
        rate = self._setup.config.learning_rate
        return float(rate) if isinstance(rate, int | float) else None

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self._trainer is None:
            raise NotFittedError("There was no fit yet; compile(learning_rate=...) sets it.")
        self._trainer.learning_rate = value

    @contextmanager
    def _reading(self) -> Iterator[tuple[Tokenizer, LanguageModel]]:
        with self._lock.reading():
            if self.vocab is None or self.model is None:
                message = "This TextGenerator has learned nothing yet: call fit(text) first, or"
                raise NotFittedError(f"{message} use TextGenerator.load(path).")
            yield self.vocab, self.model

    def _tokenizer_and_stepper(self) -> tuple[Tokenizer, SupportsStepping]:
        with self._reading() as (vocab, model):
            return vocab, make_stepper(model)
