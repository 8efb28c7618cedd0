"""A file holds exactly what was saved or is refused, and a target is the old file or the new."""

import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as foreign

from textrnn.errors import CorruptModelError, FileFormatError, UnsupportedFormatError
from textrnn.files.model_file import load, save

posix = pytest.mark.skipif(os.name != "posix", reason="the file system has no such thing here")

HEADER = {"model": "lstm", "history": [1.5, "nan", None, True], "text": "naïve \n\ud83d"}
TENSORS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([-1, 2], np.int64)}


@pytest.fixture
def path(tmp_path):
    """A path in an empty folder, for a model file."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """A small file that was saved."""
    save(path, HEADER, TENSORS)
    return path


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


# -- other files -----------------------------------------------------------------------------


class Touch:
    """An object whose pickle creates a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Say how to rebuild this object: by touching the file."""
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_executed(path):
    """A pickle is no model, and what it would do is not done."""
    witness = path.with_name("witness")
    pickle.loads(pickle.dumps(Touch(witness)))
    witness.unlink()  # it does what it should, where it is read
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Touch(witness), protocol))
        with pytest.raises(UnsupportedFormatError, match="This is not a textrnn model file"):
            load(path)
    assert not witness.exists()


def test_a_zip_with_a_pickle_is_refused_and_not_executed(path):
    """An archive, as torch.save writes it, is no model either."""
    witness = path.with_name("witness")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Touch(witness)))
    with pytest.raises(UnsupportedFormatError, match=r"beginning with b'PK\\x03\\x04"):
        load(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x89HDF\r\n\x1a\n" + bytes(90),
        b"\x93NUMPY\x01\x00v\x00",
        b"to be or not to be",
    ],
    ids=["empty", "json", "hdf5", "npy", "text"],
)
def test_files_of_other_kinds(path, data):
    """A file that does not begin as ours do is said to be something else."""
    path.write_bytes(data)
    expected = rf"This is not a textrnn model file.*Received: '.*model\.safetensors', {len(data)} b"
    with pytest.raises(UnsupportedFormatError, match=expected):
        load(path)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_safetensors_of_others(path, metadata):
    """A safetensors file that somebody else wrote is said to be that."""
    path.write_bytes(foreign({"w": np.arange(3)}, metadata=metadata))
    with pytest.raises(
        UnsupportedFormatError, match="a safetensors file, but not one that textrnn"
    ):
        load(path)


@pytest.mark.parametrize("version", ["2", "10", "0", "", 1, None, "1 "])
def test_other_versions_of_the_format(path, version):
    """A newer file says which format it has, and which this textrnn reads."""
    path.write_bytes(
        forge().replace(b'"textrnn_format": "1"', b'"textrnn_format": %s' % dump(version))
    )
    data = path.read_bytes()
    path.write_bytes(pack(data[8:-2].decode(), data[-2:]))
    expected = rf"has format {version!r}, and this textrnn reads format 1; upgrade textrnn"
    with pytest.raises(UnsupportedFormatError, match=expected):
        load(path)


def dump(value):
    """Return a value as JSON, in bytes."""
    return json.dumps(value).encode()


def test_faults_of_the_disk_stay_oserrors(path):
    """A file that is not there, or is a folder, is what Python says it is."""
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load(path)
    with pytest.raises(OSError, match=path.parent.name):
        load(path.parent)


# -- writing ---------------------------------------------------------------------------------


def names(path):
    """Return the names of all files in the folder of a path."""
    return sorted(file.name for file in path.parent.iterdir())


def test_saving_again_replaces_the_file(saved):
    """A file that exists is replaced as a whole, and nothing else is left in the folder."""
    save(saved, {"new": 1}, {"v": np.zeros(2)})
    assert_same(load(saved), {"new": 1}, {"v": np.zeros(2)})
    assert names(saved) == [saved.name]


CIRCLE = {}
CIRCLE["a"] = CIRCLE


@pytest.mark.parametrize(
    "header",
    [{"a": float("nan")}, {"a": [float("inf")]}, {"a": {1}}, {"a": b"x"}, {"a": object}, CIRCLE],
    ids=["nan", "inf", "set", "bytes", "class", "circle"],
)
def test_a_header_that_json_cannot_hold(saved, header):
    """It is a ValueError, and the old file is still there, alone."""
    with pytest.raises(ValueError, match=r"JSON|Circular"):
        save(saved, header, TENSORS)
    assert_same(load(saved))
    assert names(saved) == [saved.name]


@pytest.mark.parametrize("new", [False, True])
def test_a_full_disk_leaves_the_old_file(saved, new):
    """Where writing stops half-way, the old file is whole and no part of the new one is left."""
    resource = pytest.importorskip("resource")
    target = saved.with_name("new") if new else saved
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(target, {}, {"a": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_same(load(saved))
    assert names(saved) == [saved.name]


def test_a_disk_that_fails_leaves_the_old_file(saved, monkeypatch):
    """If the data cannot be brought to the disk, the file is not put in place."""

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        save(saved, {}, {})
    assert_same(load(saved))
    assert names(saved) == [saved.name]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_the_old_file(saved, monkeypatch, interrupt):
    """Ctrl-C in the last moment passes on, and leaves the old file and no other."""

    def interrupted(self, target):
        raise interrupt("now")

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(interrupt, match="now"):
        save(saved, {}, {})
    assert_same(load(saved))
    assert names(saved) == [saved.name]


def test_targets_that_cannot_be_written(saved):
    """A folder, or a path through a file or nowhere, is an OSError that leaves nothing behind."""
    folder = saved.with_name("folder")
    folder.mkdir()
    before = names(saved)
    for target in [folder, saved / "inside", saved.parent / "nowhere" / "model"]:
        with pytest.raises(OSError, match=target.parent.name):
            save(target, HEADER, TENSORS)
    assert names(saved) == before
    assert list(folder.iterdir()) == []
    assert_same(load(saved))


@pytest.mark.parametrize("exists", [False, True])
def test_the_order_of_writing(path, monkeypatch, exists):
    """The file is on the disk before it is put in place, and the folder is brought there after."""
    if exists:
        save(path, {}, {})
    calls, fsync, replace = [], os.fsync, Path.replace

    def recorded_fsync(descriptor):
        found = os.fstat(descriptor)
        calls.append(("fsync", found.st_ino))
        fsync(descriptor)

    def recorded_replace(self, target):
        calls.append(("replace", self.stat().st_ino, Path(target)))
        assert self.parent == Path(target).parent
        assert error_of(path.with_name("copy"), self.read_bytes()) is None
        replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    save(path, HEADER, TENSORS)
    file, folder = path.stat().st_ino, path.parent.stat().st_ino
    flushed = [("fsync", folder)] if os.name == "posix" else []
    assert calls == [("fsync", file), ("replace", file, path.resolve()), *flushed]


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_has_the_mode_of_any_new_file(path, umask, mode):
    """The umask says who may read a new file."""
    before = os.umask(umask)
    try:
        save(path, HEADER, TENSORS)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_exists_keeps_its_mode(saved, mode):
    """Who might read the old file may read the new one, and nobody else."""
    saved.chmod(mode)
    save(saved, {}, {})
    assert saved.stat().st_mode & 0o777 == mode


@posix
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_is_written_through(tmp_path, exists):
    """A symbolic link stays one, and the file that it names is written, beside itself."""
    real, link = tmp_path / "models" / "real", tmp_path / "link"
    real.parent.mkdir()
    if exists:
        save(real, {}, {})
    link.symlink_to(Path("models", "real"))
    save(link, HEADER, TENSORS)
    assert link.is_symlink()
    assert not real.is_symlink()
    assert_same(load(real))
    assert names(real) == ["real"]


def test_a_file_that_was_loaded_can_be_overwritten(saved):
    """What was loaded lies in memory of its own: the file can be saved over, and changed."""
    header, tensors = load(saved)
    save(saved, {}, {"w": np.zeros(3)})
    assert_same((header, tensors))
    tensors["w"][0] = 7
    assert load(saved)[1]["w"].tolist() == [0, 0, 0]


def test_a_name_as_long_as_names_may_be(path):
    """A name that the file system takes is one that a model can have."""
    longest = path.with_name("x" * 255)
    longest.touch()
    save(longest, HEADER, TENSORS)
    assert_same(load(longest))


def test_the_same_model_gives_the_same_bytes(tmp_path):
    """Saving is deterministic, whatever the order in which safetensors writes its keys."""
    arrays = {f"tensor{i}": np.arange(i) for i in range(20)}
    for name in "abcdefgh":
        save(tmp_path / name, {"kind": "x"}, arrays)
    assert len({(tmp_path / name).read_bytes() for name in "abcdefgh"}) == 1
