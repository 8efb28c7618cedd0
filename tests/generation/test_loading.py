"""Model files read for generation: what is in them comes out, and nothing else is taken."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files import model_file
from textrnn.generation.loading import load_sampler
from textrnn.generator import TextGenerator
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import build


def saved(model, vocab, path):
    """Save a model as the facade does, and give the facade."""
    gen = TextGenerator(model)
    gen.vocab = vocab
    gen.save(path)
    return gen


SCRIPT = """
import json, sys
from textrnn import load_sampler
sampler = load_sampler(sys.argv[1])
arguments = json.loads(sys.argv[2])
texts = [sampler.generate(**arguments), "".join(sampler.stream(**arguments))]
json.dump({"torch": "torch" in sys.modules, "texts": texts}, sys.stdout)
"""


@pytest.mark.slow
def test_a_saved_model_generates_without_torch(model, vocab, tmp_path):
    """In a fresh process torch is not imported, and the text is ``TextGenerator.generate``'s."""
    path = tmp_path / "model.safetensors"
    gen = saved(model, vocab, path)
    arguments = {"prompt": "one\n", "max_new_tokens": 80, "temperature": 0.9, "seed": 4}
    command = [sys.executable, "-c", SCRIPT, str(path), json.dumps(arguments)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert found == {"torch": False, "texts": [gen.generate(**arguments)] * 2}


def test_a_sampler_knows_what_its_file_says(model, kind, vocab, tmp_path):
    """``header`` has the kind, the config and the history, and the vocabulary is the file's."""
    saved(model, vocab, tmp_path / "model.safetensors")
    sampler = load_sampler(str(tmp_path / "model.safetensors"))
    assert sampler.vocab == vocab
    assert (sampler.header["kind"], sampler.header["model"]) == (kind, model.config)


@pytest.fixture
def parts(vocab):
    """The header and the tensors of a small RNN, as they stand in a file."""
    model = build("rnn", len(vocab), {"hidden_size": 4}, seed=0)
    arrays = {name: array.copy() for name, array in state_arrays(model).items()}
    return {"kind": "rnn", "model": model.config, "vocab": vocab.to_config()}, arrays


def test_a_custom_model_class_is_refused(parts, tmp_path):
    """Without torch it cannot be stepped; the message says who can read the file."""
    header, arrays = parts
    model_file.save(tmp_path / "m", {**header, "kind": "MyModel"}, arrays)
    with pytest.raises(UnsupportedFormatError, match=r"class, 'MyModel'; only TextGenerator\.load"):
        load_sampler(tmp_path / "m")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["head.bias", "layers.0.weight_hh_l0", "embedding.weight"])
def test_weights_that_are_no_numbers_are_refused(parts, tmp_path, name, value):
    """A single one is enough; the message names the tensor."""
    header, arrays = parts
    arrays[name].flat[2] = value
    model_file.save(tmp_path / "m", header, arrays)
    with pytest.raises(CorruptModelError, match=f"'{name}' holds numbers that are infinite or NaN"):
        load_sampler(tmp_path / "m")


@pytest.mark.parametrize("key", ["kind", "model", "vocab"])
def test_a_header_without_a_key_is_refused(parts, tmp_path, key):
    """A file that does not say what it holds is damaged."""
    header, arrays = parts
    del header[key]
    model_file.save(tmp_path / "m", header, arrays)
    with pytest.raises(CorruptModelError, match=f"does not describe a model .*'{key}'"):
        load_sampler(tmp_path / "m")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 7},
        {"kind": ["rnn"]},
        {"model": [1, 2]},
        {"model": "rnn"},
        {"model": {}},
        {"history": [1]},
        {"history": {"history": {"loss": 5}, "epoch": [], "stopped_by": None}},
        {"vocab": {}},
        {"vocab": []},
        {"vocab": {"level": "char", "symbols": [[97], [97]], "unk": False}},
        {"vocab": {"level": "char", "symbols": [[97], [98]], "unk": False}},
        {"vocab": {"level": "letters", "symbols": [[97]], "unk": False}},
    ],
    ids=str,
)
def test_a_header_that_contradicts_itself_is_refused(parts, tmp_path, change):
    """A kind, a config and a vocabulary that do not fit together are no model."""
    header, arrays = parts
    model_file.save(tmp_path / "m", {**header, **change}, arrays)
    with pytest.raises(CorruptModelError, match="does not describe a model"):
        load_sampler(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("load", [TextGenerator.load, load_sampler])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("rnn", {"hidden_size": 5}),
        ("rnn", {"hidden_size": "4"}),
        ("rnn", {"hidden_size": None}),
        ("rnn", {"num_layers": 0}),
        ("rnn", {"num_layers": 2}),
        ("rnn", {"num_layers": 1.0}),
        ("rnn", {"nonlinearity": "step"}),
        ("rnn", {"nonlinearity": None}),
        ("ngram", {"order": 0}),
        ("ngram", {"order": 4}),
        ("ngram", {"order": "3"}),
        ("ngram", {"smoothing": "none"}),
    ],
    ids=str,
)
def test_a_config_that_cannot_be_used_is_refused(kind, change, load, vocab, ids, tmp_path):
    """What ``TextGenerator.load`` refuses ``load_sampler`` refuses, too."""
    model = build(kind, len(vocab), {"order": 3} if kind == "ngram" else {"hidden_size": 4}, seed=0)
    if kind == "ngram":
        model.count(ids)
    header = {"kind": kind, "model": model.config | change, "vocab": vocab.to_config()}
    model_file.save(tmp_path / "m", header, state_arrays(model))
    with pytest.raises(CorruptModelError, match=r"config|The tensor"):
        load(tmp_path / "m")


@pytest.mark.parametrize("key", ["hidden_size", "num_layers", "nonlinearity"])
def test_a_config_without_a_key_is_refused(parts, tmp_path, key):
    """A sampler that could not write is not made."""
    header, arrays = parts
    del header["model"][key]
    model_file.save(tmp_path / "m", header, arrays)
    with pytest.raises(CorruptModelError, match=f"config cannot be used .*{key}"):
        load_sampler(tmp_path / "m")


@pytest.mark.parametrize("load", [TextGenerator.load, load_sampler])
@pytest.mark.parametrize(
    ("kind", "name", "dtype"),
    [("rnn", "head.weight", np.int32), ("ngram", "tokens", np.float32)],
)
def test_tensors_of_another_type_are_refused(kind, name, dtype, load, vocab, ids, tmp_path):
    """Weights are not integers, and tables are not floats."""
    model = build(kind, len(vocab), {"order": 3} if kind == "ngram" else {"hidden_size": 4}, seed=0)
    if kind == "ngram":
        model.count(ids)
    header = {"kind": kind, "model": model.config, "vocab": vocab.to_config()}
    arrays = state_arrays(model)
    model_file.save(tmp_path / "m", header, {**arrays, name: arrays[name].astype(dtype)})
    with pytest.raises(CorruptModelError, match=f"tensor '{name}'.*{np.dtype(dtype).name}"):
        load(tmp_path / "m")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    """Faults of the disk stay what they are."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_sampler(tmp_path / "nothing.safetensors")
