"""Steppers that need torch: for any module, and for many texts on a GPU."""

import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textrnn.generation.native.precision import accelerated
from textrnn.generation.steppers.base import Session
from textrnn.generation.steppers.recurrent import RecurrentSession, RecurrentStepper
from textrnn.models.base import LanguageModel, State

_MANY = 64  # the number of texts from which a GPU is used; not measured yet


class ModuleStepper:
    """Steps any model, including a custom one, through its torch module.

    Arguments and results are those of ``textrnn.generation.steppers``, except that the state is
    the model's own.
    """

    max_batch_size = 1  # it is unknown how to join the states of such a model
    backend = "PyTorch"
    uses_blas = False  # that of NumPy

    def __init__(self, model: LanguageModel) -> None:
        self.model = copy.deepcopy(model).eval()  # a training changes nothing of it
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def step(
        self, ids: NDArray[Any], state: State = None, *, batched: bool = True
    ) -> tuple[NDArray[np.float32], State]:
        """Read one token (N,) of each text; return logits (N, V) and the state."""
        with torch.inference_mode():
            column = torch.as_tensor(ids, dtype=torch.int64, device=self.device)[:, None]
            logits, state = self.model(column, state)
        return logits[:, -1].float().cpu().numpy(), state

    def start(self, texts: int, state: State = None, *, batched: bool = True) -> "ModuleSession":
        """Return a session that steps a text from a state."""
        return ModuleSession(self, state)

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` for a state that the model cannot continue from."""
        try:
            self.step(np.zeros(1, dtype=np.int64), state)
        except Exception as error:  # a custom model may raise any
            raise ValueError(
                "`state` comes from another model; call state() of this one. "
                f"Received: a state with which this model raises {error!r:.200}"
            ) from error


class ModuleSession:
    """Steps a text through a torch module."""

    def __init__(self, stepper: ModuleStepper, state: State) -> None:
        self._stepper, self._state = stepper, state

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read the next token; return the logits after it."""
        logits, self._state = self._stepper.step(ids, self._state)
        return logits

    def state(self, rows: list[int]) -> State:
        """Return the model's own state."""
        return self._state


class DeviceStepper:
    """Steps few texts on the CPU, and many batched texts on a GPU.

    A GPU takes as long for hundreds of texts as for one, and for one text it takes longer than a
    CPU. Arithmetic and states, which are NumPy arrays, are the same in both places.

    Args:
        stepper: the model's NumPy stepper.
        device: the GPU.
    """

    max_batch_size = 1024
    uses_blas = True

    def __init__(self, stepper: RecurrentStepper, device: torch.device) -> None:
        self._stepper, self._device = stepper, device
        self._on_cpu = accelerated(stepper)

    @property
    def backend(self) -> str:
        """Return what computes a step, for people to read."""
        return f"{self._on_cpu.backend}; many texts on a GPU"

    @cached_property
    def _on_device(self) -> RecurrentStepper:
        return self._stepper.to_backend(self._to_device, torch, _index_select)

    def start(self, texts: int, state: State = None, *, batched: bool = False) -> Session:
        """Return a session for so many texts from a state, where that is fastest."""
        if not batched or texts < _MANY:
            return self._on_cpu.start(texts, state, batched=batched)
        with self._device:  # so that memory is allocated there
            start = None if state is None else tuple(map(self._to_device, state))
            session = self._on_device.start(texts, start, batched=True)
        return DeviceSession(session, self._to_device)

    def check_state(self, state: State) -> None:
        """Raise ``ValueError`` unless a state has the shapes of this model's states."""
        self._stepper.check_state(state)

    def _to_device(self, array: NDArray[Any]) -> Any:
        return torch.from_numpy(array).to(self._device)


class DeviceSession:
    """Steps texts on a GPU."""

    def __init__(self, session: RecurrentSession, to_device: Any) -> None:
        self._session: Any = session  # with torch's arrays
        self._to_device = to_device

    def step(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """Read one token of each text; return the logits after it, valid until the next step."""
        logits: NDArray[np.float32] = self._session.step(self._to_device(ids)).cpu().numpy()
        return logits

    def state(self, rows: list[int]) -> State:
        """Return the state of some of the texts as NumPy arrays."""
        return tuple(part.cpu().numpy() for part in self._session.state(rows))


def _index_select(table: torch.Tensor, ids: torch.Tensor, out: torch.Tensor) -> None:
    torch.index_select(table, 0, ids, out=out)
