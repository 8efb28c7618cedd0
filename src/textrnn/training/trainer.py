"""The training loop: contiguous batches, truncated back-propagation through time, validation.

It knows ids, not text, and any model that keeps the contract. It draws random numbers from its own
generator, so that no callback can change the course of training.
"""

import copy
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from textrnn.callbacks.base import Callback, CallbackList, check_callbacks
from textrnn.errors import NotFittedError
from textrnn.evaluation import metrics
from textrnn.history import History
from textrnn.models.base import LanguageModel
from textrnn.text.corpus import Corpus
from textrnn.text.held_out import hold_out
from textrnn.training import distributed
from textrnn.training.fingerprint import Origin, fingerprint
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.progress import Progress
from textrnn.training.signals import deliver_again, on_interrupt
from textrnn.training.state import TrainState, new_progress, new_state
from textrnn.training.threads import INTERVAL, adaptive_threads
from textrnn.training.train_step import TrainStep
from textrnn.training.validation import Validation, names

_METRICS = tuple(metrics(0.0))
_NO_PLAN = Plan(epochs=1)  # before the first fit


class Trainer:
    """Trains any ``LanguageModel`` on the ids of one long text.

    A model first counts what it learns by counting; if it has parameters, it is then trained by
    gradients. On a CPU training uses as many threads as there are free cores, and counts them
    again once a second. With a seed and a number of epochs, or if ``OMP_NUM_THREADS`` is set, it
    uses PyTorch's number of threads, because sums in another number differ in the last bit.

    Args:
        model: trained in place, on the device it is on.
        config: how to optimise.
        seed: of dropout's random numbers; None for different ones every time.
        origin: what it begins from; None for a new model.

    Attributes:
        stop_training: set it to True to end training after the batch.
        state: the ``TrainState`` of the current training, or of the last one; None before.
        history: its measurements.
        plan: its plan.
        stopped_by: "interrupt" or "terminate" once a signal is ending training.
        begun: whether it got further than the callbacks' ``on_train_begin``.
        finished: whether training reached its end.
        backed_up: whether a signal ended training and a backup was written.

    Raises:
        ValueError: the learning rates do not fit the model's layer groups.

    >>> from textrnn import LSTMModel
    >>> ids = np.arange(3000) % 7
    >>> trainer = Trainer(LSTMModel(7, hidden_size=16), OptimizerConfig(learning_rate=0.03))
    >>> history = trainer.fit(ids, Plan(epochs=3, batch_size=4, seq_len=16))
    >>> history.history["loss"][-1] < history.history["loss"][0]
    True
    """

    def __init__(
        self,
        model: LanguageModel,
        config: OptimizerConfig | None = None,
        *,
        seed: int | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.model, self.config = model, config or OptimizerConfig()
        learns = model.learns_by_gradient
        self.train_step = TrainStep(model, self.config, seed=seed) if learns else None
        self._seed, self._origin = seed, origin or Origin()
        self.world_size = 1
        self.stop_training = False
        self.state: TrainState | None = None
        self.history, self.plan = History(), _NO_PLAN
        self.stopped_by: str | None = None
        self.begun = self.finished = self.backed_up = False
        self._ended = True
        self._signal: str | None = None  # received, but not acted upon yet
        self._resume: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to one run, so that a trainer can be copied and pickled."""
        of_the_run = {"_corpus", "_hooks", "_owner", "_share_cores", "_whole"}
        return {k: v for k, v in vars(self).items() if k not in of_the_run} | {"state": None}

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.config}, {self.history})"

    @property
    def learning_rate(self) -> float | None:
        """The last layer group's rate at the schedule's peak; setting it scales all groups.

        It is None, and cannot be set, if the model learns by counting alone.
        """
        return self.train_step.learning_rate if self.train_step else None

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.train_step is None:
            message = "This model learns by counting and has no learning rate to set."
            raise ValueError(f"{message} Received: {value!r}")
        self.train_step.learning_rate = value

    def replace_model(self, model: LanguageModel, init_from: NDArray[np.int64]) -> None:
        """Continue with the model that ``self.model`` was extended to."""
        self.model = model
        if self.train_step:
            self.train_step = copy.copy(self.train_step)
            self.train_step.replace_model(model, init_from)

    def fingerprint(self) -> dict[str, Any]:
        """Return what must match before a backup can be resumed."""
        facts = fingerprint(self.model, self.config, self._corpus, self.plan, self._seed)
        return facts | self._origin.facts(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of training depends on, for ``load_state_dict``."""
        if self.state is None:
            raise NotFittedError("No training has begun, so it has no state: call fit first.")
        return self.state.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where ``state_dict`` was called: now, or at the next call of ``fit``."""
        self._resume = state
        if self.state is not None and not self._ended:
            self.state.load_state_dict(state)

    def fit(
        self,
        data: Corpus | ArrayLike,
        plan: Plan,
        callbacks: Iterable[Callback] = (),
        *,
        history: History | None = None,
        callback_model: Any = None,
    ) -> History:
        """Train for a number of epochs or minutes.

        Args:
            data: (N,) ids to train on, or a ``Corpus``, which may have ids to validate on.
            plan: how long, and in what batches. With ``minutes`` the schedule follows the clock;
                the time includes the last validation, which reads as much of the text as there
                is time for; the last epoch may be cut short.
            callbacks: called as in Keras.
            history: where the measurements go; a new one if None.
            callback_model: the callbacks' ``self.model``; this trainer if None.

        Returns:
            The measurements. ``loss`` is the mean over the epoch, while the model learns.

        Raises:
            NonFiniteError: a loss or gradient was infinite or NaN for the second time; the
                weights are those before that step. The first time, the step is refused, the
                learning rate is divided by 4, and a warning says so.
            ValueError: a backup belongs to a different run.
            torch.OutOfMemoryError: the device has too little memory for these sizes.
        """
        check_callbacks(callbacks)
        deliver_again()
        self._whole = data if isinstance(data, Corpus) else Corpus(data)  # type: ignore[arg-type]
        self._whole.check_vocab_size(self.model.vocab_size)
        self._corpus = hold_out(self._whole, self.model.held_out)
        self.plan, self.history = plan, History() if history is None else history
        self._owner = self if callback_model is None else callback_model
        self._owner.stop_training = False
        self.stopped_by = self._signal = None
        self.begun = self.finished = self.backed_up = self._ended = False
        self.state, steps = None, 1
        if self.train_step is not None:
            distributed.warn_if_alone()
            rank, self.world_size = distributed.rank_and_world_size()
            ranks = {"rank": rank, "world_size": self.world_size}
            self.train_step.world_size = self.world_size
            self.state = new_state(self.train_step, self._corpus, plan, self.history, **ranks)
            steps = len(self.state.batcher)
        params = {"epochs": plan.epochs, "steps": steps, "metrics": self._metrics()}
        if self._corpus.valid_ids is not None:
            params["validation_tokens"] = len(self._corpus.valid_ids) - 1
        self._hooks = hooks = CallbackList(callbacks, self._owner, self, **params)
        if self.state is not None:
            self.state.callbacks = hooks
        try:
            with self._environment(), hooks.training():
                self.begun = True
                self._count() if self.state is None else self._train(self.state)
                self.stopped_by = self.stopped_by or self._signal
                self.finished = self.stopped_by is None
            self._origin.fits += self.finished
        finally:
            self._ended, self._resume = True, None
        by_callback = "callback" if self._owner.stop_training else None
        self.history.stopped_by = self.stopped_by or by_callback
        if self.backed_up:
            deliver_again()
        return self.history

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """Set up threads, dropout and signals for training; restore them at the end."""
        step = self.train_step
        repeatable = self._seed is not None and self.plan.minutes is None
        adapts = step is not None and step.device.type == "cpu" and not repeatable
        with (
            adaptive_threads(adapts) as self._share_cores,
            step.training() if step else nullcontext(),
            on_interrupt(partial(setattr, self, "_signal")),
        ):
            yield

    def _train(self, state: TrainState) -> None:
        """Train by gradients, epoch after epoch."""
        self.model.count(self._whole.ids[-self.plan.most_counted :])
        state.progress.begin()
        distributed.broadcast_parameters(self.model)
        if self._resume is not None:
            state.load_state_dict(self._resume)
        try:
            # after a resume, the epoch that had begun is finished first
            while state.batcher.state_dict()["batch"] or not self._stops(state):
                self._epoch(state)
        except torch.OutOfMemoryError as error:
            raise torch.OutOfMemoryError(
                f"The device has too little memory for this model and batch ({error}). A "
                "smaller batch_size or seq_len needs less. "
                f"Received: batch_size={self.plan.batch_size}, seq_len={self.plan.seq_len}"
            ) from None

    def _epoch(self, state: TrainState) -> None:
        """Train for one epoch, or until the time is up or training is stopped; validate."""
        epoch, first = state.batcher.epoch, state.batcher.state_dict()["batch"]
        if first == 0:
            state.begin_epoch()
        self._hooks.call("on_epoch_begin", epoch, {})
        if first and self._resume is not None:
            state.load_state_dict(self._resume)  # undoes what the hooks did at the epoch's begin
        self._resume = None
        self._batches(state, epoch, first)
        loss = float(distributed.all_reduce_mean(state.losses.mean_loss()))
        corpus = self._corpus
        logs = metrics(loss, corpus.chars_per_token[0], corpus.spelling[0])
        last = self._stops(state)
        if last or (epoch + 1) % self.plan.validation_freq == 0:
            logs |= state.validation.measure(self.model, state.progress, self._hooks, last=last)
        logs |= {
            "gradient_norm": state.losses.mean_gradient_norm(),
            "learning_rate": state.train_step.current_lr,
            "seconds": time.perf_counter() - state.epoch_began,
        }
        state.history.append(epoch, {k: v for k, v in logs.items() if not k.startswith("part_")})
        began = time.perf_counter()
        self._hooks.call("on_epoch_end", epoch, logs, last=False)
        self.stopped_by = self.stopped_by or self._signal
        self._hooks.call("on_epoch_end", epoch, logs, last=True)
        state.progress.add_report_time(time.perf_counter() - began)

    def _batches(self, state: TrainState, epoch: int, first: int) -> None:
        """Train on the batches of one epoch, from batch ``first`` on."""
        step, progress, losses = state.train_step, state.progress, state.losses
        schedule = self.config.resolve_schedule()
        begin_hooks = self._hooks.hooks("on_train_batch_begin")
        end_hooks = self._hooks.hooks("on_train_batch_end", last=False)
        last_hooks = self._hooks.hooks("on_train_batch_end", last=True)
        last, looked = len(state.batcher) - 1, progress.elapsed
        for k, (x, y) in enumerate(state.batcher, first):
            if state.refused is not None:
                state.lower_rates(f"epoch {epoch + 1}, batch {k}")
            for hook in begin_hooks:
                hook(k, {})
            if (quarter := int(4 * progress.fraction)) != state.quarter or not self.plan.stateful:
                state.quarter, state.hidden = quarter, None
            elif state.eot_id is not None:
                state.hidden = self.model.restart(state.hidden, x[:, 0] == state.eot_id)
            factor = schedule(progress.fraction)
            loss, state.hidden = step(x, y, state.hidden, factor)
            losses.add(loss, step.gradient_norm, x.numel())
            progress.step(x.numel())
            refused = not math.isfinite(losses.latest)
            if refused:
                state.refused, state.hidden = losses.latest, None
            logs = {
                "loss": losses.latest if refused else losses.mean,
                "gradient_norm": losses.gradient_norm,
                "learning_rate": step.optimizer.param_groups[-1]["lr"],
                "progress": progress.fraction,
                "tokens_per_second": progress.speed,
            }
            for hook in end_hooks:
                hook(k, logs)
            # Read once per batch, so that the backup and the loop see the same signal; a later
            # one waits for the next batch.
            self.stopped_by = self._signal
            for hook in last_hooks:
                hook(k, logs)
            if progress.elapsed - looked > INTERVAL:
                self._share_cores()
                looked = progress.elapsed
            if k < last and self._stops(state):
                state.batcher.load_state_dict({"epoch": epoch + 1, "batch": 0})
                break
        if state.refused is not None and not self._stops(state):
            state.lower_rates(f"epoch {epoch + 1}, batch {last + 1}")

    def _stops(self, state: TrainState) -> bool:
        """Return whether training is over: done, interrupted, or stopped by a callback."""
        over = state.progress.fraction >= 1 or bool(self.stopped_by) or self._owner.stop_training
        if self.world_size > 1 and distributed.any_rank(over, state.train_step.device) > over:
            self.stopped_by, over = "interrupt", True  # by another process
        return over

    def validate(self) -> dict[str, float]:
        """Return the metrics of the validation text, ``val_loss`` and so on; none without one."""
        if self.state is None:
            return Validation(self._corpus).measure(self.model, Progress(None))
        return self.state.validation.measure(self.model, self.state.progress)

    def _count(self) -> None:
        """Train a model without parameters: one epoch, no batches, no training loss."""
        began, epoch = time.perf_counter(), self.plan.initial_epoch
        self._hooks.call("on_epoch_begin", epoch, {})
        self.model.count(self._whole.ids)
        progress = new_progress(self._corpus, self.plan)
        logs = Validation(self._corpus).measure(self.model, progress, self._hooks, last=True)
        logs["seconds"] = time.perf_counter() - began
        self.history.append(epoch, logs)
        self._hooks.call("on_epoch_end", epoch, logs)

    def _metrics(self) -> list[str]:
        """Return the names in the logs of an epoch."""
        validated = names(self._corpus, self.plan)
        if self.train_step is None:
            return [*validated, "seconds"]
        return [*_METRICS, *validated, "gradient_norm", "learning_rate", "seconds"]
