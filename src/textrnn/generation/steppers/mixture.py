"""The stepper of mixtures: the steppers of the parts, and a weighted sum of their probabilities."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_choice
from textrnn.generation.steppers.base import (
    Layout,
    Session,
    State,
    Stepper,
    Tensors,
    config_int,
)
from textrnn.generation.steppers.ngram import BINS, NGramStepper
from textrnn.generation.steppers.recurrent import GRUStepper, LSTMStepper, RNNStepper
from textrnn.generation.steppers.window import WindowMLPStepper, WindowRNNStepper

PARTS: dict[str, type[Stepper]] = {
    "ngram": NGramStepper,
    "window_mlp": WindowMLPStepper,
    "window_rnn": WindowRNNStepper,
    "rnn": RNNStepper,
    "gru": GRUStepper,
    "lstm": LSTMStepper,
}
"""The steppers that a mixture may be made of, by family."""


class MixtureStepper(Stepper):
    """Steps ``MixtureModel``. The state is the states of all parts in a row."""

    @classmethod
    def layout(cls, config: Mapping[str, Any]) -> Layout:
        """Yield the tensors of all parts, and those of the mixture."""
        config_int(config, "vocab_size")
        for i, (stepper, part) in enumerate(_parts(config)):
            for name, shape, kind in stepper.layout(part):
                yield f"parts.{i}.{name}", shape, kind
        yield "weights", (BINS, len(config["parts"])), np.float32
        yield "counted", None, np.int64

    def _prepare(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self._parts: Sequence[Any] = []
        for i, (stepper, part) in enumerate(_parts(config)):
            prefix = f"parts.{i}."
            own = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
            self._parts = [*self._parts, stepper(part, own)]
        self._set_weights(tensors["weights"])

    @classmethod
    def of(cls, parts: Sequence[Any], weights: NDArray[np.float32]) -> "MixtureStepper":
        """Return the stepper of a mixture whose parts have steppers already."""
        stepper = cls.__new__(cls)
        stepper._parts = parts
        stepper._set_weights(weights)
        return stepper

    def _set_weights(self, weights: NDArray[np.float32]) -> None:
        self._weights = weights.copy()
        fresh = (part.start(1, None) for part in self._parts)
        first = np.zeros(1, dtype=np.int64)
        self._lengths = []  # of each part's state
        for session in fresh:
            session.step(first)
            self._lengths.append(len(session.state([0])))
        self.max_batch_size = min(part.max_batch_size for part in self._parts)

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token of each text; return the logits of the next one, and the state."""
        session = self.start(len(ids), state, batched=batched)
        return session.step(ids), session.state(list(range(len(ids))))

    def start(self, texts: int, state: State = None, *, batched: bool = False) -> "MixtureSession":
        """Return a session that steps so many texts from a state."""
        states = self._split(state) if state is not None else [None] * len(self._parts)
        sessions = [
            part.start(texts, own, batched=batched)
            for part, own in zip(self._parts, states, strict=True)
        ]
        known = [getattr(part, "normalised", False) for part in self._parts]
        return MixtureSession(sessions, known, self._weights)

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` unless a state is that of a text of this model."""
        super().check_state(state)
        for part, own in zip(self._parts, self._split(state), strict=True):
            part.check_state(own)

    def _split(self, state: State) -> list[State]:
        """Return the state of each part."""
        assert state is not None
        ends = np.cumsum(self._lengths).tolist()
        return [state[end - n : end] for n, end in zip(self._lengths, ends, strict=True)]


class MixtureSession:
    """Steps N texts through all parts of a mixture.

    Args:
        sessions: of the parts.
        normalised: for each part, whether its scores are logarithms of probabilities.
        weights: (bins, P) float32, the weight of each part by how much counts are to be trusted.
    """

    def __init__(
        self, sessions: list[Session], normalised: list[bool], weights: NDArray[np.float32]
    ) -> None:
        self._sessions, self._normalised, self._weights = sessions, normalised, weights
        self._gate = next((s.bins for s in sessions if hasattr(s, "bins")), None)

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return the logits after it."""
        scores = [session.step(ids) for session in self._sessions]
        weights = self._weights[self._gate()] if self._gate else self._weights[:1]
        total: Any = 0.0
        for i, logits in enumerate(scores):
            weight = weights[:, i : i + 1]
            if self._normalised[i]:
                p = np.exp(logits)
            else:
                p = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
                weight = weight / np.add.reduce(p, axis=1, keepdims=True)
            p *= weight
            total = total + p if i else p
        with np.errstate(divide="ignore"):
            mixed: NDArray[np.float32] = np.log(total, out=total)
        return mixed

    def state(self, rows: list[int]) -> State:
        """Return the state of some of the texts."""
        return tuple(array for session in self._sessions for array in session.state(rows))


def _parts(config: Mapping[str, Any]) -> Iterator[tuple[type[Stepper], dict[str, Any]]]:
    """Yield the stepper of each part, and the part's config."""
    for part in config["parts"]:
        check_choice("model", part["model"], PARTS)
        own = {name: value for name, value in part.items() if name != "model"}
        yield PARTS[part["model"]], {**own, "vocab_size": config["vocab_size"]}
