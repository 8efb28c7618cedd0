"""The loop: contiguous batches, truncated back-propagation through time, validation.

It knows ids, not text, and any model of the contract. It draws its random numbers from a
generator of its own, so that nothing a callback does changes the course of training.
"""

import math
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from textrnn.callbacks.backup import find_backup
from textrnn.callbacks.base import Callback, CallbackList
from textrnn.errors import NonFiniteError
from textrnn.evaluation.scoring import evaluate, metrics
from textrnn.history import History
from textrnn.models.base import LanguageModel
from textrnn.models.ngram import NGramModel
from textrnn.text.batching import ContiguousBatcher
from textrnn.training import distributed
from textrnn.training.device import ids_to_device
from textrnn.training.optim import OptimizerConfig
from textrnn.training.progress import Meter, Progress
from textrnn.training.run import Run, check_fit_arguments, fingerprint
from textrnn.training.signals import on_interrupt
from textrnn.training.threads import adaptive_threads
from textrnn.training.train_step import TrainStep

_LOWER = 4.0  # what the rates are divided by when a step was refused


class Trainer:
    """Trains any ``LanguageModel`` on the ids of one long text.

    On a CPU it uses as many threads as other programs leave cores free, and looks again once a
    second. With a seed and a number of epochs, or where ``OMP_NUM_THREADS`` is set, it uses as
    many as PyTorch does, because sums come out differently in the last bit for another number.

    Args:
        model: trained in place, on the device it is on.
        settings: how to optimise.
        seed: of the random numbers that training needs (dropout); None: others every time.

    Attributes:
        stop_training: set it to True to end training after the batch.

    Raises:
        ValueError: the learning rates do not fit the model's layer groups.

    >>> from textrnn import LSTMModel
    >>> ids = np.arange(3000) % 7
    >>> trainer = Trainer(LSTMModel(7, hidden_size=16), OptimizerConfig(learning_rate=0.03))
    >>> history = trainer.fit(ids, epochs=3, batch_size=4, seq_len=16)
    >>> history.history["loss"][-1] < history.history["loss"][0]
    True
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: OptimizerConfig | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        self.model, self.settings = model, settings or OptimizerConfig()
        counts = isinstance(model, NGramModel)
        self.learner = None if counts else TrainStep(model, self.settings, seed=seed)
        self._seed = seed
        self.stop_training = False

    @property
    def learning_rate(self) -> float:
        """The last layer group's rate at the schedule's peak; setting it scales all groups."""
        return self.learner.learning_rate if self.learner else 0.0

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.learner:
            self.learner.learning_rate = value

    def adopt(self, model: LanguageModel, origins: NDArray[np.int64]) -> None:
        """Go on with what ``self.model.extend(len(origins), origins)`` gave."""
        self.model = model
        if self.learner:
            self.learner.adopt(model, origins)

    def fit(
        self,
        ids: NDArray[Any],
        valid_ids: NDArray[Any] | None = None,
        *,
        epochs: int | None = None,
        seconds: float | None = None,
        batch_size: int = 32,
        seq_len: int = 64,
        callbacks: Iterable[Callback] = (),
        initial_epoch: int = 0,
        stateful: bool = True,
        chars_per_token: tuple[float, float] = (1.0, 1.0),
        owner: Any = None,
        history: History | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> History:
        """Train, for a number of epochs or for a time.

        Args:
            ids: (N,) integers, the text in training.
            valid_ids: (M,) integers, the text for validation after each epoch.
            epochs: the epoch to stop before, passes over ``ids`` where ``initial_epoch`` is 0.
            seconds: wall time instead, the last validation included. The schedule then follows
                the clock and reaches its end with it. A last epoch may be a part of one.
            batch_size: rows, over all processes together.
            seq_len: tokens a row goes on in a batch, and gradients flow back.
            callbacks: called as in Keras.
            initial_epoch: the number of the first epoch.
            stateful: whether a batch goes on from the state after the one before; without that
                each window is read as if it were a text of its own.
            chars_per_token: mean length of a token in the text in training and in the one for
                validation, for bits per character.
            owner: what callbacks see as ``self.model``, with the attributes of
                ``callbacks.Trainable``; this trainer if None.
            history: where the measurements go; a new one if None.
            facts: what else, besides the arguments here, must be the same for a training to go
                on from a backup.

        Returns:
            What was measured. ``loss`` is the mean over the epoch, while the model learns.

        Raises:
            NonFiniteError: a loss or gradient was infinite or NaN for the second time; the
                weights are those before that step. The first time the step is refused, the
                learning rate is divided by 4, and a warning says so.
            ValueError: a backup is of another training.
            torch.OutOfMemoryError: with the sizes, and what would need less.
        """
        check_fit_arguments(epochs, seconds, batch_size, seq_len, initial_epoch, callbacks)
        clock = Progress(seconds, 0 if valid_ids is None else len(valid_ids))
        owner = owner or self
        owner.stop_training = False
        batcher = self._batcher(ids, batch_size, seq_len, initial_epoch)
        steps = len(batcher) if batcher else 1
        hooks = CallbackList(callbacks, owner, epochs=epochs, steps=steps)
        learner, history = self.learner, History() if history is None else history
        backup = find_backup(callbacks)
        plan: dict[str, Any] = {"batch_size": batch_size, "seq_len": seq_len, "epochs": epochs}
        plan |= {"initial_epoch": initial_epoch, "stateful": stateful, "seed": self._seed}
        run = Run(owner, clock, hooks, valid_ids, chars_per_token, history, stateful, backup)
        if backup and learner:
            plan |= {"precision": learner.precision, **(facts or {})}
            run.identity = fingerprint(self.model, self.settings, (ids, valid_ids), **plan)
        repeatable = self._seed is not None and seconds is None
        adapts = learner is not None and learner.device.type == "cpu" and not repeatable
        mode = learner.training() if learner else nullcontext()
        with (
            adaptive_threads(adapts) as run.share_cores,
            mode,
            on_interrupt(run.interrupt),
            hooks.training(),
        ):
            if isinstance(self.model, NGramModel):
                self._count(self.model, ids, initial_epoch, run)
            elif learner is not None and batcher is not None:
                clock.start(steps * ((epochs or 0) - initial_epoch))
                run.restore(learner, batcher)
                forward = distributed.wrap(self.model)
                try:
                    stop = distributed.any_rank(run.ended, learner.device)
                    while not stop:
                        stop = self._epoch(learner, batcher, forward, run)
                except torch.OutOfMemoryError as error:
                    raise torch.OutOfMemoryError(
                        f"The device has too little memory for this model and batch ({error}). A "
                        "smaller batch_size or seq_len needs less. "
                        f"Received: batch_size={batch_size}, seq_len={seq_len}"
                    ) from None
        if backup and learner and run.stopped_by is None:
            backup.finish()
        history.stopped_by = run.stopped_by or ("callback" if owner.stop_training else None)
        return history

    def _batcher(
        self, ids: NDArray[Any], batch_size: int, seq_len: int, epoch: int
    ) -> ContiguousBatcher | None:
        if self.learner is None:  # a counting model
            return None
        rank, world_size = distributed.rank_and_world_size()
        batcher = ContiguousBatcher(
            ids_to_device(ids, self.learner.device),
            batch_size=batch_size,
            seq_len=seq_len,
            rank=rank,
            world_size=world_size,
        )
        batcher.epoch = epoch
        return batcher

    def _epoch(
        self, learner: TrainStep, batcher: ContiguousBatcher, forward: nn.Module, run: Run
    ) -> bool:
        """Go over the text once, or until the time is up or somebody stops it; validate.

        Returns whether training is over.
        """
        epoch, clock, hooks = batcher.epoch, run.clock, run.hooks
        hooks.call("on_epoch_begin", epoch, {})
        meter = Meter(learner.device)
        state, seconds = run.restore_epoch(learner, meter)
        began = time.perf_counter() - seconds
        whole = False
        for k, (x, y) in enumerate(batcher, batcher.state_dict()["batch"]):
            # A signal that comes after this waits for the next batch (an epoch has one at least);
            # in several processes all of them must end with the same one.
            stop = meter.tokens > 0 and distributed.any_rank(run.ended, learner.device)
            run.back_up(learner, (epoch, k), meter, state, time.perf_counter() - began)
            if stop:
                run.stopped_by = run.stopped_by or (None if run.ended else "interrupt")
                break
            hooks.call("on_train_batch_begin", k, {})
            rate = learner.set_rates(self.settings.factor(clock.progress))
            if run.enters_new_quarter() or not run.stateful:
                state = None
            loss, state = learner.step(x, y, state, forward)
            meter.add(loss, learner.gradient_norm, x.numel())
            clock.tick(x.numel())
            logs = {
                "loss": meter.mean if math.isfinite(meter.latest) else meter.latest,
                "gradient_norm": meter.gradient_norm,
                "learning_rate": rate,
                "progress": clock.progress,
                "tokens_per_second": clock.speed,
            }
            hooks.call("on_train_batch_end", k, logs)
            run.share_cores()
            if not math.isfinite(meter.latest) and not run.ended:
                self._lower_rate(learner, run, f"epoch {epoch + 1}, batch {k + 1}", meter.latest)
                state = None
        else:
            whole = True
        logs = metrics(float(distributed.all_reduce_mean(meter.read())), run.chars_per_token[0])
        logs |= self._validate(run)
        logs |= {
            "gradient_norm": meter.mean_gradient_norm(),
            "learning_rate": learner.rate,
            "seconds": time.perf_counter() - began,
        }
        run.history.append(epoch, logs)
        batcher.epoch = epoch + 1
        hooks.call("on_epoch_end", epoch, logs)
        stop = distributed.any_rank(run.ended, learner.device)
        if whole:
            run.back_up(learner, (epoch + 1, 0))
        return stop  # as it was before the backup, so that no signal falls between the two

    def _lower_rate(self, learner: TrainStep, run: Run, where: str, loss: float) -> None:
        """Answer the first step that was refused by a lower rate, and the second by an error."""
        refused = f"The loss or its gradient is not finite at {where}; the step was refused."
        peak = learner.learning_rate
        received = f"Received: loss {loss}, learning rate {peak:g} at its peak"
        if run.lowered:
            advice = "A lower learning rate or clip_norm helps as a rule."
            raise NonFiniteError(f"{refused} {advice} {received}")
        run.lowered = True
        learner.learning_rate = peak / _LOWER
        advice = f"Training goes on with {learner.learning_rate:g}."
        warnings.warn(f"{refused} {advice} {received}", stacklevel=5)

    def _validate(self, run: Run) -> dict[str, float]:
        if run.valid_ids is None:
            return {}
        run.hooks.call("on_test_begin", {})
        began = time.perf_counter()
        result = evaluate(self.model, run.valid_ids, chars_per_token=run.chars_per_token[1])
        run.clock.validated(time.perf_counter() - began)
        logs = {f"val_{name}": value for name, value in result.items()}
        run.hooks.call("on_test_end", logs)
        return logs

    def _count(self, model: NGramModel, ids: NDArray[Any], epoch: int, run: Run) -> None:
        """Let a counting model count: one epoch, no batches, no training loss."""
        began = time.perf_counter()
        run.hooks.call("on_epoch_begin", epoch, {})
        model.count(ids)
        logs = self._validate(run) | {"seconds": time.perf_counter() - began}
        run.history.append(epoch, logs)
        run.hooks.call("on_epoch_end", epoch, logs)
