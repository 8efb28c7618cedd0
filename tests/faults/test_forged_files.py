"""Rows 38 to 42, 46 and 47 of the fault table: headers that lie, with checksums that are right."""

import copy
import json
import math

import numpy as np
import pytest
import torch

from tests.faults.files import DATA, forge, golden, memory_below
from tests.fuzz import fuzz_load as fuzz
from textrnn import TextGenerator, load_sampler
from textrnn.errors import CorruptModelError, FileFormatError, UnsupportedFormatError
from textrnn.models import WindowMLPModel
from textrnn.models.arrays import from_arrays
from textrnn.models.registry import MODELS
from textrnn.text.vocab import Vocab

pytestmark = pytest.mark.faults


# Headers that lie, with checksums that are right

BOMBS = [
    *((name, "hidden_size", 10**9) for name in ("lstm", "gru", "rnn", "window_mlp", "window_rnn")),
    *((name, "num_layers", 10**6) for name in ("lstm", "gru", "rnn")),
    *((name, "embedding_dim", 10**12) for name in ("lstm", "rnn", "window_mlp")),
    *((name, "vocab_size", 10**12) for name in ("lstm", "ngram", "window_rnn", "words")),
    *((name, "window", 10**9) for name in ("window_mlp", "window_rnn")),
    ("ngram", "order", 10**9),
    ("lstm", "hidden_size", 10**900),
]


@pytest.mark.parametrize(("name", "key", "value"), BOMBS)
def test_38_a_config_that_asks_for_much(path, load, name, key, value):
    """A model that is larger than its file is refused before any of it is made."""
    file = golden(name)
    forge(path, file, model={**file.header["model"], key: value})
    with (
        memory_below(10**6),
        pytest.raises(CorruptModelError, match=r"does not describe a model|config"),
    ):
        load(path)


@pytest.mark.parametrize("shape", [[10**9, 10**9], [2**62, 4], [2**40], [8, 2**63]], ids=str)
def test_38_a_shape_that_asks_for_much(path, rnn, load, shape):
    """So is a tensor that is larger than its data."""
    rnn.tensors["head.bias"][1] = shape
    forge(path, rnn)
    with memory_below(10**6), pytest.raises(CorruptModelError, match="tensors cannot be read"):
        load(path)


@pytest.mark.slow
def test_38_tables_that_would_be_much_larger_than_the_model(path, load):
    """Symbols with vectors of one number, seen through a wide window: no table of all pairs."""
    vocab = Vocab(map(chr, range(3000)))
    model = WindowMLPModel(3000, window=4_000, embedding_dim=1, hidden_size=1)
    gen = TextGenerator(model, device="cpu")
    gen.vocab = vocab
    gen.save(path)
    load(DATA / "0.1.0-window_mlp.safetensors")  # what is imported once is imported now
    with memory_below(2**24):
        loaded = load(path)
        found = loaded.state("abc").logits
    expected = model(torch.tensor([vocab.encode("abc").tolist()]))[0][:, -1].detach()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


TENSOR_FAULTS = {
    "zero-element": lambda tensor: [tensor[0], [0], b""],
    "another dtype": lambda tensor: ["F64", tensor[1], tensor[2] * 2],
    "integers": lambda tensor: ["I32", tensor[1], tensor[2]],
    "another shape": lambda tensor: [tensor[0], [1, *tensor[1]], tensor[2]],
    "transposed": lambda tensor: [tensor[0], [*tensor[1][::-1], 1], tensor[2]],
    "missing": None,
}


@pytest.mark.parametrize("fault", TENSOR_FAULTS)
@pytest.mark.parametrize("name", ["head.bias", "embedding.weight", "layers.0.weight_hh_l0"])
def test_39_a_tensor_that_does_not_fit(path, rnn, load, name, fault):
    """The config says which tensors there must be; another one is named."""
    tensor = rnn.tensors.pop(name)
    if fault != "missing":
        rnn.tensors[name] = TENSOR_FAULTS[fault](tensor)
    forge(path, rnn)
    with pytest.raises(CorruptModelError, match=f"tensor '{name}' must have .*Received: "):
        load(path)


