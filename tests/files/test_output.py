"""An output is refused before any work, unless a model can be saved there and harms nothing."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from textrnn.files import model_file
from textrnn.files.atomic import check_folder
from textrnn.files.output import check_output

NOT_A_MODEL = {
    "a text": b"Once upon a time",
    "a short text": b"a",
    "a safetensors file of another program": (18).to_bytes(8, "little") + b'{"__metadata__":{}}',
    "JSON": b'{"textrnn_format": "1"}',
    "zeros": bytes(100),
}


@pytest.fixture
def path(tmp_path):
    """Where the tests save to; there is nothing yet."""
    return tmp_path / "model"


@pytest.mark.parametrize("data", NOT_A_MODEL.values(), ids=NOT_A_MODEL)
def test_a_file_that_is_no_model_is_never_replaced(path, data):
    """Neither is it found good before a training, nor does a save touch it."""
    path.write_bytes(data)
    message = (
        rf"not a textrnn model; move it away or choose another name: {re.escape(repr(str(path)))}"
    )
    with pytest.raises(FileExistsError, match=message):
        check_output(path)
    with pytest.raises(FileExistsError, match=message):
        model_file.save(path, {"n": 1}, {})
    assert path.read_bytes() == data


@pytest.mark.parametrize("keep", [0, 200, 350, None])
def test_a_model_may_be_replaced(path, keep):
    """A whole one, a damaged one whose header is there, and an empty file as mktemp makes it."""
    model_file.save(path, {"n": 1}, {"w": np.arange(100)})
    data = path.read_bytes()
    assert b"textrnn_format" in data[:350]
    path.write_bytes(data[:keep])
    if keep == 200:  # where nothing says any more what it was
        with pytest.raises(FileExistsError, match="not a textrnn model"):
            check_output(path)
        return
    check_output(path)
    model_file.save(path, {"n": 2}, {})
    assert model_file.load(path)[0] == {"n": 2}


def test_a_backup_and_a_model_do_not_replace_each_other(tmp_path):
    """Each replaces its own kind only: a backup may hold hours of work."""
    headers = {"model": {"n": 1}, "backup": {"backup": {}, "n": 1}}
    for kind, header in headers.items():
        model_file.save(tmp_path / kind, header, {})
        model_file.save(tmp_path / kind, header, {})
    with pytest.raises(FileExistsError, match="not a textrnn model"):
        model_file.save(tmp_path / "backup", headers["model"], {})
    with pytest.raises(FileExistsError, match="not a textrnn model"):
        check_output(tmp_path / "backup")
    with pytest.raises(FileExistsError, match="not a textrnn backup"):
        model_file.save(tmp_path / "model", headers["backup"], {})


def make_pipe(path):
    """Put a named pipe there."""
    os.mkfifo(path)


def make_loop(path):
    """Put a link there that leads to itself."""
    path.symlink_to(path.name)


def make_link_to_a_device(path):
    """Put a link there that leads to a device."""
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [make_pipe, make_loop, make_link_to_a_device, Path.mkdir])
def test_what_is_no_file_is_never_replaced(path, make):
    """A device that a model took the place of would break the machine."""
    make(path)
    before = path.lstat()
    for act in (check_output, check_folder, lambda path: model_file.save(path, {}, {})):
        with pytest.raises(
            OSError, match=r"not a file; choose another|a folder; name a file"
        ) as caught:
            act(path)
        assert caught.value.filename == str(path)
    assert path.lstat() == before


def test_the_output_is_not_an_input(path):
    """Whatever it is called, and whether or not it exists yet."""
    link = path.with_name("link")
    link.symlink_to(path)
    for output, source in ((path, path), (link, path), (path, str(link))):
        with pytest.raises(FileExistsError, match="overwrite a file that it is trained from"):
            check_output(output, "another", source)
    check_output(path, "another")


def test_the_folder_is_tried_and_left_as_it_was(path):
    """Nothing remains of the trial; the file itself is not made."""
    check_output(path)
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_in(path):
    """It says so before a training, and names the folder."""
    folder = Path("/proc/self") if os.geteuid() == 0 else path.parent  # root may write anywhere
    if folder == path.parent:
        folder.chmod(0o555)
    with pytest.raises(
        OSError, match=r"No file can be saved in this folder \(.*\); choose another"
    ):
        check_output(folder / "model")


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "nowhere/model"])
def test_a_name_that_cannot_be(path, name):
    """It is too long, in bytes, or its folder does not exist."""
    with pytest.raises(OSError, match=r"No file can have this name|no folder to save in"):
        check_output(path.parent / name)
