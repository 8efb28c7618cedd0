"""Progress, speed and running loss."""

import math
import time
from typing import Any

import torch

_REFRESH = 0.5  # seconds between two reads of the loss on a device that runs asynchronously
VALIDATION_COST = 0.4  # of a token, in tokens of training; a guess until validation was timed
_STEPS_TO_TRUST = 10  # before the speed is used
LAST_SHARE = 0.1  # of the time budget: what the last validation may take


class Progress:
    """Measures the progress of training, by steps or by a time budget that includes all else.

    With a budget, training is done when what is left is needed for the last validation and what
    the callbacks do after it. The fraction counts from the first step.

    Args:
        seconds: the time budget; None to count steps.
        valid_tokens: the length of the validation text, to guess the time that it will take.
        began: when the budget began, by ``time.perf_counter``; now if None.

    Attributes:
        fraction: the part of training that is done, in [0, 1]; it never falls.
        speed: tokens per second, without validation.
        elapsed: seconds from the start to the last step, including those before a resume.
        seconds: the time budget, or None.
    """

    def __init__(
        self, seconds: float | None, valid_tokens: int = 0, began: float | None = None
    ) -> None:
        self.fraction = self.speed = self.elapsed = 0.0
        self._began = time.perf_counter() if began is None else began
        self.seconds = seconds
        self._setup = 0.0  # seconds before the first step
        self._valid_tokens = valid_tokens
        self._reserve: float | None = None  # seconds that the last validation will take
        self._reports = 0.0  # seconds that the callbacks took after the last validation
        self._paused = 0.0  # seconds that were spent on neither
        self._steps = 1
        self._done = 0
        self._before = 0  # steps that were done before a resume
        self._tokens = 0

    def start(self, steps: int) -> None:
        """Start training; ``steps`` is the planned number, for use without a time budget."""
        self._steps = steps
        self.begin()

    def begin(self) -> None:
        """Begin to count: the first step comes next."""
        self._started = time.perf_counter()
        self._setup = self._started - self._began

    @property
    def left(self) -> float:
        """Seconds that are left of the budget; infinite without one, negative once it is over."""
        if self.seconds is None:
            return math.inf
        return self.seconds - (time.perf_counter() - self._began)

    def step(self, tokens: int) -> None:
        """Record a step."""
        self._done += 1
        now = time.perf_counter()
        if self._done == 1:  # the first step is slow: it chooses kernels and allocates memory
            self._started = now
            self._paused = 0.0
        else:
            self._tokens += tokens
            self.speed = self._tokens / max(now - self._started - self._paused, 1e-9)
        self.elapsed = now - self._began
        if self.seconds is None:
            fraction = (self._before + self._done) / self._steps
        else:
            planned = self.seconds - self._setup - self._reserved()
            fraction = (self.elapsed - self._setup) / planned if planned > 0 else 1.0
        self.fraction = min(1.0, max(self.fraction, fraction))

    def _reserved(self) -> float:
        """Return the seconds to leave for what follows the last step.

        They are at most half of the budget, and a tenth of it before anything was measured.
        """
        budget = self.seconds or 0.0
        if self._reserve is not None:
            return min(self._reserve + self._reports, budget / 2)
        if self._done < _STEPS_TO_TRUST:
            return 0.0
        return min(VALIDATION_COST * self._valid_tokens / self.speed, budget * LAST_SHARE)

    def add_validation_time(self, seconds: float, last: float | None = None) -> None:
        """Record how long validation took.

        Args:
            seconds: what it took.
            last: how long the last one is expected to take; as long if None.
        """
        self._reserve = seconds if last is None else last
        self._paused += seconds

    def add_report_time(self, seconds: float) -> None:
        """Record how long callbacks took after a validation: a sample, a file to write."""
        self._reports = seconds
        self._paused += seconds

    @property
    def steps_done(self) -> int:
        """The number of steps, including those before a resume."""
        return self._before + self._done

    def state_dict(self) -> dict[str, Any]:
        """Return the progress so far, for ``load_state_dict``."""
        spent = time.perf_counter() - self._began
        facts = {"fraction": self.fraction, "steps_done": self.steps_done, "spent": spent}
        return {**facts, "setup": self._setup}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume with the same number of steps done and the same time spent."""
        self.fraction = state["fraction"]
        self._before, self._done = state["steps_done"], 0
        self._began, self._setup = time.perf_counter() - state["spent"], state["setup"]


class RunningLoss:
    """Averages the loss of an epoch, summed on the device and read only now and then.

    Attributes:
        mean: the mean loss over the tokens so far, without refused steps, in nats per token.
        latest: the loss of the last step; NaN or infinite if that step was refused.
        gradient_norm: the gradient norm of the last step, before clipping.
        tokens: the number of tokens so far.
        reads_each_step: whether reading the loss costs nothing, as on a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.reads_each_step = device.type == "cpu"
        self._sum = torch.zeros((), device=device)
        self._norms = torch.zeros((), device=device)
        self.tokens = self._steps = 0
        self.mean = self.latest = self.gradient_norm = 0.0
        self._read_at = 0.0

    def add(self, loss: torch.Tensor, gradient_norm: torch.Tensor, tokens: int) -> None:
        """Add the mean loss of a batch and the norm of its gradient."""
        if self.reads_each_step:
            self.latest, self.gradient_norm = float(loss), float(gradient_norm)
            if not math.isfinite(self.latest):
                return
        self._sum += loss.nan_to_num(0.0, 0.0, 0.0) * tokens
        self._norms += gradient_norm.nan_to_num(0.0, 0.0, 0.0)
        self.tokens += tokens
        self._steps += 1
        if self.reads_each_step:
            self.mean = float(self._sum / self.tokens)
        elif time.perf_counter() - self._read_at > _REFRESH:
            self.latest, self.gradient_norm = float(loss), float(gradient_norm)
            self.mean = float(self._sum / self.tokens)
            self._read_at = time.perf_counter()

    def mean_loss(self) -> torch.Tensor:
        """Return the mean loss over the tokens so far, a scalar tensor on the device."""
        return self._sum / max(self.tokens, 1)

    def mean_gradient_norm(self) -> float:
        """Return the mean gradient norm over the steps so far."""
        return float(self._norms) / max(self._steps, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far."""
        sums = {"sum": self._sum, "norms": self._norms}
        return {**sums, "tokens": self.tokens, "steps": self._steps, "latest": self.latest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume with the sums that ``state_dict`` returned."""
        device = self._sum.device
        self._sum, self._norms = (state[name].to(device) for name in ("sum", "norms"))
        self.tokens, self._steps, self.latest = (state[n] for n in ("tokens", "steps", "latest"))
        self.mean = float(self.mean_loss())
