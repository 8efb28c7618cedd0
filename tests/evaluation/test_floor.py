"""The best of the counting models, which a neural one should beat."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from textrnn.evaluation import ngram_baseline
from textrnn.models import NGramModel


def one_pass(model, ids):
    """Return the loss of a text that is scored at once."""
    text = torch.from_numpy(ids.astype(np.int64))
    logits, _ = model(text[None, :-1])
    return float(F.cross_entropy(logits[0].double(), text[1:]))


@pytest.mark.parametrize("max_order", [1, 3, 6])
def test_the_baseline_is_the_best_order(ids, vocab, max_order):
    """Of all orders up to the highest it is the one with the least loss, and that loss."""
    train, valid = ids[:900], ids[900:]
    losses = []
    for order in range(1, max_order + 1):
        model = NGramModel(len(vocab), order=order)
        model.count(train)
        losses.append(one_pass(model, valid))
    order, loss = ngram_baseline(train, valid, len(vocab), max_order)
    assert order == 1 + int(np.argmin(losses))
    assert loss == pytest.approx(min(losses), rel=1e-6)


def test_the_baseline_prefers_a_low_order_on_noise():
    """Where nothing follows from anything, counting single tokens is best."""
    ids = np.random.default_rng(0).choice(5, 2000, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    assert ngram_baseline(ids[:1000], ids[1000:], 5)[0] == 1
