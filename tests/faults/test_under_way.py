"""Calls of one thread that are under way when another one begins to train: rows 73 and 74."""

import threading

import pytest
import torch

from tests.fuzz import pairs
from textrnn import LambdaCallback, TextGenerator
from textrnn.datasets import load_human_numbers
from textrnn.models import GRUModel

pytestmark = pytest.mark.faults

TEXT = load_human_numbers(1, 150)
FIT = {"epochs": 1, "batch_size": 4, "seq_len": 24, "verbose": 0}


class Slow(GRUModel):
    """A custom class whose first step, if that is wished, waits in the middle of it."""

    def forward(self, ids, state=None):
        """Say that it has begun, and wait until it may end."""
        if gates := self.__dict__.get("gates"):
            self.__dict__["gates"] = None
            gates[0].set()
            assert gates[1].wait(60)
        return super().forward(ids, state)


def fitted(model=Slow, **arguments):
    """Return a small generator after an epoch."""
    gen = TextGenerator(model, hidden_size=8, dropout=0.3, seed=0, device="cpu", **arguments)
    gen.fit(TEXT, **FIT)
    return gen


def weights(gen):
    """Return the weights as lists, to compare them."""
    return [p.tolist() for p in gen.model.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "surprisals"])
def test_73_a_training_waits_for_a_call_that_is_under_way(name):
    """The call gives what it gives alone, and the training ends with the weights of a quiet one."""
    quiet = fitted()
    expected = getattr(quiet, name)(TEXT)
    quiet.fit(TEXT, **FIT)
    gen, results, trained = fitted(), [], threading.Event()
    begun, may_end = threading.Event(), threading.Event()
    gen.model.__dict__["gates"] = begun, may_end
    reader = threading.Thread(target=lambda: results.append(getattr(gen, name)(TEXT)))
    trainer = threading.Thread(target=lambda: (gen.fit(TEXT, **FIT), trained.set()))
    reader.start()
    assert begun.wait(60)
    trainer.start()
    assert not trained.wait(0.2)
    may_end.set()
    reader.join(60)
    trainer.join(60)
    assert trained.is_set()
    assert results == [expected]
    assert weights(gen) == weights(quiet)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm", "window_rnn", Slow], ids=str)
def test_73_a_stream_outlives_a_training(model):
    """A text that was begun before a ``fit`` ends with the weights that it began with."""
    gen = fitted(model)
    expected = gen.generate("one ", 60, seed=1)
    stream = gen.stream("one ", 60, seed=1)
    begun = "".join(next(stream) for _ in range(20))
    gen.fit(TEXT, **FIT)
    assert begun + "".join(stream) == expected
    assert gen.generate("one ", 60, seed=1) != expected


@pytest.mark.slow
def test_73_a_callback_may_use_what_is_in_training(tmp_path):
    """In the thread that trains nothing waits, and the course of training is the same."""
    quiet, gen, losses = fitted(), fitted(), []

    def use(batch, logs):
        losses.append(gen.evaluate(TEXT[:200])["loss"])
        gen.save(tmp_path / "m")
        assert len(gen.generate("", 5)) == len("".join(gen.stream("", 5))) == 5
        assert len(gen.surprisals("one")) == 3

    quiet.fit(TEXT, **FIT)
    gen.fit(TEXT, callbacks=[LambdaCallback(on_train_batch_end=use)], **FIT)
    assert losses[-1] < losses[0]
    assert weights(gen) == weights(quiet)


def test_74_what_a_model_calls_cannot_train_it():
    """A thread that reads and trains would wait for itself: it is refused."""
    gen = fitted()

    class Recursive(Slow):
        def forward(self, ids, state=None):
            gen.fit(TEXT, **FIT)
            return super().forward(ids, state)

    gen.model.__class__ = Recursive
    with pytest.raises(RuntimeError, match="or used by what calls fit"):
        gen.evaluate(TEXT)
    gen.model.__class__ = Slow
    assert torch.isfinite(torch.tensor(gen.evaluate(TEXT)["loss"]))


@pytest.mark.slow
def test_73_74_every_pair_of_calls_from_two_threads():
    """Each gives what it gives alone, before or after the other, or is refused."""
    counts = pairs.check_all(rounds=2)
    assert counts.total() == 2 * 2 * 21
    assert counts["wrong"] == 0
