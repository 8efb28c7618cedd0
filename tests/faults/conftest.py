"""Fixtures that several files of the fault table share."""

from pathlib import Path

import pytest

from tests.faults import inputs, training
from tests.faults.files import golden, load_generator
from textrnn import load_sampler


def pytest_collection_modifyitems(items):
    """Mark the whole fault table as slow: run it when what it guards has changed."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def numbers():
    """A generator that has counted numbers in words."""
    return inputs.learned(inputs.TEXT)


@pytest.fixture(scope="module")
def gru():
    """A small GRU after one epoch."""
    return inputs.learned(inputs.TEXT, "gru")


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


@pytest.fixture(scope="module")
def whole():
    """A training that nothing disturbs: its weights and its history."""
    gen, history = training.run()
    return gen.model.state_dict(), training.measured(history)
