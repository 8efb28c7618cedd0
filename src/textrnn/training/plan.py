"""The arguments of ``fit``, and the plan that it makes of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from textrnn.checks import check_int, check_number


@dataclass(frozen=True, kw_only=True)
class FitArguments:
    """Holds what the caller of ``fit`` asked for, checked; None leaves a choice open.

    Args:
        epochs: the number of the last epoch plus 1, at least 1; None with ``minutes``.
        minutes: wall time instead, above 0.
        batch_size: rows of text read side by side.
        seq_len: the length of back-propagation through time, in tokens.
        initial_epoch: the number of the first epoch, from 0.
        stateful: whether the state is carried from batch to batch.
        validation_freq: validate after every so many epochs, at least 1, and after the last.

    Raises:
        TypeError, ValueError: a value is out of range, or both or neither of ``epochs`` and
            ``minutes`` are given.

    >>> FitArguments(epochs=3).minutes is None
    True
    """

    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    seq_len: int | None = None
    initial_epoch: int = 0
    stateful: bool = True
    validation_freq: int = 1

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {}
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError(
                "Pass either `epochs` or `minutes`, not both. "
                f"Received: epochs={self.epochs!r}, minutes={self.minutes!r}"
            )
        last = None
        if self.epochs is None:
            plain["minutes"] = check_number("minutes", self.minutes, "above 0", lambda m: m > 0)
        else:
            plain["epochs"] = check_int("epochs", self.epochs, 1)
            last = plain["epochs"] - 1
        plain["initial_epoch"] = check_int("initial_epoch", self.initial_epoch, 0, last)
        plain["validation_freq"] = check_int("validation_freq", self.validation_freq, 1)
        for name in ("batch_size", "seq_len"):
            if getattr(self, name) is not None:
                plain[name] = check_int(name, getattr(self, name), 1)
        for name, value in plain.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Plan(FitArguments):
    """Holds everything that ``fit`` decides before the first step.

    Args:
        epochs: as asked for.
        minutes: as asked for; the learning-rate schedule is sized to it.
        batch_size: rows of text read side by side, over all processes together.
        seq_len: the length of back-propagation through time, in tokens.
        initial_epoch: as asked for.
        stateful: as asked for.
        validation_freq: as asked for.
        learning_rate: at the schedule's peak; None for the optimiser's default.
        precision: of matrix products, "float32", "bfloat16" or "float16".
        speed: the measured tokens per second of an LSTM of width 256 on this machine, by which
            sizes are chosen for ``minutes``; 0 if it was not needed.
        model_args: the arguments of a new model.
        began: when ``minutes`` began, by ``time.perf_counter``; None for the start of training.

    >>> Plan(epochs=3, batch_size=16).seq_len
    64
    """

    batch_size: int = 32
    seq_len: int = 64
    learning_rate: float | None = None
    precision: str = "auto"
    speed: float = 0.0
    model_args: Mapping[str, Any] = field(default_factory=dict)
    began: float | None = field(default=None, compare=False, repr=False)

    @property
    def most_counted(self) -> int:
        """How many tokens, from the end, are counted before training by gradients; 0 for all.

        With ``minutes`` counting takes about a sixth of the time at most.

        >>> Plan(epochs=1).most_counted, Plan(minutes=0.5).most_counted
        (0, 3000000)
        """
        return int(6_000_000 * (self.minutes or 0))

    def to_config(self) -> dict[str, Any]:
        """Return the plan as plain values, for a JSON file."""
        config = asdict(self)
        del config["began"]
        return config

    def to_params(self) -> dict[str, Any]:
        """Return the part of the plan that ``History.params`` holds."""
        names = (
            "epochs",
            "minutes",
            "learning_rate",
            "batch_size",
            "seq_len",
            "precision",
            "speed",
        )
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Plan":
        """Return the plan that ``to_config`` described; unknown entries are ignored."""
        known = {f.name for f in fields(cls)} - {"began"}
        return cls(**{name: value for name, value in config.items() if name in known})

    def with_arguments(self, asked: FitArguments, model_args: Mapping[str, Any]) -> "Plan":
        """Return this plan with the arguments of a new call of ``fit``."""
        given = {name: value for name, value in asdict(asked).items() if value is not None}
        length = {"epochs": asked.epochs, "minutes": asked.minutes}
        return replace(self, **{**given, **length}, model_args={**self.model_args, **model_args})
