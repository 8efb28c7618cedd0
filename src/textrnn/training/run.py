"""What one call of ``fit`` carries along, and how it is backed up and restored."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.callbacks.backup import BackupAndRestore, check_fingerprint
from textrnn.callbacks.base import CallbackList, check_callbacks
from textrnn.checks import check_int, check_number
from textrnn.errors import CorruptModelError
from textrnn.files.state_tree import flatten_state, unflatten_state
from textrnn.history import History
from textrnn.models.base import LanguageModel, State
from textrnn.models.registry import model_type_of
from textrnn.text.batching import ContiguousBatcher
from textrnn.training import distributed
from textrnn.training.optim import OptimizerConfig
from textrnn.training.progress import Meter, Progress
from textrnn.training.train_step import TrainStep


@dataclass
class Run:
    """What one call of ``fit`` carries along.

    Attributes:
        identity: what must be the same for a backup to be gone on from.
        stopped_by: the signal that ended training, as ``History.stopped_by`` has it.
        lowered: whether the rates were lowered because a step was refused.
        quarter: which quarter of training this is, from 0.
        resumed: a backup that was made in the middle of an epoch and is still to be restored.
    """

    owner: Any
    clock: Progress
    hooks: CallbackList
    valid_ids: NDArray[Any] | None
    chars_per_token: tuple[float, float]
    history: History
    stateful: bool
    backup: BackupAndRestore | None
    identity: Mapping[str, Any] = field(default_factory=dict)
    share_cores: Callable[[], None] = lambda: None
    lowered: bool = False
    stopped_by: str | None = None
    quarter: int = 0
    resumed: dict[str, Any] | None = None

    def interrupt(self, name: str) -> None:
        """End training after the batch."""
        self.stopped_by = name

    def enters_new_quarter(self) -> bool:
        """Whether training has just begun its second, third or last quarter.

        There the state starts afresh, as it does in each epoch: generation begins from no
        state, and a training of one epoch or less would meet that at its first batch only.
        """
        before, self.quarter = self.quarter, int(4 * self.clock.progress)
        return self.quarter != before

    @property
    def ended(self) -> bool:
        """Whether training is over: done, interrupted, or stopped by a callback."""
        return self.clock.progress >= 1 or bool(self.stopped_by) or self.owner.stop_training

    def back_up(
        self,
        learner: TrainStep,
        position: tuple[int, int],
        meter: Meter | None = None,
        state: State = None,
        seconds: float = 0.0,
    ) -> None:
        """Write a backup if it is time to, or if a signal ends training.

        Args:
            learner: with the weights.
            position: the epoch, and the batch in it, that come next.
            meter: the epoch's; None between two epochs.
            state: of the texts.
            seconds: what the epoch took so far.
        """
        if self.backup is None:
            return
        due = self.backup.due(self.clock.done if meter else None)
        if not self.stopped_by and (not due or self.ended):
            return
        tree = {
            "learner": learner.state_dict(),
            "epoch": position[0],
            "batch": position[1],
            "clock": self.clock.state_dict(),
            "meter": meter and meter.state_dict(),
            "state": state,
            "seconds": seconds,
            "lowered": self.lowered,
            "quarter": self.quarter,
            "callbacks": self.hooks.state_dict(),
        }
        plain, tensors = flatten_state(tree)
        header = {"backup": dict(self.identity), "history": self.history.to_config()}
        self.backup.write({**header, "tree": plain}, tensors)

    def restore(self, learner: TrainStep, batcher: ContiguousBatcher) -> None:
        """Go on from the backup, if there is one.

        Between two epochs all of it is restored now; in the middle of one ``restore_epoch`` does
        the rest, when the hooks have heard that the epoch begins.

        Raises:
            ValueError: it is of another training, or there are several processes, each with
                texts of its own.
            CorruptModelError: it cannot be read.
        """
        if self.backup is None:
            return
        if distributed.rank_and_world_size()[1] > 1:
            raise ValueError("BackupAndRestore works with one process. Received: several of them")
        found = self.backup.read()
        if found is None:
            return
        header, tensors = found
        check_fingerprint(header["backup"], self.identity, self.backup.path)
        try:
            tree = unflatten_state(header["tree"], tensors)
            history = History.from_config(header["history"])
            batcher.load_state_dict({"epoch": tree["epoch"], "batch": tree["batch"]})
            self.resumed = tree
            if tree["meter"] is None:
                self.restore_epoch(learner, Meter(learner.device))
        except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise CorruptModelError(
                f"The backup does not hold what a backup holds ({error!r:.200}). "
                f"Received: {str(self.backup.path)!r}"
            ) from None
        vars(self.history).update(vars(history))

    def restore_epoch(self, learner: TrainStep, meter: Meter) -> tuple[State, float]:
        """Restore the rest of a backup; give the state of the texts, and the epoch's seconds."""
        if self.resumed is None:
            return None, 0.0
        tree, self.resumed = self.resumed, None
        learner.load_state_dict(tree["learner"])
        self.clock.load_state_dict(tree["clock"])
        if tree["meter"] is not None:
            meter.load_state_dict(tree["meter"])
        self.lowered, self.quarter = tree["lowered"], tree["quarter"]
        self.hooks.load_state_dict(tree["callbacks"])
        return _to_device(tree["state"], learner), tree["seconds"]


