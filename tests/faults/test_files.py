"""Rows 33 to 49, 75 and 76 of the fault table: files that are not what was saved."""

import ast
import copy
import importlib.util
import io
import json
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import textrnn
from textrnn import TextGenerator, load_sampler
from textrnn.datasets import load_human_numbers
from textrnn.errors import CorruptModelError, FileFormatError, UnsupportedFormatError
from textrnn.files import model_file
from textrnn.models import WindowMLPModel
from textrnn.models.arrays import from_arrays, state_arrays
from textrnn.models.registry import MODELS
from textrnn.text.vocab import Vocab

pytestmark = pytest.mark.faults

TESTS = Path(__file__).parents[1]
DATA = TESTS / "data"
GOLDEN = json.loads((DATA / "golden.json").read_text(encoding="utf-8"))
SRC = Path(textrnn.__file__).parent

_spec = importlib.util.spec_from_file_location("fuzz_load", TESTS / "fuzz" / "fuzz_load.py")
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)


def golden(name):
    """Return a golden file, taken apart."""
    return fuzz.Original(DATA / f"0.1.0-{name}.safetensors")


def load_generator(path):
    """Load a model with torch, on the CPU."""
    return TextGenerator.load(path, device="cpu")


@pytest.fixture(params=[load_generator, load_sampler], ids=["TextGenerator.load", "load_sampler"])
def load(request):
    """Each of the two loaders in turn."""
    return request.param


@pytest.fixture
def path(tmp_path):
    """A path in an empty folder, for a model file."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def rnn():
    """The smallest of the golden files with weights."""
    return golden("rnn")


def forge(path, file, tensors=None, **header):
    """Write a file with other tensors or another header, and the checksums that belong to them."""
    header = json.dumps({**file.header, **header})
    path.write_bytes(fuzz.pack(header, file.tensors if tensors is None else tensors))


@contextmanager
def memory_below(limit):
    """Assert that what is done inside takes less than so many bytes at any time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


# Damage


def test_33_cut_short_at_every_byte(path, rnn):
    """No beginning of a file is taken for a file, wherever in header or data it ends."""
    path.write_bytes(rnn.data)
    for size in range(len(rnn.data) - 1, -1, -1):
        os.truncate(path, size)
        expected = CorruptModelError if size >= 10 else UnsupportedFormatError
        with pytest.raises(expected, match="Received: "):
            load_sampler(path)
        if size % 100 == 0:
            with pytest.raises(expected, match="Received: "):
                load_generator(path)


