"""What is no model file, and what happens to a file that is written."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as foreign

from tests.files.forging import HEADER, TENSORS, Touch, assert_same, error_of, forge, pack, posix
from textrnn.errors import UnsupportedFormatError
from textrnn.files.model_file import load, save

# -- other files -----------------------------------------------------------------------------


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
