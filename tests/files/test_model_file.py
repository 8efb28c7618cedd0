"""A file holds exactly what was saved or is refused, and a target is the old file or the new."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from tests.files.forging import HEADER, TENSORS, assert_same, error_of, flip, forge, pack
from textrnn.errors import CorruptModelError, UnsupportedFormatError
from textrnn.files.model_file import load, save

posix = pytest.mark.skipif(os.name != "posix", reason="the file system has no such thing here")

# -- round trip ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (7,), (0,), (3, 0, 2), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_arrays_come_back_to_the_bit(path, dtype, shape):
    """Every type and shape comes back as it was, and may be written to."""
    raw = np.random.default_rng(0).bytes(np.dtype(dtype).itemsize * int(np.prod(shape)))
    tensor = np.frombuffer(raw, dtype).reshape(shape)
    save(path, {}, {"a": tensor, "b": tensor[..., :0] if shape else tensor})
    assert_same(load(path), {}, {"a": tensor, "b": tensor[..., :0] if shape else tensor})
    assert load(path)[1]["a"].flags.writeable


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(24).reshape(4, 6).T,
        np.arange(24)[::-3],
        np.broadcast_to(np.float32(2), (3, 2)),
        np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        np.arange(5, dtype=">f4"),
        np.arange(5, dtype=">i8"),
    ],
    ids=["transposed", "reversed", "broadcast", "odd", "big-endian float", "big-endian int"],
)
def test_arrays_of_any_layout(path, tensor):
    """How an array lies in memory makes no difference to its values."""
    save(path, {}, {"a": tensor})
    native = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("="))
    assert_same(load(path), {}, {"a": native})


@pytest.mark.parametrize("dtype", ["f2", "?", "c8", "U3", "O"])
def test_a_type_that_cannot_be_read_is_not_written(saved, dtype):
    """An array that load would refuse is refused by save, and the old file stays."""
    with pytest.raises((TypeError, ValueError), match=r"(?i)type"):
        save(saved, {}, {"a": np.zeros(3, dtype)})
    assert_same(load(saved))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"a": {"b": [{}, [], "", None, True, 0, -1.5e-300, 2**100]}},
        {"ключ": "значение", "\x00\u2028": "\ud800", '"\\': '"}]'},
        {"b": 1, "a": 2, "textrnn_format": 3, "__metadata__": {}},
    ],
)
def test_headers_come_back(path, header):
    """A header is what was saved, whatever its words are, with or without tensors."""
    save(path, header, {})
    assert_same(load(path), header, {})
    save(str(path), header, TENSORS)
    assert_same(load(str(path)), header)


def test_awkward_tensor_names(path):
    """A name is a name: it is no path and no format, whatever it looks like."""
    names = ["../../etc/passwd", "", "naïve 👩", "header", 'a"\\', "x" * 5000]
    tensors = {name: np.array([i]) for i, name in enumerate(names)}
    save(path, {}, tensors)
    assert_same(load(path), {}, tensors)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_it_is_a_safetensors_file(saved):
    """Any reader of safetensors shows the tensors and the metadata."""
    from safetensors import safe_open

    with safe_open(saved, framework="numpy") as file:
        assert set(file.keys()) == {"w", "b"}
        np.testing.assert_array_equal(file.get_tensor("w"), TENSORS["w"])
        assert set(file.metadata()) == {"textrnn_format", "header", "digests"}
        assert file.metadata()["textrnn_format"] == "1"
        assert json.loads(file.metadata()["header"]) == HEADER


def test_a_file_of_version_1_can_be_read(path):
    """Format 1, byte for byte as it was first written: every later textrnn must read it."""
    digests = (
        '{\\"header\\": \\"f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310\\", '
        '\\"tensors\\": {\\"w\\": '
        '\\"273229ac3e44f4e46820a471baaee7236714a0998a0813650caf7b46565f2483\\"}}'
    )
    golden = (
        '{"__metadata__":{"digests":"' + digests + '","textrnn_format":"1","header":"{\\"a\\": 1}"}'
        ',"w":{"dtype":"I16","shape":[3],"data_offsets":[0,6]}}   '
    )
    path.write_bytes(b"0\x01\0\0\0\0\0\0" + golden.encode() + b"\0\0\1\0\2\0")
    assert_same(load(path), {"a": 1}, {"w": np.arange(3, dtype=np.int16)})


def test_a_file_made_by_hand_can_be_read(path):
    """The format is what the docstring says, so a file that follows it is read."""
    path.write_bytes(forge('{"a": [1]}'))
    assert_same(load(path), {"a": [1]}, {"w": np.array([1, 2], np.uint8)})


# -- damage ----------------------------------------------------------------------------------


def test_cut_short_at_every_byte(saved):
    """No beginning of a file is taken for a file."""
    data = saved.read_bytes()
    errors = [error_of(saved, data[:n]) for n in range(len(data))]
    assert [n for n, error in enumerate(errors) if error is None] == []
    assert {type(error) for error in errors[10:]} == {CorruptModelError}
    assert {type(error) for error in errors[:10]} == {UnsupportedFormatError}


@pytest.mark.slow
@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_found(saved, bit):
    """Any bit of length, header or data that flips is an error: nothing changes in silence."""
    data = saved.read_bytes()
    silent = [i for i in range(len(data)) if error_of(saved, flip(data, 8 * i + bit)) is None]
    assert silent == []


def test_a_flipped_bit_in_much_data_is_found(path):
    """A sample of the bits of a larger file: each is an error."""
    save(path, {}, {"a": np.zeros(5000, np.float32), "b": np.zeros((50, 50))})
    data = path.read_bytes()
    bits = np.random.default_rng(0).integers(0, 8 * len(data), 200).tolist()
    assert [bit for bit in bits if error_of(path, flip(data, bit)) is None] == []


def test_bytes_that_follow_are_refused(saved):
    """A file is at its end where its header says, whatever comes then."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", "b")
    data = saved.read_bytes()
    for tail in [b"\0", b" ", archive.getvalue(), data]:
        saved.write_bytes(data + tail)
        with pytest.raises(CorruptModelError, match=r"tensors cannot be read .*; it is damaged"):
            load(saved)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 100_000_001, 1000])
