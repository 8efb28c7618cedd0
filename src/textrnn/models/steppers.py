"""What steps a model that torch holds, where NumPy alone cannot or should not."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textrnn.models.base import LanguageModel, State
from textrnn.stepping.recurrent import RecurrentStepper

_MANY = 64  # texts from which on a GPU is used; not measured yet


class ModuleStepper:
    """Steps any model, one of a user's own too, through its torch module.

    It takes and gives what the steppers in ``textrnn.stepping`` do, except that the state is
    the model's own.
    """

    at_once = 1  # nobody knows how states of such a model are put side by side

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def step(
        self, ids: NDArray[Any], state: State = None, *, together: bool = True
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

    def place(self, state: State, texts: int) -> State:
        """Give the state where so many texts are stepped the fastest: where it is."""
        return state


class DeviceStepper:
    """Steps few texts with NumPy, and many that are stepped together on a GPU.

    A GPU takes as long for one text as for hundreds, and longer than a CPU for one. The
    arithmetic is the same in both places. A state lies where it was placed, and is stepped there.

    Args:
        stepper: the model's, on NumPy.
        device: the GPU.
    """

    at_once = 1024

    def __init__(self, stepper: RecurrentStepper, device: torch.device) -> None:
        self._device = device
        self._here, self._there = stepper, stepper.moved(self._move, torch.tanh)

    def step(
        self, ids: NDArray[Any], state: State = None, *, together: bool = False
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token (N,) of each text; give logits (N, V) and the state."""
        if state is None or isinstance(state[0], np.ndarray):
            return self._here.step(ids, state, together=together)
        logits: Any
        logits, state = self._there.step(self._move(ids), state, together=True)
        return logits.cpu().numpy(), state

    def place(self, state: State, texts: int) -> State:
        """Give the state of so many texts where they are stepped the fastest."""
        return tuple(map(self._move, state)) if texts >= _MANY else state

    def _move(self, array: NDArray[Any]) -> Any:
        return torch.from_numpy(array).to(self._device)
