"""A generator that has learned a little."""

import pytest

from tests.generator.helpers import trained


@pytest.fixture
def fitted():
    """A small GRU generator after two epochs."""
    return trained(dropout=0.2)
