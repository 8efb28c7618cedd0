"""How far training is, how fast, and how well it goes: what is known while it runs."""

import math
import time
from typing import Any

import torch

_REFRESH = 0.5  # seconds between two looks at the loss on a device that works ahead of us
_VALIDATION_COST = 0.4  # of a token, in tokens of training; a first guess until one was timed
_STEPS_TO_TRUST = 10  # before the speed is believed


class Progress:
    """Says how far training is: by steps, or by time with the last validation kept in mind.

    Args:
        seconds: the time budget, from now; None if training goes by steps.
        valid_tokens: the length of the validation text.

    Attributes:
        progress: in [0, 1]; it never goes back.
        speed: tokens a second, validation not counted.
    """

    def __init__(self, seconds: float | None, valid_tokens: int = 0) -> None:
        self.progress = 0.0
        self.speed = 0.0
        self._began = time.perf_counter()
        self._seconds = seconds
        self._valid_tokens = valid_tokens
        self._reserve: float | None = None  # seconds that the last validation will take
        self._paused = 0.0  # seconds that validation took
        self._steps = 1
        self._done = 0
        self._before = 0  # steps that were done before this clock began
        self._tokens = 0

    def start(self, steps: int) -> None:
        """Begin to train; ``steps`` are planned, which matters if there is no time budget."""
        self._steps = steps
        self._started = time.perf_counter()

    def tick(self, tokens: int) -> None:
        """Note a step."""
        self._done += 1
        now = time.perf_counter()
        if self._done == 1:  # the first step is slow: kernels are chosen, memory is taken
            self._started = now
            self._paused = 0.0
        else:
            self._tokens += tokens
            self.speed = self._tokens / max(now - self._started - self._paused, 1e-9)
        if self._seconds is None:
            progress = self.done / self._steps
        else:
            progress = (now - self._began) / (self._seconds - self._reserved(self._seconds))
        self.progress = min(1.0, max(self.progress, progress))

    def _reserved(self, budget: float) -> float:
        """Return the seconds to leave for the last validation, at most half of the budget."""
        if self._reserve is not None:
            return min(self._reserve, budget / 2)
        if self._done < _STEPS_TO_TRUST:
            return 0.0
        return min(_VALIDATION_COST * self._valid_tokens / self.speed, budget / 2)

    def validated(self, seconds: float) -> None:
        """Note that validation took so long; the last one will take as long."""
        self._reserve = seconds
        self._paused += seconds

    @property
    def done(self) -> int:
        """How many steps were made, before a backup that training went on from too."""
        return self._before + self._done

    def state_dict(self) -> dict[str, Any]:
        """Return how far training is, for a clock that goes on from there."""
        spent = time.perf_counter() - self._began
        return {"progress": self.progress, "done": self.done, "spent": spent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there: as many steps done, as much time spent."""
        self.progress, self._before = state["progress"], state["done"]
        self._began = time.perf_counter() - state["spent"]


class Meter:
    """The mean loss of an epoch, summed on the device and read only now and then.

    Attributes:
        mean: the mean loss over the tokens so far, refused steps left out.
        latest: the loss of the last step, NaN or infinite if that was refused.
        gradient_norm: that of the last step.
    """

    def __init__(self, device: torch.device) -> None:
        self.eager = device.type == "cpu"
        self.sum = torch.zeros((), device=device)
        self.norms = torch.zeros((), device=device)
        self.tokens = self.steps = 0
        self.mean = self.latest = self.gradient_norm = 0.0
        self._read_at = 0.0

    def add(self, loss: torch.Tensor, gradient_norm: torch.Tensor, tokens: int) -> None:
        """Add the mean loss of a batch, and the norm of its gradient."""
        if self.eager:
            self.latest, self.gradient_norm = float(loss), float(gradient_norm)
            if not math.isfinite(self.latest):
                return
        self.sum += loss.nan_to_num(0.0, 0.0, 0.0) * tokens
        self.norms += gradient_norm.nan_to_num(0.0, 0.0, 0.0)
        self.tokens += tokens
        self.steps += 1
        if self.eager:
            self.mean = float(self.read())
        elif time.perf_counter() - self._read_at > _REFRESH:
            self.latest, self.gradient_norm = float(loss), float(gradient_norm)
            self.mean = float(self.read())
            self._read_at = time.perf_counter()

    def read(self) -> torch.Tensor:
        """Return the mean loss over the tokens so far."""
        return self.sum / max(self.tokens, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far."""
        facts = {"tokens": self.tokens, "steps": self.steps}
        return {"sum": self.sum, "norms": self.norms, **facts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on summing from there."""
        self.sum, self.norms = (state[name].to(self.sum.device) for name in ("sum", "norms"))
        self.tokens, self.steps = state["tokens"], state["steps"]
        self.mean = float(self.read())

    def mean_gradient_norm(self) -> float:
        """Return the mean over the steps so far."""
        return float(self.norms) / max(self.steps, 1)
