"""How far training is, how fast, and how well it goes: what is known while it runs."""

import time

import torch

_REFRESH = 0.5  # seconds between two looks at the loss on a device that works ahead of us


class Clock:
    """Says how far training is: by steps, or by time with the last validation kept in mind."""

    def __init__(self, seconds: float | None) -> None:
        self.began = time.perf_counter()
        self.seconds = seconds or 0.0
        self.progress = 0.0
        self.reserve = 0.0  # seconds that validation takes
        self.speed = 0.0  # tokens a second
        self._steps: int | None = None
        self._done = 0
        self._tokens = 0

    def start(self, steps: int | None) -> None:
        """Begin to train, for a number of steps if there is no time budget."""
        self._steps = steps
        self._started = time.perf_counter()

    def tick(self, tokens: int) -> None:
        """Note a step."""
        self._done += 1
        self._tokens += tokens
        now = time.perf_counter()
        self.speed = self._tokens / (now - self._started)
        if self._steps is not None:
            progress = self._done / self._steps
        else:
            progress = (now - self.began) / max(self.seconds - self.reserve, 1e-9)
        self.progress = min(1.0, max(self.progress, progress))


class Meter:
    """The mean loss of an epoch, summed on the device and read only now and then."""

    def __init__(self, device: torch.device) -> None:
        self.eager = device.type == "cpu"
        self.sum = torch.zeros((), device=device)
        self.tokens = 0
        self.mean = self.latest = 0.0
        self._read_at = 0.0

    def add(self, loss: torch.Tensor, tokens: int) -> None:
        """Add the mean loss of a batch."""
        self.sum += loss * tokens
        self.tokens += tokens
        if self.eager or time.perf_counter() - self._read_at > _REFRESH:
            self.latest, self.mean = float(loss), float(self.read())
            self._read_at = time.perf_counter()

    def read(self) -> torch.Tensor:
        """Give the mean over the tokens so far."""
        return self.sum / max(self.tokens, 1)
