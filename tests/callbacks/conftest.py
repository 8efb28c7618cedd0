"""Fixtures of the tests of callbacks."""

import pytest

from textrnn import TextGenerator
from textrnn.models import GRUModel
from textrnn.training.optim import OptimizerConfig
from textrnn.training.trainer import Trainer


@pytest.fixture
def trainer():
    """A trainer whose learning rates are 0.125, 0.25 and 0.5 from input to output."""
    settings = OptimizerConfig(learning_rate=[0.125, 0.25, 0.5], schedule="constant")
    return Trainer(GRUModel(7, hidden_size=4), settings)


@pytest.fixture
def counted(text):
    """A fitted n-gram generator."""
    gen = TextGenerator("ngram", order=3, seed=0)
    gen.fit(text, verbose=0)
    return gen
