"""Files that a generator writes and reads."""

import io
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.generator.helpers import SEED, same, trained, weights
from textrnn import TextGenerator, load_sampler
from textrnn.errors import (
    CorruptModelError,
    FileFormatError,
    UnsupportedFormatError,
)
from textrnn.files import model_file
from textrnn.models.registry import MODELS

# Files


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Each family, saved here; what another process reads, writes and measures with the file."""
    folder = tmp_path_factory.mktemp("models")
    here = {}
    for family in MODELS:
        gen = trained(family)
        history = gen.history.history
        gen.save(folder / family)
        here[family] = {
            "text": gen.generate("one", 40, **SEED),
            "val_loss": history["val_loss"][-1],
            "history": history,
        }
    code = """
import json, pathlib, sys, torch
torch.set_num_threads(1)
from textrnn import TextGenerator
from textrnn.datasets import load_human_numbers
text = load_human_numbers(1, 110)
there = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    gen = TextGenerator.load(path, device="cpu")
    there[path.name] = {
        "text": gen.generate("one", 40, seed=0),
        "val_loss": gen.evaluate(text[int(len(text) * 0.9):])["loss"],
        "history": gen.history.history,
    }
print(json.dumps(there))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    return here, json.loads(result.stdout)


@pytest.mark.slow
def test_another_process_writes_the_same_text(family, elsewhere):
    """A saved model gives the same text for the same seed in another process."""
    here, there = elsewhere
    assert there[family]["text"] == here[family]["text"]


@pytest.mark.slow
def test_another_process_measures_the_same_loss(family, elsewhere):
    """A saved model's loss in another process is the val_loss that ``fit`` reported."""
    here, there = elsewhere
    np.testing.assert_allclose(there[family]["val_loss"], here[family]["val_loss"], atol=1e-4)
    assert there[family]["history"] == here[family]["history"]


def test_load_gives_the_same_generator(tmp_path, family):
    """Weights are bit-equal after ``load``, on the device asked for, and so is all else."""
    gen = trained(family)
    gen.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu")
    assert same(weights(loaded), weights(gen))
    assert {tensor.device.type for tensor in loaded.model.state_dict().values()} == {"cpu"}
    assert type(loaded.model) is type(gen.model)
    assert loaded.model.config == gen.model.config
    assert loaded.vocab == gen.vocab
    assert (loaded.level, loaded.device) == (gen.level, torch.device("cpu"))
    assert loaded.history.history == gen.history.history
    assert loaded.history.epoch == gen.history.epoch
    assert loaded.history.params == gen.history.params != {}


def test_a_sampler_writes_the_same_text(tmp_path, family):
    """``load_sampler`` writes what the generator writes, without torch."""
    gen = trained(family)
    gen.save(tmp_path / "model")
    sampler = load_sampler(tmp_path / "model")
    assert sampler.generate("one", 40, **SEED) == gen.generate("one", 40, **SEED)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 10, 100, 0.1, 0.5, 0.9, -100, -1])
def test_a_file_cut_short_is_refused(tmp_path, fitted, kept):
    """However much of a file is missing, ``load`` raises an error of its own."""
    path = tmp_path / "model"
    fitted.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    message = "cut short|not a textrnn model file|cannot be read .*; it is damaged"
    with pytest.raises(FileFormatError, match=f"({message}).*Received: "):
        TextGenerator.load(path)


class _Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def _torch_file():
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [pickle.dumps(_Bomb()), _torch_file(), b"", b"{}", b"\0" * 100, "é".encode() * 99]
)
def test_files_of_other_kinds_are_refused(tmp_path, monkeypatch, data):
    """A pickle, a torch file and other bytes are refused, and nothing in them is executed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(UnsupportedFormatError, match="not a textrnn model file"):
        TextGenerator.load(tmp_path / "model")
    assert os.listdir() == ["model"]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["kind", "model", "vocab", "history"])
@pytest.mark.parametrize("value", [None, [], {}, "x", 3])
def test_a_header_that_describes_no_model(tmp_path, fitted, key, value):
    """A file whose header lacks something, or holds something else there, is refused."""
    fitted.save(tmp_path / "model")
    header, tensors = model_file.load(tmp_path / "model")
    model_file.save(tmp_path / "model", {**header, key: value}, tensors)
    message = (
        "holds a custom model class"
        if (key, value) == ("kind", "x")
        else "does not describe a model"
    )
    with pytest.raises(FileFormatError, match=f"{message}.*Received: "):
        TextGenerator.load(tmp_path / "model")


def test_a_checkpoint_of_another_model_is_refused(tmp_path, fitted):
    """Tensors that do not fit the config are refused by name."""
    fitted.save(tmp_path / "model")
    header, tensors = model_file.load(tmp_path / "model")
    config = {**header["model"], "hidden_size": 99}
    model_file.save(tmp_path / "model", {**header, "model": config}, tensors)
    with pytest.raises(
        CorruptModelError, match=r"tensor 'layers\.0\.weight_ih_l0' must have the shape"
    ):
        TextGenerator.load(tmp_path / "model")
