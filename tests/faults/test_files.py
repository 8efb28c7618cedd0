"""Rows 43 to 45, 48, 75 and 76 of the fault table: of releases, of other kinds."""

import ast
import io
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import textrnn
from tests.data import make
from tests.faults.files import (
    DATA,
    GOLDEN,
    archive,
    golden,
    load_generator,
)
from tests.files.forging import Touch
from tests.fuzz import fuzz_load as fuzz
from textrnn import LambdaCallback, TextGenerator, load_sampler
from textrnn.datasets import load_human_numbers
from textrnn.errors import UnsupportedFormatError
from textrnn.files import model_file
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import MODELS
from textrnn.text.levels import LEVELS

pytestmark = pytest.mark.faults


SRC = Path(textrnn.__file__).parent


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
    """A loaded model scores its text, and can be trained further."""
    gen = load_generator(DATA / name)
    text = gen.generate("", 80, seed=1)
    assert math.isfinite(gen.evaluate(text)["loss"])
    gen.fit(text, epochs=1, batch_size=2, seq_len=8, validation_split=0, verbose=0)
    assert len(gen.history) == 1


@pytest.mark.parametrize("level", LEVELS)
def test_43_every_level_has_a_golden_file(level):
    """So have documents, and both ways of smoothing."""
    headers = [fuzz.Original(DATA / name).header for name in GOLDEN]
    assert level in {header["vocab"]["level"] for header in headers}
    assert any(header["vocab"].get("eot") for header in headers)
    smoothing = {header["model"].get("smoothing") for header in headers} - {None}
    assert smoothing == {"witten_bell", "kneser_ney"}


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*-backup")))
def test_43_the_backup_of_a_release_is_resumed_by_it_and_refused_by_others(tmp_path, name):
    """If this fails because of a change before the release, ``make.py --backup`` makes it anew."""
    path, release, steps = tmp_path / name, name.removesuffix("-backup"), []
    path.write_bytes((DATA / name).read_bytes())
    count = LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    if release == textrnn.__version__:
        assert make.fit_backed_up(path, count).history.epoch == [0, 1, 2, 3]
        assert 0 < len(steps) < 3 * len(set(steps))
    else:
        with pytest.raises(UnsupportedFormatError, match=f"by {release}"):
            make.fit_backed_up(path)


# Files of other kinds


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
COMPRESSED_TEXTS = {
    "gzip",
    "bz2",
    "lzma",
    "zlib",
}  # are read by text/reading.py, and by nothing else


@pytest.mark.parametrize("file", sorted(SRC.rglob("*.py")), ids=lambda file: file.stem)
def test_45_no_reader_of_archives_or_objects(file):
    """No file of src imports what executes or unpacks (texts aside), or NumPy's own loaders."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("np", "load"), ("torch", "load")}
    allowed = COMPRESSED_TEXTS if file == SRC / "text" / "reading.py" else set()
    allowed |= {"ctypes"} if file.parent == SRC / "generation" / "native" else set()
    assert imported & DANGEROUS <= allowed


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


@pytest.mark.slow
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