def test_a_length_that_cannot_be(saved, length):
    """A header longer than the file is not looked for."""
    saved.write_bytes(length.to_bytes(8, "little") + saved.read_bytes()[8:])
    with pytest.raises(CorruptModelError, match=f"its header has {length} bytes, but only"):
        load(saved)


ENTRY = '{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'


@pytest.mark.parametrize(
    "data",
    [
        forge(entry=ENTRY + ',"w":' + ENTRY),
        forge(entry=ENTRY + ',"__metadata__":{"textrnn_format":"1"}'),
        forge(entry=ENTRY[:-1] + ',"dtype":"I8"}'),
        forge(header='{"a": 1, "a": 2}'),
        forge(header='{"a": {"b": 1, "b": 1}}'),
    ],
    ids=["tensor", "metadata", "entry", "header", "nested"],
)
def test_a_key_that_stands_there_twice(path, data):
    """Two readers might read two things, so none is read."""
    path.write_bytes(data)
    with pytest.raises(CorruptModelError, match=r"not valid JSON .*a key appears twice"):
        load(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": [Infinity]}', "Infinity is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ("[1]", "it is not a JSON object"),
        ("1", "it is not a JSON object"),
        ("", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": 1} x', "not valid JSON"),
        ('{"a": ' + "9" * 10_000 + "}", "not valid JSON"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "not valid JSON .*recursion"),
    ],
    ids=lambda text: text[:12],
)
def test_a_header_that_is_not_strict_json(path, header, message):
    """A header of ours must be a JSON object by the letter, even where its checksum is right."""
    path.write_bytes(forge(header))
    with pytest.raises(CorruptModelError, match=message):
        load(path)


