"""From a corpus to a plan and a model to train."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch

from textrnn.models.base import LanguageModel
from textrnn.models.contract import check_contract
from textrnn.models.registry import ModelSpec, accepted, build, family_of
from textrnn.text.corpus import Corpus
from textrnn.text.tokenizer import Tokenizer
from textrnn.training.defaults import choose_plan
from textrnn.training.fingerprint import Origin
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import FitArguments, Plan
from textrnn.training.trainer import Trainer

_RATE = 3e-3  # if nothing chose a learning rate


@dataclass(frozen=True)
class Setup:
    """Holds what the user chose before ``fit``, and applies it to a corpus.

    Args:
        model: a name or a class, for a new model.
        model_args: the arguments of it that the user chose.
        device: where it is trained.
        seed: of its initial weights and of training.
        config: how to optimise.
    """

    model: ModelSpec
    model_args: Mapping[str, Any]
    device: torch.device
    seed: int | None
    config: OptimizerConfig

    def plan(
        self,
        corpus: Corpus,
        asked: FitArguments,
        began: float,
        *,
        model: LanguageModel | None = None,
        saved: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Return the plan for training on a corpus.

        Args:
            corpus: the text.
            asked: what the caller of ``fit`` chose.
            began: when ``asked.minutes`` began, by ``time.perf_counter``.
            model: the existing model; None for a new one.
            saved: the plan of an earlier run, to be followed.
        """
        if saved is not None:
            plan = Plan.from_config(saved).with_arguments(asked, self.model_args)
            # of another model: the backup will be refused, with all that differs
            return replace(plan, model_args=accepted(self.model, plan.model_args))
        return choose_plan(
            corpus,
            len(corpus.vocab or ()),
            asked,
            model=model or self.model,
            model_args=self.model_args,
            precision=self.config.precision,
            device=self.device,
            began=began,
        )

    def config_for(self, plan: Plan) -> OptimizerConfig:
        """Return how to optimise, with the plan's learning rate if the user chose none."""
        return self.config.with_rate(plan.learning_rate or _RATE)

    def model_for(
        self, corpus: Corpus, plan: Plan, model: LanguageModel | None, vocab: Tokenizer | None
    ) -> LanguageModel:
        """Return a model for a corpus: a new one, the existing one, or that one extended.

        Args:
            corpus: the text to train on.
            plan: has the arguments of a new model.
            model: the existing model; None for a new one.
            vocab: the existing model's vocabulary; that of the corpus may be larger.

        Raises:
            ValueError: ``vocab_size`` of the model differs from the corpus's vocabulary, or its
                class breaks the contract.
        """
        size, is_new = len(corpus.vocab or ()), model is None or vocab is None
        if model is None:
            model = build(self.model, size, plan.model_args, self.seed)
        elif vocab is not None and corpus.vocab is not None and len(vocab) < size:
            model = model.extend(size, corpus.vocab.init_from(vocab))
        if model.vocab_size != size:
            raise ValueError(
                "The model's vocab_size must be the number of tokens in the vocabulary, "
                f"{size}. Received: a model with vocab_size={model.vocab_size}"
            )
        model = model.to(self.device)
        if is_new and family_of(model) is None:
            check_contract(model)
        return model

    def trainer_for(
        self,
        corpus: Corpus,
        plan: Plan,
        origin: Origin,
        trainer: Trainer | None,
        model: LanguageModel | None,
        vocab: Tokenizer | None,
    ) -> Trainer:
        """Return a trainer of the model for a corpus; the existing trainer is not changed.

        Args:
            corpus: the text to train on.
            plan: how to train.
            origin: what the trainings of this model begin from.
            trainer: the one of the last ``fit``, whose optimiser is used again.
            model: the existing model.
            vocab: the existing model's vocabulary.

        Raises:
            ValueError: as ``model_for``.
        """
        next_model = self.model_for(corpus, plan, model, vocab)
        if trainer is None:
            return Trainer(next_model, self.config_for(plan), seed=self.seed, origin=origin)
        trainer = copy(trainer)
        if next_model is not model and vocab is not None and corpus.vocab is not None:
            trainer.replace_model(next_model, corpus.vocab.init_from(vocab))
        return trainer
