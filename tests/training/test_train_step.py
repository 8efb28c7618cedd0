"""One step of learning, and what a learner leaves as it was."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from textrnn.models import GRUModel
from textrnn.models.registry import build
from textrnn.training.device import _can_bfloat16, autocast
from textrnn.training.optim import OptimizerConfig
from textrnn.training.train_step import TrainStep

X = torch.from_numpy(np.random.default_rng(0).integers(0, 7, (4, 16)))
TINY = torch.full((4,), 1e-39)  # a float32 below the smallest normal one


@pytest.fixture
def model():
    """A small LSTM with dropout."""
    return build("lstm", 7, {"hidden_size": 8, "dropout": 0.5}, seed=0)


def learn(model, seed=0):
    """Make three steps and give the losses."""
    learner, state, losses = (
        TrainStep(model, OptimizerConfig(learning_rate=0.1), seed=seed),
        None,
        [],
    )
    with learner.training():
        for _ in range(3):
            loss, state = learner(X, X, state)
            losses.append(float(loss))
    return losses


def test_steps_learn_and_the_seed_decides(model):
    """The loss falls; the same seed drops the same features."""
    losses = learn(model)
    assert losses[-1] < losses[0]
    again = [build("lstm", 7, {"hidden_size": 8, "dropout": 0.5}, seed=0) for _ in range(2)]
    assert learn(again[0]) == losses
    assert learn(again[1], seed=1) != losses


def test_numbers_too_small_to_matter_are_zero_in_training_only(model):
    """They make a processor many times slower; afterwards they are numbers again."""
    with TrainStep(model, seed=0).training():
        assert not bool((TINY * 1.0).view(torch.int32).any())
    assert bool((TINY * 1.0).view(torch.int32).all())


needs_bfloat16 = pytest.mark.skipif(
    not _can_bfloat16(), reason="this CPU has no instructions for an LSTM in bfloat16"
)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("rnn", "bfloat16"),
        ("gru", "bfloat16"),
        pytest.param("lstm", "bfloat16", marks=needs_bfloat16),
        ("gru", "float16"),
    ],
)
def test_a_step_in_half_precision_is_nearly_the_same(kind, precision):
    """Loss, gradient and weights are those of float32 but for rounding; weights stay float32.

    float16 is what runs on CUDA, here on the CPU: the loss is scaled, clipped after unscaling.
    """
    models = [build(kind, 7, {"hidden_size": 8}, seed=0) for _ in range(2)]
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "clip_norm": 0.5}
    whole = TrainStep(models[0], OptimizerConfig(precision="float32", **settings))
    half = TrainStep(models[1], OptimizerConfig(precision="float32", **settings))
    half._autocast = autocast(precision, torch.device("cpu"))
    if precision == "float16":
        half._scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    losses = [float(learner(X, X)[0]) for learner in (whole, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert float(whole.gradient_norm) == pytest.approx(float(half.gradient_norm), rel=2e-2)
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        assert q.dtype == torch.float32
        torch.testing.assert_close(p, q, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_on_a_cpu_the_loss_is_not_scaled(model, precision):
    """Both have the exponents of float32, so that small gradients survive as they are."""
    learner = TrainStep(model, OptimizerConfig(precision=precision))
    assert learner.precision == precision
    assert float(learner._scaler.scale(torch.ones(()))) == 1.0


def test_a_model_class_of_ones_own_runs_in_float32(monkeypatch):
    """It may do what ``torch.autocast`` cannot, unless it is asked for."""

    class Own(GRUModel):
        pass

    monkeypatch.setattr("textrnn.training.device._cpu_precision", lambda: "bfloat16")
    monkeypatch.setattr("textrnn.training.device._can_bfloat16", lambda: True)
    assert TrainStep(GRUModel(7)).precision == "bfloat16"
    assert TrainStep(Own(7)).precision == "float32"
    assert TrainStep(Own(7), OptimizerConfig(precision="bfloat16")).precision == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("length", ["epochs=1", "minutes=0.01"])
def test_numbers_too_small_to_matter_are_zero_in_pytorch_s_threads_too(length):
    """They begin where the model is built or the machine measured, and are told there."""
    code = (
        "import torch\n"
        "from textrnn import TextGenerator\n"
        "from textrnn.datasets import load_human_numbers\n"
        "torch.set_num_threads(2)\n"
        f"TextGenerator(seed=0).fit(load_human_numbers(1, 900), {length}, verbose=0)\n"
        "tiny = torch.full((4_000_000,), 1e-39)\n"
        "torch.set_num_threads(2)\n"
        "print(float((tiny * 1.0).view(torch.int32).ne(0).float().mean()))\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    run = [sys.executable, "-c", code]
    kept = subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout
    assert float(kept) == 0.5  # this half is this thread's, for which it is over