@pytest.mark.parametrize("name", ["head.bias2", "levels.0.tokens", "", "__class__"])
@pytest.mark.parametrize("data", [b"", b"\0\0\0\0"], ids=len)
@pytest.mark.parametrize("file", ["rnn", "ngram", "window_mlp"])
def test_39_a_tensor_too_many(path, load, file, name, data):
    """One that no config implies is named, too; so is one with nothing in it."""
    file = golden(file)
    name = f"{name}2" if name in file.tensors else name
    file.tensors[name] = ["F32", [len(data) // 4], data]
    forge(path, file)
    with pytest.raises(CorruptModelError, match=f"tensor '{name}' does not belong in the file"):
        load(path)


@pytest.mark.parametrize(
    ("index", "symbol"),
    [
        *((0, odd) for odd in ([0x110000], [-1], [10**30], [97.0], ["a"], [True], [None], [[97]])),
        *((0, odd) for odd in ([], [97, 98], "a", 97, None, {})),
        (0, "twice"),
        (0, "gone"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["rnn", "ngram"])
def test_40_a_vocabulary_that_cannot_be(path, load, name, index, symbol):
    """Symbols that are no code points, stand there twice, or are too few are refused."""
    file = golden(name)
    symbols = file.header["vocab"]["symbols"]
    if symbol == "gone":
        del symbols[index]
    else:
        symbols[index] = symbols[1] if symbol == "twice" else symbol
    forge(path, file)
    with pytest.raises(CorruptModelError, match="The file's header does not describe a model"):
        load(path)


@pytest.mark.parametrize("vocab", [None, [], {}, "ab", {"level": "char"}, {"unk": 1}], ids=str)
def test_40_no_vocabulary(path, rnn, load, vocab):
    """Something else in its place is refused."""
    forge(path, rnn, vocab={**rnn.header["vocab"], **vocab} if vocab == {"unk": 1} else vocab)
    with pytest.raises(CorruptModelError, match="The file's header does not describe a model"):
        load(path)


@pytest.mark.parametrize(
    "value",
    [
        *("[" * 200_000 + "]" * 200_000, '{"a":' * 200_000 + "1" + "}" * 200_000),
        *("9" * 10_000, "1" + "0" * 1001, "NaN", "Infinity", "-Infinity", "1e999"),
        *('{"a": 1, "a": 1}', "'a'", "01"),
    ],
    ids=lambda value: value[:9],
)
@pytest.mark.parametrize("outer", [False, True])
def test_41_json_that_is_none(path, rnn, load, value, outer):
    """Nesting and numbers without end, and what JSON does not know, are refused in both headers."""
    text = json.dumps(rnn.header)[:-1] + f', "more": {value}}}'
    if outer:
        text = json.dumps({"__metadata__": {"textrnn_format": "1"}})[:-1] + f', "more": {value}}}'
        path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    else:
        path.write_bytes(fuzz.pack(text, rnn.tensors))
    with pytest.raises(CorruptModelError, match="The file's header is not valid JSON"):
        load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("history", {"history": {"loss": [10**400]}, "epoch": [], "stopped_by": None}),
        ("history", {"history": {"loss": [1]}, "epoch": ["x"], "stopped_by": None}),
        ("model", {"vocab_size": 10**400}),
        ("kind", ["rnn"]),
    ],
)
def test_41_numbers_that_python_cannot_convert(path, rnn, load, key, value):
    """What is JSON, but no header of a model, is refused as that."""
    forge(path, rnn, **{key: value})
    with pytest.raises(CorruptModelError, match="The file's header does not describe a model"):
        load(path)


@pytest.mark.parametrize("levels", [50, 200, 450, 600, 700, 800, 900])
@pytest.mark.parametrize("key", ["hidden_size", "vocab_size", "dropout", "more"])
def test_41_nesting_that_is_just_possible(path, rnn, load, key, levels):
    """What can be read, but not written into a message, is refused all the same, or not used."""
    value = json.loads("[" * levels + "]" * levels)
    forge(path, rnn, model={**rnn.header["model"], key: value})
    if load is load_sampler and key in ("dropout", "more"):
        return  # which it does not look at
    message = "config cannot be used|does not describe a model|cannot be built with the file's conf"
    with pytest.raises(CorruptModelError, match=f"({message}).*Received: "):
        load(path)


def test_41_a_config_too_deep_for_a_message():
    """It is refused by a message that leaves it out."""
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(CorruptModelError, match="RNNModel cannot be built with the file's config"):
        from_arrays(MODELS["rnn"], {"vocab_size": 5, "dropout": deep}, {})


@pytest.mark.parametrize("surrogate", ["\ud800", "\\ud800"])
def test_41_a_header_with_surrogates(path, rnn, load, surrogate):
    """A header that is no Unicode text is refused, or is what was saved."""
    text = json.dumps(rnn.header)[:-1] + f', "more": "{surrogate}"}}'
    path.write_bytes(fuzz.pack(text, rnn.tensors))
    assert load(path).generate("one", 5, temperature=0)


@pytest.mark.parametrize("version", ["2", "3", "99", "1.0", ""])
def test_42_a_newer_format(path, rnn, load, version):
    """The message has both formats and the advice to upgrade; nothing else is looked at."""
    path.write_bytes(fuzz.pack("{}", rnn.tensors, metadata={"textrnn_format": version}))
    message = f"file has format '{version}', and this textrnn reads format 1; upgrade textrnn"
    with pytest.raises(UnsupportedFormatError, match=message):
        load(path)


NAMES = ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "file:///etc/passwd", "con", "a\0b"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_46_names_that_look_like_paths(path, rnn, load, name):
    """A name is compared with those that may be, and never looked for anywhere."""
    for where in ("tensor", "kind", "symbol"):
        file = copy.deepcopy(rnn)
        if where == "tensor":
            file.tensors[name] = file.tensors.pop("head.bias")
        elif where == "kind":
            file.header["kind"] = name
        else:
            file.header["vocab"]["level"] = name
        forge(path, file)
        message = {
            "tensor": "tensor 'head.bias' must have the shape",
            "kind": "holds a custom model class",
            "symbol": "does not describe a model",
        }[where]
        with pytest.raises(FileFormatError, match=f"{message}.*Received: "):
            load(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "window_mlp", "window_rnn", "words"])
def test_47_weights_that_are_no_numbers(path, load, name, value):
    """A single one, anywhere, is enough."""
    file = golden(name)
    tensor = file.tensors["head.bias"]
    numbers = np.frombuffer(tensor[2], "<f4").copy()
    numbers[-1] = value
    tensor[2] = numbers.tobytes()
    forge(path, file)
    with pytest.raises(CorruptModelError, match=r"'head\.bias' holds numbers that are infin"):
        load(path)
