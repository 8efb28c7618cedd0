"""Names of devices."""

import pytest
import torch

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
