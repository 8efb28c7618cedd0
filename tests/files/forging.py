"""What the tests of model files share: a header, tensors, and files that are forged."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from textrnn.errors import FileFormatError
from textrnn.files.model_file import load

posix = pytest.mark.skipif(os.name != "posix", reason="the file system has no such thing here")

HEADER = {"model": "lstm", "history": [1.5, "nan", None, True], "text": "naïve \n\ud83d"}
TENSORS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([-1, 2], np.int64)}


def assert_same(loaded, header=HEADER, tensors=TENSORS):
    """Assert that what was loaded is what was saved, to the bit."""
    assert loaded[0] == header
    assert set(loaded[1]) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(loaded[1][name], tensor, strict=True)
        assert loaded[1][name].tobytes() == tensor.tobytes()


def error_of(path, data):
    """Return the error that loading these bytes raises, or None."""
    path.write_bytes(data)
    try:
        load(path)
    except FileFormatError as error:
        return error
    return None


def flip(data, bit):
    """Return the bytes with one bit of them flipped."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def forge(
    header="{}", w=b"\x01\x02", entry='{"dtype":"U8","shape":[2],"data_offsets":[0,2]}', **own
):
    """Write a file by hand, as the format says: length, JSON, data."""
    digests = {
        "header": hashlib.sha256(header.encode()).hexdigest(),
        "tensors": {"w": hashlib.sha256(b"|u1 (2,)" + w).hexdigest()},
    }
    metadata = {"textrnn_format": "1", "header": header, "digests": json.dumps(digests)} | own
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return pack(f'{{"__metadata__":{json.dumps(metadata)},"w":{entry}}}', w)


def pack(head, data=b""):
    """Put a header of JSON and data together as safetensors does."""
    return len(head.encode()).to_bytes(8, "little") + head.encode() + data


class Touch:
    """An object whose pickle creates a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Say how to rebuild this object: by touching the file."""
        return Path.touch, (self.path,)
