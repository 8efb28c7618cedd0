"""Fixtures of the tests of model files."""

import pytest

from tests.files.forging import HEADER, TENSORS
from textrnn.files.model_file import save


@pytest.fixture
def path(tmp_path):
    """A path in an empty folder, for a model file."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """A small file that was saved."""
    save(path, HEADER, TENSORS)
    return path
