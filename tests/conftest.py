"""What the tests share: a seeded generator, a short text, one small model of each family."""

import numpy as np
import pytest
import torch

from textrnn.datasets import load_human_numbers
from textrnn.models import MODELS
from textrnn.vocab import Vocab

torch.set_num_threads(1)  # the models are tiny: waiting for each other would cost the most

SMALL = {
    "ngram": {"order": 3},
    "rnn": {"embedding_dim": 5, "hidden_size": 16, "num_layers": 2},
    "gru": {"embedding_dim": 5, "hidden_size": 16, "num_layers": 2},
    "lstm": {"embedding_dim": 5, "hidden_size": 16, "num_layers": 2},
}
"""Arguments of a small model, by family; ``test_every_family_is_tested`` keeps it complete."""


@pytest.fixture
def generator():
    """A torch generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def text():
    """About 2,000 characters with a clear structure."""
    return load_human_numbers(1, 110)


@pytest.fixture
def vocab(text):
    """The vocabulary of ``text``."""
    return Vocab.from_text(text)


@pytest.fixture
def ids(text, vocab):
    """The ids of ``text``: (N,) uint8."""
    return vocab.encode(text)


@pytest.fixture(params=list(MODELS))
def family(request):
    """The name of each family in turn."""
    return request.param


def make_model(family, vocab_size, ids=None):
    """Build a small model of a family with fixed weights; a counting one counts ``ids``."""
    model = MODELS[family](vocab_size, **SMALL[family])
    if family == "ngram":
        model.count(np.arange(50) % vocab_size if ids is None else ids)
    else:
        model.reset_parameters(torch.Generator().manual_seed(1))
    return model.eval()


@pytest.fixture
def model(family, vocab, ids):
    """A small model of each family in turn, for the vocabulary of ``text``; not trained."""
    return make_model(family, len(vocab), ids)