def fingerprint(
    model: LanguageModel,
    settings: OptimizerConfig,
    texts: tuple[NDArray[Any], NDArray[Any] | None],
    *,
    vocabulary: Any = None,
    **facts: Any,
) -> dict[str, Any]:
    """Return what makes a training the one it is, as JSON has it.

    Args:
        model: its kind and config, and which of its parameters learn.
        settings: how it is optimised.
        texts: the ids in training, and those for validation.
        vocabulary: the symbols that they stand for.
        **facts: whatever else matters.
    """
    train_ids, valid_ids = (None if ids is None else _digest(ids) for ids in texts)
    identity = {
        "text": train_ids,
        "validation text": valid_ids,
        "vocabulary": vocabulary and _sha256(json.dumps(vocabulary).encode()),
        "model": model_type_of(model),
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
        **model.config,
        **{name: str(value) for name, value in asdict(settings).items()},
        **facts,
    }
    if callable(settings.schedule):
        identity["schedule"] = getattr(settings.schedule, "__qualname__", "a function")
    plain: dict[str, Any] = json.loads(json.dumps(identity, default=str))
    return plain


def _digest(ids: NDArray[Any]) -> str:
    data = np.ascontiguousarray(ids, dtype=np.int64).data
    return f"{len(ids)} tokens with sha256 {_sha256(data)}"


def _sha256(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _to_device(state: State, learner: TrainStep) -> State:
    if isinstance(state, tuple | list):
        return tuple(_to_device(part, learner) for part in state)
    return state.to(learner.device) if hasattr(state, "to") else state


def check_fit_arguments(
    epochs: int | None,
    time_budget: float | None,
    batch_size: int | None,
    seq_len: int | None,
    initial_epoch: int,
    callbacks: object,
) -> None:
    """Refuse arguments of ``fit`` that cannot be meant, before anything is done."""
    if (epochs is None) == (time_budget is None):
        raise ValueError(
            "Say either how many epochs to train or for how long, not both. "
            f"Received: epochs={epochs!r}, time={time_budget!r}"
        )
    if epochs is None:
        check_number("minutes", time_budget, "above 0", lambda t: t > 0)
        check_int("initial_epoch", initial_epoch, 0)
    else:
        check_int("initial_epoch", initial_epoch, 0, check_int("epochs", epochs, 1) - 1)
    for name, size in (("batch_size", batch_size), ("seq_len", seq_len)):
        if size is not None:
            check_int(name, size, 1)
    check_callbacks(callbacks)
