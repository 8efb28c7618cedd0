"""Dropout with a generator of its own."""

import math

import pytest
import torch
from torch.testing import assert_close

from textrnn.models.layers import Dropout


def test_a_mask_is_shared_by_what_it_is_spread_over(generator):
    """A feature is dropped at every step or at none, scaled by 1 / (1 - p) if it is kept."""
    layer = Dropout("dropout", 0.25)
    layer.generator = generator
    y = layer(torch.ones(5, 3, 40), mask=(3, 40))
    assert torch.equal(y, y[:1].expand_as(y))
    assert_close(y.unique(), torch.tensor([0, 1 / 0.75]))
    assert not torch.equal(y[0, 0], y[0, 1])  # each row has a mask of its own


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(p, generator):
    """Over 90,000 features the mean stays the same, within five standard errors."""
    layer = Dropout("dropout", p)
    layer.generator = generator
    error = math.sqrt(p / (1 - p) / 90_000)
    assert float(layer(torch.ones(1, 300, 300)).mean()) == pytest.approx(1, abs=5 * error)


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_dropout_does_nothing_when_off(p, training, generator):
    """In evaluation, and with p = 0, it gives its input back."""
    x = torch.randn(4, 2, 3, generator=generator)
    assert torch.equal(Dropout("dropout", p).train(training)(x), x)


def test_dropout_shows_its_probability():
    """As torch's own does."""
    assert repr(Dropout("dropout", 0.25)) == "Dropout(p=0.25)"


def test_dropout_draws_from_its_generator():
    """The same generator gives the same masks, and the global one is not touched."""
    layer, x, masks = Dropout("dropout", 0.5), torch.ones(2, 3, 50), []
    before = torch.get_rng_state()
    for _ in range(2):
        layer.generator = torch.Generator().manual_seed(3)
        masks.append((layer(x), layer(x)))
    assert torch.equal(torch.get_rng_state(), before)
    assert_close(masks[0], masks[1], rtol=0, atol=0)
    assert not torch.equal(masks[0][0], masks[0][1])
