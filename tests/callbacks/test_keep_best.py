"""Which weights training ends with, the first ones included."""

import pytest
import torch

from textrnn import TextGenerator
from textrnn.datasets import load_human_numbers

TEXT = load_human_numbers(1, 400)


def weights(gen):
    """Return all parameters as one vector."""
    return torch.nn.utils.parameters_to_vector(gen.model.parameters()).detach().clone()


def trained():
    """Return a small generator after some epochs."""
    gen = TextGenerator("gru", hidden_size=24, seed=0, device="cpu")
    gen.fit(TEXT, epochs=6, verbose=0)
    return gen


@pytest.mark.slow
def test_a_second_fit_that_makes_it_worse_changes_nothing(capsys):
    """It says so, and what was measured stands in the history."""
    gen = trained()
    before, loss = weights(gen), gen.history.history["val_loss"][-1]
    gen.compile(learning_rate=0.5, schedule="constant")
    history = gen.fit(TEXT, epochs=1, verbose=2)
    assert history.history["val_loss"][0] > loss
    assert torch.equal(weights(gen), before)
    said = f"kept the weights from before, because no epoch was better, val_loss {loss:.4f}"
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_second_fit_that_makes_it_better_is_kept(capsys):
    """As the first one is."""
    gen = trained()
    before = weights(gen)
    gen.compile(learning_rate=0.002)
    gen.fit(TEXT, epochs=2, verbose=2)
    assert not torch.equal(weights(gen), before)
    assert "from before" not in capsys.readouterr().err


@pytest.mark.slow
def test_without_validation_the_last_weights_are_kept():
    """There is nothing to choose by."""
    gen = trained()
    before = weights(gen)
    gen.compile(learning_rate=0.5, schedule="constant")
    gen.fit(TEXT, epochs=1, validation_split=0, verbose=0)
    assert not torch.equal(weights(gen), before)
