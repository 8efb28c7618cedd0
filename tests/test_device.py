"""Names of devices, and room on the processor."""

from pathlib import Path

import pytest
import torch

from textrnn import device
from textrnn.device import pick_device


def test_auto_is_the_best_device_there_is():
    """``"auto"`` is CUDA where there is one, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        best = "cuda"
    else:
        best = "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device("auto").type == best


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(),
    reason="this machine has an accelerator, so auto is not the CPU",
)
def test_auto_is_the_cpu_where_there_is_nothing_else():
    """On a machine without an accelerator everything works on the CPU."""
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_can_be_named(device):
    """A name and a torch device are both taken."""
    assert pick_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", 1.5, ["cpu"]], ids=repr)
def test_a_device_that_is_not_there_is_refused(device):
    """The message says what may be passed, and ends with what was received."""
    with pytest.raises(ValueError, match=r"`device` must be 'auto' or .*Received: ") as info:
        pick_device(device)
    assert str(info.value).endswith(f"Received: {device!r}")


def test_threads_are_as_many_as_there_are_free_cores(monkeypatch):
    """Rounded, at least one, at most as many as asked for."""
    for idle, most, threads in ((0.0, 4, 1), (0.4, 4, 4), (0.26, 4, 3), (0.8, 2, 2), (0.05, 2, 1)):
        readings = iter([7.0, 7.0 + idle])
        monkeypatch.setattr(device, "_idle_seconds", lambda readings=readings: next(readings))
        assert device.free_threads(most) == threads


def test_threads_where_the_system_does_not_tell(monkeypatch):
    """Then they are as many as asked for; one is one without a look."""
    monkeypatch.setattr(device, "_idle_seconds", lambda: None)
    assert device.free_threads(5) == 5
    monkeypatch.setattr(device, "_idle_seconds", pytest.fail)
    assert device.free_threads(1) == 1


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc/stat")
def test_idle_time_goes_up():
    """It counts seconds of all cores together."""
    first = device._idle_seconds()
    assert first > 0
    assert device._idle_seconds() >= first
