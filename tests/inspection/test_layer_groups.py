"""Freezing layer groups."""

import numpy as np
import pytest
import torch

from textrnn import TextGenerator

FIT = {"epochs": 1, "batch_size": 8, "seq_len": 32, "verbose": 0}


@pytest.fixture
def gen(text):
    """A GRU generator of two layers after an epoch."""
    gen = TextGenerator("gru", hidden_size=8, num_layers=2, embedding_dim=6, seed=0, device="cpu")
    gen.fit(text, **FIT)
    return gen


def changed_by_fit(gen, text):
    """Fit, and say which layer groups changed."""
    before = {name: [p.clone() for p in ps] for name, ps in gen.layer_groups.items()}
    gen.fit(text, **FIT)
    return {
        name
        for name, ps in gen.layer_groups.items()
        if not all(torch.equal(p, old) for p, old in zip(ps, before[name], strict=True))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "learning"),
    [
        (lambda gen: gen.freeze(), {"head"}),
        (lambda gen: gen.freeze_to(-1), {"head"}),
        (lambda gen: gen.freeze_to(-2), {"layer1", "head"}),
        (lambda gen: gen.freeze_to(1), {"layer0", "layer1", "head"}),
        (lambda gen: gen.freeze_to(0), {"embedding", "layer0", "layer1", "head"}),
        (lambda gen: (gen.freeze(), gen.unfreeze()), {"embedding", "layer0", "layer1", "head"}),
        (lambda gen: (gen.freeze(), gen.freeze_to(2)), {"layer1", "head"}),
    ],
)
def test_frozen_groups_do_not_change(gen, text, call, learning):
    """A later fit changes the groups from number n on and no others, to the last bit."""
    call(gen)
    assert changed_by_fit(gen, text) == learning


def test_what_is_frozen_stays_so_when_the_vocabulary_grows(gen, text):
    """The known rows of a frozen embedding are untouched, the new ones too."""
    gen.freeze()
    before = gen.embeddings()
    gen.fit(text + "é", **FIT)
    np.testing.assert_array_equal(gen.embeddings()[:-1], before)
    np.testing.assert_array_equal(gen.embeddings()[-1], before[gen.vocab.stoi["e"]])


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, -5])
def test_a_group_that_is_not_there(gen, n):
    """The message has the range, and nothing is frozen."""
    with pytest.raises(ValueError, match=r"`n` must be at least -4 and at most 3\. Received"):
        gen.freeze_to(n)
    assert all(p.requires_grad for p in gen.model.parameters())


def test_a_counting_model_has_no_groups_to_freeze(text):
    """The message says that it learns by counting."""
    gen = TextGenerator("ngram", order=2)
    gen.fit(text, verbose=0)
    with pytest.raises(ValueError, match="learns by counting"):
        gen.freeze()
