"""What the tests of rows 33 to 49 share: golden files, taken apart and forged."""

import io
import json
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz import fuzz_load as fuzz
from textrnn import TextGenerator, Vocab

Vocab.from_text("a b", "word")  # loads a library that the tests of memory must not count
DATA = Path(__file__).parents[1] / "data"
GOLDEN = json.loads((DATA / "golden.json").read_text(encoding="utf-8"))


def golden(name):
    """Return a golden file, taken apart."""
    return fuzz.Original(DATA / f"0.1.0-{name}.safetensors")


def load_generator(path):
    """Load a model with torch, on the CPU."""
    return TextGenerator.load(path, device="cpu")


def forge(path, file, tensors=None, **header):
    """Write a file with other tensors or another header, and the checksums that belong to them."""
    text = json.dumps({**file.header, **header})
    path.write_bytes(fuzz.pack(text, file.tensors if tensors is None else tensors))


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


def archive():
    """Return a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", "b")
    return buffer.getvalue()
