"""What the tests of rows 1 to 32 share: small generators, and how they are trained."""

from textrnn import TextGenerator
from textrnn.datasets import load_human_numbers

TEXT = load_human_numbers(1, 110)
FIT = {"epochs": 1, "batch_size": 4, "seq_len": 8, "verbose": 0}


NAN, INF = float("nan"), float("inf")


def make(model="ngram", **arguments):
    """Make a small generator with a seed, on the CPU."""
    sizes = {"order": 4} if model == "ngram" else {"hidden_size": 4}
    return TextGenerator(model, **{"seed": 0, "device": "cpu", **sizes, **arguments})


def learned(text, model="ngram", **arguments):
    """Return a small generator that has learned a text."""
    gen = make(model, **arguments)
    gen.fit(text, validation_split=0, **FIT)
    return gen
