"""What steps a model that torch holds, where NumPy alone cannot or should not."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textrnn.generation.steppers.base import Session
from textrnn.generation.steppers.recurrent import RecurrentSession, RecurrentStepper
from textrnn.models.base import LanguageModel, State

_MANY = 64  # texts from which on a GPU is used; not measured yet


class ModuleStepper:
    """Steps any model, one of a user's own too, through its torch module.

    Its arguments and results are those of ``textrnn.generation.steppers``, except that the state
    is the model's own.
    """

    max_batch_size = 1  # nobody knows how states of such a model are put side by side

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = True
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token (N,) of each text; give logits (N, V) and the state."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                column = torch.as_tensor(ids, dtype=torch.int64, device=self.device)[:, None]
                logits, state = self.model(column, state)
            return logits[:, -1].float().cpu().numpy(), state
        finally:
            self.model.train(training)

    def start(self, texts: int, state: State = None, *, batched: bool = True) -> "ModuleSession":
        """Begin to step a text from a state."""
        return ModuleSession(self, state)


class ModuleSession:
    """A text on its way through a torch module."""

    def __init__(self, stepper: ModuleStepper, state: State) -> None:
        self._stepper, self._state = stepper, state

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read the next token; give the logits after it."""
        logits, self._state = self._stepper.step(ids, self._state)
        return logits

    def state(self, rows: list[int]) -> State:
        """Return the model's own state."""
        return self._state


class DeviceStepper:
    """Steps few texts with NumPy, and many that are stepped together on a GPU.

    A GPU takes as long for one text as for hundreds, and longer than a CPU for one. The
    arithmetic is the same in both places, and so are the states, which are NumPy's.

    Args:
        stepper: the model's, on NumPy.
        device: the GPU.
    """

    max_batch_size = 1024

    def __init__(self, stepper: RecurrentStepper, device: torch.device) -> None:
        self._here, self._device = stepper, device

    @cached_property
    def _there(self) -> RecurrentStepper:
        return self._here.moved(self._move, torch, _index_select)

    def start(self, texts: int, state: State = None, *, batched: bool = False) -> Session:
        """Begin to step so many texts from a state, where that is fastest."""
        if not batched or texts < _MANY:
            return self._here.start(texts, state, batched=batched)
        with self._device:  # the memory is made there
            moved = None if state is None else tuple(map(self._move, state))
            walk = self._there.start(texts, moved, batched=True)
        return DeviceSession(walk, self._move)

    def _move(self, array: NDArray[Any]) -> Any:
        return torch.from_numpy(array).to(self._device)


class DeviceSession:
    """Texts on their way on a GPU."""

    def __init__(self, walk: RecurrentSession, move: Any) -> None:
        self._walk: Any = walk  # its arrays are torch's
        self._move = move

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; give the logits after it, good until the next step."""
        logits: NDArray[np.float32] = self._walk.step(self._move(ids)).cpu().numpy()
        return logits

    def state(self, rows: list[int]) -> State:
        """Return the state of some of the texts as NumPy's arrays."""
        return tuple(part.cpu().numpy() for part in self._walk.state(rows))


def _index_select(table: torch.Tensor, ids: torch.Tensor, out: torch.Tensor) -> None:
    torch.index_select(table, 0, ids, out=out)
