"""What the tests of models share."""

import numpy as np
import pytest
import torch


@pytest.fixture
def x(ids):
    """Two texts of 60 tokens: (2, 60) int64."""
    return torch.from_numpy(ids[:120].astype(np.int64)).view(2, 60)
