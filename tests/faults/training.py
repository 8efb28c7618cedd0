"""What the tests of rows 50 to 65 share: a small training, and how to kill it."""

import torch

from textrnn import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TextGenerator,
)
from textrnn.datasets import load_human_numbers

TEXT = load_human_numbers(1, 150)
FIT = {"epochs": 3, "batch_size": 4, "seq_len": 24, "verbose": 0}
STEPS = 26  # batches of an epoch
LSTM = {"hidden_size": 16, "num_layers": 2, "dropout": 0.3, "weight_drop": 0.2, "seed": 0}


class Killed(BaseException):
    """Ends a training where it stands, as far as one can from within."""


def kill_at(hook, number):
    """Return a callback that ends training at the n-th call of a hook, from 1."""
    calls = []

    def count(*arguments):
        calls.append(arguments)
        if len(calls) == number:
            raise Killed("now")

    return LambdaCallback(**{hook: count})


def run(*callbacks, text=TEXT, model=LSTM, **fit):
    """Train a small generator on all that remembers something."""
    gen = TextGenerator(**model)
    remember = [
        EarlyStopping(patience=50),
        ReduceLROnPlateau(patience=1, factor=0.5),
        SwapEMAWeights(0.9),
        LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]
    history = gen.fit(text, callbacks=[*remember, *callbacks], **{**FIT, **fit})
    return gen, history


def measured(history):
    """Return what a history holds but for the seconds, which are never the same."""
    return {k: v for k, v in history.history.items() if k != "seconds"}, history.epoch


def assert_whole(whole, gen, history):
    """See that a training ended as the undisturbed one, to the last bit."""
    weights = gen.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole[0].items())
    assert measured(history) == whole[1]
