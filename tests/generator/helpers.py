"""What the tests of the facade share: small generators, and their weights."""

import copy
import functools

import torch
from torch import nn

from textrnn import TextGenerator
from textrnn.datasets import load_human_numbers
from textrnn.models.base import LanguageModel
from textrnn.models.registry import MODELS

NEURAL = [family for family in MODELS if family != "ngram"]
FIT = {"epochs": 2, "batch_size": 8, "seq_len": 32, "verbose": 0}
SEED = {"seed": 0}


def make(family="gru", **arguments):
    """Make a small generator with a seed, on the CPU; nothing is fitted."""
    sizes = {"order": 3} if family == "ngram" else {"hidden_size": 12, "embedding_dim": 6}
    return TextGenerator(family, **{"seed": 0, "device": "cpu", **sizes, **arguments})


@functools.cache
def _trained(family, **arguments):
    gen = make(family, **arguments)
    gen.fit(load_human_numbers(1, 110), **FIT)
    return gen


def trained(family="gru", **arguments):
    """Return a copy of a small generator after two epochs of the fixture ``text``."""
    return copy.deepcopy(_trained(family, **arguments))


class Optimisers(list):
    """The optimisers that ``compile(optimizer=optimisers.make)`` leads to, in their order."""

    def __init__(self, cls=torch.optim.AdamW):
        super().__init__()
        self.cls = cls

    def make(self, groups):
        """Make one of them."""
        self.append(self.cls(groups))
        return self[-1]


def weights(gen):
    """Return copies of all of a generator's parameters and buffers, by name."""
    return {name: tensor.clone() for name, tensor in gen.model.state_dict().items()}


def same(first, second):
    """Return whether two dicts of tensors are bit-equal."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class Bigram(LanguageModel):
    """A custom model."""

    def __init__(self, vocab_size, scale=1.0):
        super().__init__(vocab_size=vocab_size, scale=scale)
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, state=None):
        """Score the token after each of ids by it alone."""
        return self.table(ids) * self.config["scale"], None

    def layer_groups(self):
        """Return the one group."""
        return {"table": list(self.table.parameters())}
