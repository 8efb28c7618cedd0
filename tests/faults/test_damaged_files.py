"""Rows 33 to 37 and 49 of the fault table: files with bytes that are not what was saved."""

import json
import os

import numpy as np
import pytest

from tests.faults.files import DATA, archive, load_generator, memory_below
from tests.fuzz import fuzz_load as fuzz
from textrnn import load_sampler
from textrnn.errors import CorruptModelError, FileFormatError, UnsupportedFormatError

pytestmark = pytest.mark.faults
CUT = "cut short|not a textrnn model file|cannot be read .*; it is damaged"


# Damage


def test_33_cut_short_at_every_byte(path, rnn):
    """No beginning of a file is taken for a file, wherever in header or data it ends."""
    path.write_bytes(rnn.data)
    for size in range(len(rnn.data) - 1, -1, -1):
        os.truncate(path, size)
        expected = CorruptModelError if size >= 10 else UnsupportedFormatError
        with pytest.raises(expected, match=f"({CUT}).*Received: "):
            load_sampler(path)
        if size % 100 == 0:
            with pytest.raises(expected, match=f"({CUT}).*Received: "):
                load_generator(path)


@pytest.mark.parametrize("part", ["header", "data"])
def test_34_a_flipped_bit(path, rnn, part):
    """None changes a model in silence: a bit of each byte of the header, 500 of the data."""
    bits = [8 * i + i % 8 for i in range(rnn.head_end)]
    message = f"{CUT}|checksum differs|not valid JSON|not one that textrnn wrote|has format|has no"
    if part == "data":
        message = "checksum differs"
        rng = np.random.default_rng(0)
        bits = rng.integers(8 * rnn.head_end, 8 * len(rnn.data), 500).tolist()
    path.write_bytes(rnn.data)
    with path.open("r+b", buffering=0) as file:
        for bit in bits:
            byte = rnn.data[bit // 8]
            file.seek(bit // 8)
            file.write(bytes([byte ^ 1 << bit % 8]))
            with pytest.raises(FileFormatError, match=f"({message}).*Received: "):
                load_sampler(path)
            file.seek(bit // 8)
            file.write(bytes([byte]))
    assert load_sampler(path).generate("one", 5, temperature=0)


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
    """Tensors that overlap, leave a gap, or lie before, behind or nowhere are refused."""
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
        with pytest.raises(CorruptModelError, match="a key appears twice"):
            load(path)
    text = json.dumps(rnn.header)
    path.write_bytes(fuzz.pack(text[:-1] + ', "kind": "rnn"}', rnn.tensors))
    with pytest.raises(CorruptModelError, match="a key appears twice"):
        load(path)


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