@pytest.mark.parametrize(
    "head",
    [
        "{" + '"a":' * 3,
        '{"a":' + "[" * 200_000 + "]" * 200_000 + "}",
        '{"a":' + "9" * 10_000 + "}",
        '{"a":NaN}',
        '{"a":"\\ud800"',
    ],
    ids=["broken", "deep", "long", "nan", "open"],
)
def test_an_outer_header_that_is_not_strict_json(path, head):
    """The header of the safetensors file is read as strictly."""
    path.write_bytes(pack(head))
    with pytest.raises(CorruptModelError, match="The file's header is not valid JSON"):
        load(path)


def test_an_outer_header_that_is_not_utf8(path):
    """Bytes that are no text are refused as such."""
    path.write_bytes(b"\x05\0\0\0\0\0\0\0" + b'{"\xff"}')
    with pytest.raises(CorruptModelError, match="The file's header is not valid JSON"):
        load(path)


@pytest.mark.parametrize(
    "entry",
    [
        "5",
        "{}",
        '{"dtype":"U8","shape":[2]}',
        '{"dtype":"U9","shape":[2],"data_offsets":[0,2]}',
        '{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}',
        '{"dtype":"F16","shape":[1],"data_offsets":[0,2]}',
        '{"dtype":"U8","shape":[3],"data_offsets":[0,2]}',
        '{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}',
        '{"dtype":"U8","shape":[-1,-2],"data_offsets":[0,2]}',
        '{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,2]}',
        '{"dtype":"U8","shape":[2],"data_offsets":[0,2],"more":1}',
        '{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}',
        '{"dtype":"U8","shape":[2],"data_offsets":[1,3]}',
        '{"dtype":"U8","shape":[2],"data_offsets":[2,0]}',
        '{"dtype":"U8","shape":[2],"data_offsets":[-2,0]}',
        '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}',
        '{"dtype":"U8","shape":[18446744073709551615,2],"data_offsets":[0,2]}',
        ENTRY + ',"v":' + ENTRY,
    ],
)
def test_an_entry_that_cannot_be(path, entry):
    """Types, shapes and offsets that do not fit the data are refused."""
    path.write_bytes(forge(entry=entry))
    with pytest.raises(CorruptModelError, match=r"tensors cannot be read .*; it is damaged"):
        load(path)


@pytest.mark.parametrize("shape", ["[0,1000000000000]", "[0,18446744073709551615]", "[0,4]", "[0]"])
def test_a_shape_of_no_elements(path, shape):
    """A shape that no data belongs to is checked as the others are."""
    path.write_bytes(forge(w=b"", entry=f'{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}'))
    with pytest.raises(CorruptModelError, match=r"cannot be read|a checksum differs"):
        load(path)


@pytest.mark.parametrize(
    "changed",
    [
        forge(digests='{"header": "0", "tensors": {}}'),
        forge(digests="{}"),
        forge(entry='{"dtype":"I8","shape":[2],"data_offsets":[0,2]}'),
        forge(entry='{"dtype":"U8","shape":[1,2],"data_offsets":[0,2]}'),
        forge().replace(b'"w":{"dtype"', b'"v":{"dtype"'),
        forge(w=b"")[:8] + forge()[8:-2] + b"\x01\x03",
    ],
    ids=["digests", "none", "dtype", "shape", "name", "data"],
)
def test_checksums_cover_everything(path, changed):
    """Type, shape, name and data of a tensor are what they were, or the file is refused."""
    changed = len(changed[8:-2]).to_bytes(8, "little") + changed[8:]
    path.write_bytes(changed)
    with pytest.raises(CorruptModelError, match=r"a checksum differs\. Restore it from a copy"):
        load(path)


@pytest.mark.parametrize(
    "missing", [{"header": None}, {"digests": None}, {"digests": 5}, {"more": 5}]
)
def test_metadata_that_is_not_there(path, missing):
    """A file of ours has all three entries, each a string."""
    path.write_bytes(forge(**missing) if missing != {"header": None} else without_header())
    with pytest.raises(CorruptModelError, match="metadata has no 'header' or no 'digests'"):
        load(path)


def without_header():
    """Return a file without the entry of the header."""
    return pack('{"__metadata__":{"textrnn_format":"1","digests":"{}"}}')