@pytest.mark.parametrize("part", ["header", "data"])
def test_34_a_flipped_bit(path, rnn, part):
    """None changes a model in silence: a bit of each byte of the header, 500 of the data."""
    bits = [8 * i + i % 8 for i in range(rnn.head_end)]
    if part == "data":
        rng = np.random.default_rng(0)
        bits = rng.integers(8 * rnn.head_end, 8 * len(rnn.data), 500).tolist()
    path.write_bytes(rnn.data)
    with path.open("r+b", buffering=0) as file:
        for bit in bits:
            byte = rnn.data[bit // 8]
            file.seek(bit // 8)
            file.write(bytes([byte ^ 1 << bit % 8]))
            with pytest.raises(FileFormatError, match="Received: "):
                load_sampler(path)
            file.seek(bit // 8)
            file.write(bytes([byte]))
    assert load_sampler(path).generate("one", 5, temperature=0)


def archive():
    """Return a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", "b")
    return buffer.getvalue()


@pytest.mark.parametrize("tail", [b"\0", b"\n", archive(), b"{}"], ids=["nul", "line", "zip", "{}"])
def test_35_bytes_that_follow(path, rnn, load, tail):
    """A file that is a model and something else besides is refused."""
    path.write_bytes(rnn.data + tail)
    with pytest.raises(CorruptModelError, match=r"their data .* do not end where the file does"):
        load(path)


@pytest.mark.parametrize(
    ("length", "size"),
    [
        *((length, None) for length in (2**63, 2**64 - 1, 10**8 + 1, 10**8, 5000)),
        *((length, 2 * 10**8) for length in (10**8 + 1, 2 * 10**8 - 8, 2 * 10**8)),
    ],
)
def test_36_a_header_length_that_cannot_be(path, rnn, load, length, size):
    """It is refused before anything is read, also in a file that has so many bytes."""
    path.write_bytes(length.to_bytes(8, "little") + rnn.data[8:])
    if size is not None:
        os.truncate(path, size)  # what is added is a hole, and takes no room on the disk
    with (
        memory_below(10**6),
        pytest.raises(CorruptModelError, match=f"its header has {length} bytes, but only"),
    ):
        load(path)


def test_36_a_large_file_of_another_kind(path, load):
    """Only the beginning of a file that is no model is read, however large it is."""
    path.write_bytes(b"to be or not to be")
    os.truncate(path, 2**33)  # 8 GiB, nearly all of it a hole
    with (
        memory_below(10**6),
        pytest.raises(UnsupportedFormatError, match=r"not a textrnn model file.*8589934592 b"),
    ):
        load(path)


@pytest.mark.parametrize(
    "span",
    [[0, 0], [4, 36], [-32, 0], [32, 0], [0, 64], [0, 28], [10**30, 10**30 + 32], [0.0, 32], [0]],
    ids=str,
)
def test_37_offsets_that_cannot_be(path, rnn, load, span):
    """Tensors that overlap, leave a hole, or lie before, behind or nowhere are refused."""
    first = next(iter(rnn.tensors))
    for offsets in ({first: span}, {"head.bias": span}):
        path.write_bytes(fuzz.pack(json.dumps(rnn.header), rnn.tensors, offsets))
        with pytest.raises(CorruptModelError, match=r"tensors cannot be read .*; it is damaged"):
            load(path)


def test_37_a_key_that_stands_there_twice(path, rnn, load):
    """A tensor, an entry of the metadata or one of the header, twice, is refused."""
    head = rnn.data[8 : rnn.head_end].decode().rstrip()
    twice = ['"head.bias": {', '"__metadata__": {', '"textrnn_format": ', '"dtype": ']
    for key in twice:
        at = head.index(key)
        value = "{}, " if key.endswith("{") else '"1", '
        text = (head[:at] + key.rstrip("{") + value + head[at:]).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + rnn.data[rnn.head_end :])
        with pytest.raises(CorruptModelError, match="a key stands there twice"):
            load(path)
    text = json.dumps(rnn.header)
    path.write_bytes(fuzz.pack(text[:-1] + ', "kind": "rnn"}', rnn.tensors))
    with pytest.raises(CorruptModelError, match="a key stands there twice"):
        load(path)


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


def test_38_tables_that_would_be_much_larger_than_the_model(path, load):
    """Symbols with vectors of one number, seen through a wide window: no table of all pairs."""
    vocab = Vocab(map(chr, range(3000)))
    model = WindowMLPModel(3000, window=60_000, embedding_dim=1, hidden_size=1)
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
    with pytest.raises(CorruptModelError, match="Received: "):
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


# Files of releases


def test_43_every_family_has_a_golden_file():
    """Each file has a record and each record a file, and no family is left out."""
    files = {file.name for file in DATA.glob("*.safetensors")}
    assert files == set(GOLDEN)
    assert set(MODELS) == {fuzz.Original(DATA / name).header["kind"] for name in files}
    assert all((DATA / name).stat().st_size < 10_000 for name in files)


@pytest.mark.parametrize("name", GOLDEN)
def test_43_older_files_are_read_for_ever(load, name):
    """A file of any release so far writes what it wrote then, greedily and with a seed."""
    model, record = load(DATA / name), GOLDEN[name]
    prompt = record["prompt"]
    assert model.generate(prompt, 60, temperature=0) == record["greedy"]
    assert model.generate(prompt, 60, seed=record["seed"]) == record["seeded"]
    logits = model.state(prompt).logits[0]
    np.testing.assert_allclose(logits, record["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", GOLDEN)
def test_43_older_files_are_learnt_on(name):
    """A loaded model scores its text, and goes on learning."""
    gen = load_generator(DATA / name)
    text = gen.generate("", 80, seed=1)
    assert math.isfinite(gen.evaluate(text)["loss"])
    gen.fit(text, epochs=1, batch_size=2, seq_len=8, validation_split=0, verbose=0)
    assert len(gen.history) == 1


# Files of other kinds


class Touch:
    """An object whose pickle creates a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Say how to rebuild this object: by touching the file."""
        return Path.touch, (self.path,)


def torch_file(witness):
    """Return what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(Touch(witness), buffer)
    return buffer.getvalue()


def arrays(witness):
    """Return what np.savez writes, with an array of objects."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Touch(witness)], dtype=object))
    return buffer.getvalue()


OTHERS = {
    "pickle 0": lambda witness: pickle.dumps(Touch(witness), 0),
    "pickle 5": lambda witness: pickle.dumps(Touch(witness), 5),
    "torch.save": torch_file,
    "np.savez": arrays,
    "zip": lambda witness: archive(),
    "hdf5": lambda witness: b"\x89HDF\r\n\x1a\n" + bytes(90),
    "gzip": lambda witness: b"\x1f\x8b\x08" + bytes(90),
    "text": lambda witness: b"import os; os.system('true')",
    "json": lambda witness: b'{"kind": "rnn"}',
}


@pytest.mark.parametrize("kind", OTHERS)
def test_44_files_of_other_kinds(path, load, kind):
    """They are told by their first bytes, and nothing in them is executed."""
    witness = path.with_name("witness")
    path.write_bytes(OTHERS[kind](witness))
    with pytest.raises(UnsupportedFormatError, match=r"not a textrnn model file.*beginning with b"):
        load(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_44_the_trap_works(path):
    """The pickles of these tests would do something if they were read."""
    pickle.loads(pickle.dumps(Touch(path)))
    assert path.exists()


DANGEROUS = {
    *("pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "zipfile", "gzip", "bz2"),
    *("lzma", "tarfile", "zlib", "runpy", "ctypes", "h5py", "yaml"),
}


@pytest.mark.parametrize("file", sorted(SRC.rglob("*.py")), ids=lambda file: file.stem)
def test_45_no_reader_of_archives_or_objects(file):
    """No file of src imports a module that unpacks or executes, or calls NumPy's own loaders."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("np", "load"), ("torch", "load")}
    assert imported & DANGEROUS == set()


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
        with pytest.raises(FileFormatError, match="Received: "):
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


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no GPU here"))]  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
def test_48_the_device_is_not_in_the_file(path, device):
    """A model that was trained on a GPU is saved like any other, and loaded on a CPU."""
    gen = TextGenerator("lstm", hidden_size=8, seed=0, device=device)
    gen.fit(load_human_numbers(1, 50), epochs=1, batch_size=4, seq_len=8, verbose=0)
    gen.save(path)
    text = path.read_bytes()[: golden("lstm").head_end].decode("ascii", "ignore").lower()
    assert not [word for word in ("cuda", "cpu", "mps", "device") if f'"{word}' in text]
    loaded = load_generator(path)
    assert {tensor.device.type for tensor in loaded.model.state_dict().values()} == {"cpu"}
    for name, array in state_arrays(gen.model).items():
        np.testing.assert_array_equal(state_arrays(loaded.model)[name], array)


# Anything


def test_49_anything_at_all(path):
    """Only TextRNNError and OSError escape from the loaders, and no damage changes a model.

    ``tests/fuzz/fuzz_load.py`` does the same with as many files as one likes.
    """
    table, _ = fuzz.run(400, 0, path)
    outcomes = {result for _, result in table}
    assert fuzz.faults(table) == {}
    assert outcomes >= {"CorruptModelError", "UnsupportedFormatError", "loaded differently"}


def test_49_the_fuzzer_sees_faults(path, monkeypatch):
    """A loader that lets everything pass, and one that raises what it should not, are found."""
    sampler = load_sampler(DATA / "0.1.0-rnn.safetensors")
    monkeypatch.setattr(fuzz, "load_generator", lambda path: sampler)
    for loader, fault in [
        (lambda path: sampler, "LOADED DIFFERENTLY, in silence"),
        (lambda path: {}["no such key"], "ESCAPED from <lambda>: KeyError: 'no such key'"),
    ]:
        monkeypatch.setattr(fuzz, "load_sampler", loader)
        table, _ = fuzz.run(50, 0, path)
        assert {result for _, result in fuzz.faults(table)} == {fault}


# Several processes

WRITER = """
import sys
from textrnn.files import model_file
target, source = sys.argv[1:]
header, tensors = model_file.load(source)
for _ in range(100):
    model_file.save(target, header, tensors)
"""

posix = pytest.mark.skipif(os.name != "posix", reason="a file in use cannot be replaced here")


@posix
def test_75_two_processes_save_one_file(path):
    """Whoever reads meanwhile finds one model or the other, whole; nothing else is left."""
    sources = [DATA / f"0.1.0-{name}.safetensors" for name in ("rnn", "gru")]
    models = [model_file.load(source)[0] for source in sources]
    path.write_bytes(sources[0].read_bytes())
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, str(source)]) for source in sources]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        assert model_file.load(path)[0] in models
        reads += 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert reads > 0
    assert model_file.load(path)[0] in models
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@posix
def test_76_a_reader_during_save(path, monkeypatch):
    """Who reads while a file is written gets the old model, and after it the new one."""
    old, new = (model_file.load(DATA / f"0.1.0-{name}.safetensors") for name in ("rnn", "gru"))
    model_file.save(path, *old)
    seen, fsync = [], os.fsync

    def look_first(descriptor):
        seen.append(load_sampler(path).header["kind"])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look_first)
    with path.open("rb") as file:
        reader = model_file.Reader(file, path)
        model_file.save(path, *new)
        assert seen[0] == "rnn"
        assert set(seen) <= {"rnn", "gru"}
        assert load_sampler(path).header == new[0]
        # who had opened the old file gets its tensors, too, and not those of the new one
        tensors = reader.tensors()
    assert reader.header == old[0]
    assert tensors.keys() == old[1].keys()
    assert all(np.array_equal(tensors[name], old[1][name]) for name in tensors)
