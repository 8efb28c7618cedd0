"""Several processes on one training."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from textrnn import TextGenerator
from textrnn.training import distributed

WORKER = """
import os
import sys

import numpy as np
import torch

from textrnn import TextGenerator, Trainer

from textrnn.training import defaults, distributed
from textrnn.models.registry import build
from textrnn.models.arrays import state_arrays
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.text.corpus import Corpus

rank, world_size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if world_size > 1:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
assert distributed.rank_and_world_size() == (rank, world_size)
ids = np.random.default_rng(0).integers(7, size=400)
model = build("gru", 7, {"hidden_size": 12, "num_layers": 2}, seed=0)
settings = {"optimizer": "sgd", "precision": "float32", "learning_rate": 1.0}
settings = OptimizerConfig(**settings, clip_norm=0.25)  # clips every other step
history = Trainer(model, settings, seed=0).fit(
    Corpus(ids, ids[:50]), Plan(epochs=2, batch_size=4, seq_len=16)
)
measured = {name: history.history[name] for name in ("loss", "val_loss")}
measured["mean"] = distributed.all_reduce_mean(torch.tensor([1.0 + rank, 10.0])).numpy()
defaults.training_speed = lambda *given: 2e7 * (1 + 9 * rank)  # one has a much faster machine
gen = TextGenerator(seed=0)
chosen = gen.fit("abc" * 9000, minutes=0.02, verbose=0).params
measured["choices"] = chosen["speed"], gen.model.models[0].config["hidden_size"]
np.savez(f"{folder}/{world_size}.{rank}.npz", **state_arrays(model), **measured)
if world_size > 1:
    torch.distributed.destroy_process_group()
    os._exit(0)  # torch 2.13 aborts one in ten interpreters that used gloo, when they unload it
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
def test_two_processes_train_as_one(tmp_path):
    """After two epochs the weights and losses of both are those of one process."""
    command, env = [sys.executable, "-c", WORKER], {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([*command, str(rank), str(world_size), str(tmp_path)], env=env)
        for rank, world_size in ((0, 1), (0, 2), (1, 2))
    ]
    try:
        assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
    alone, first, second = (dict(np.load(tmp_path / f"{n}.npz")) for n in ("1.0", "2.0", "2.1"))
    np.testing.assert_array_equal(alone.pop("mean"), [1.0, 10.0])
    np.testing.assert_array_equal(alone.pop("choices"), [2e7, 384])
    for together in (first, second):
        np.testing.assert_array_equal(together.pop("mean"), [1.5, 10.0])
        np.testing.assert_array_equal(together.pop("choices"), [1.1e8, 512])
        assert together.keys() == alone.keys()
        for name in alone:
            np.testing.assert_allclose(
                together[name], alone[name], rtol=1e-6, atol=1e-6, err_msg=name
            )
    for name in alone:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_one_process_is_left_as_it_is():
    """Without a process group there is one process and nothing to average."""
    value = torch.tensor([2.0])
    assert distributed.rank_and_world_size() == (0, 1)
    assert distributed.all_reduce_mean(value) is value


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
def test_processes_that_were_not_joined_are_warned(monkeypatch):
    """By ``torchrun`` alone each would train on all of the text, without a word."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    gen = TextGenerator(hidden_size=4, seed=0)
    with pytest.warns(UserWarning, match=r"2 processes, .*\.init_process_group\(\)") as seen:
        gen.fit("abc" * 100, epochs=1, batch_size=2, seq_len=8, verbose=0)
    assert [warning.filename for warning in seen] == [__file__]
    monkeypatch.setenv("WORLD_SIZE", "1")
    gen.fit("abc" * 100, epochs=1, batch_size=2, seq_len=8, verbose=0)
