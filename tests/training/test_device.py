"""Names of devices, room on the processor, and its speed."""

import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from textrnn.training import device, threads
from textrnn.training.device import PRECISIONS, autocast, pick_device, pick_precision
from textrnn.training.threads import adaptive_threads, training_speed


@pytest.fixture
def thread_count(monkeypatch):
    """Let a test change the number of threads; it is put back."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx512f avx512_bf16 amx_tile", "bfloat16"),
        ("fpu avx512f amx_bf16", "bfloat16"),
        ("fpu avx2 avx512f", "float32"),
        ("", "float32"),
        (None, "float32"),
    ],
)
def test_a_cpu_gets_what_it_was_made_for(monkeypatch, flags, precision):
    """bfloat16 where it has instructions for it, float32 where not or where nobody tells."""

    def read_text(path):
        if flags is None:
            raise FileNotFoundError(path)
        return (
            f"processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n"
        )

    monkeypatch.setattr(Path, "read_text", read_text)
    assert pick_precision("auto", torch.device("cpu")) == precision


def test_other_devices_and_wishes():
    """float16 on CUDA, float32 on Apple's; a wish is a wish."""
    assert pick_precision("auto", torch.device("cuda")) == "float16"
    assert pick_precision("auto", torch.device("mps")) == "float32"
    assert [pick_precision(p, torch.device("cuda")) for p in PRECISIONS[1:]] == [*PRECISIONS[1:]]
    assert pick_precision("auto", torch.device("cuda"), known=False) == "float32"
    assert pick_precision("float16", torch.device("cuda"), known=False) == "float16"
    with pytest.raises(ValueError, match=r"cannot train in float16\. Received: .float16."):
        pick_precision("float16", torch.device("cpu"))


def test_bfloat16_is_refused_where_a_cpu_cannot(monkeypatch):
    """Instead of an error by oneDNN from the middle of training."""
    monkeypatch.setattr(device, "_can_bfloat16", lambda: False)
    with pytest.raises(ValueError, match=r"no instructions for bfloat16\. Received: .bfloat16."):
        pick_precision("bfloat16", torch.device("cpu"))
    monkeypatch.setattr(device, "_can_bfloat16", lambda: True)
    assert pick_precision("bfloat16", torch.device("cpu")) == "bfloat16"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_run_in_the_precision(precision):
    """Those of matrices; the weights stay float32."""
    layer = torch.nn.Linear(3, 2)
    with autocast(precision, torch.device("cpu")):
        assert layer(torch.ones(1, 3)).dtype == getattr(torch, precision)
    assert layer.weight.dtype == torch.float32


def test_threads_are_as_many_as_there_are_free_cores(monkeypatch, thread_count):
    """Rounded, at least one, at most as many as before, looked for again and again."""
    readings = iter([(0.0, 0.0), (1.0, 2.4), (2.0, 2.4), (4.0, 9.0), (5.0, 99.0)])
    monkeypatch.setattr(threads, "_work", lambda: next(readings))
    torch.set_num_threads(4)
    with adaptive_threads(True) as look:
        seen = [torch.get_num_threads()]
        for _ in range(3):
            look()
            seen.append(torch.get_num_threads())
    assert seen == [2, 1, 3, 4]


def test_a_look_is_taken_once_a_second(monkeypatch, thread_count):
    """Called again at once, it does nothing."""
    start = time.perf_counter()
    readings = iter([(start, 0.0), (start + 3600, 3600.0)])
    monkeypatch.setattr(threads, "_work", lambda: next(readings))
    torch.set_num_threads(4)
    with adaptive_threads(True) as look:
        look()
        look()
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("fails", [False, True])
def test_threads_come_back(monkeypatch, thread_count, fails):
    """In the end they are as many as before, whatever happens."""
    readings = iter([(0.0, 0.0), (1.0, 1.0)])
    monkeypatch.setattr(threads, "_work", lambda: next(readings))
    torch.set_num_threads(3)
    with pytest.raises(KeyError, match="mine") if fails else nullcontext(), adaptive_threads(True):
        assert torch.get_num_threads() == 1
        if fails:
            raise KeyError("mine")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("adapts", "before", "variable", "told"),
    [(False, 3, None, True), (True, 1, None, True), (True, 3, "3", True), (True, 3, None, False)],
)
def test_threads_are_left_alone(monkeypatch, thread_count, adapts, before, variable, told):
    """Where they should be, where there is one, by wish, and where the system does not tell."""
    readings = iter([(0.0, 0.0), (1.0, 1.0)])
    monkeypatch.setattr(threads, "_work", lambda: next(readings) if told else None)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    torch.set_num_threads(before)
    with adaptive_threads(adapts) as look:
        look()
        assert torch.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc/stat")
def test_work_goes_up():
    """Idle time and our own work count, so that we do not make room for ourselves."""
    first = threads._work()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    wall, free = (new - old for new, old in zip(threads._work(), first, strict=True))
    assert wall >= 0.2
    assert free >= 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        pytest.param(
            "bfloat16",
            marks=pytest.mark.skipif(not device._can_bfloat16(), reason="not on this CPU"),
        ),
    ],
)
def test_speed_is_measured_without_a_trace(thread_count, precision):
    """It is above 0; global random numbers and threads are as before."""
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    assert training_speed(torch.device("cpu"), precision, 0.0) > 0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
