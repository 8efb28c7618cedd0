"""Counting: every probability is what counting by hand gives."""

import copy
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from textrnn.models import NGramModel
from textrnn.models.arrays import state_arrays


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
def test_an_extended_model_has_counted_the_same(smoothing):
    """Its tables are those of a larger model that counted the text in its ids, and it counts on."""
    ids = np.random.default_rng(0).integers(5, size=200)
    new_ids = np.array([0, 1, 2, 3, 6])  # the last symbol moves behind two new ones
    model = NGramModel(5, order=3, smoothing=smoothing)
    expected = NGramModel(7, order=3, smoothing=smoothing)
    model.count(ids)
    expected.count(new_ids[ids])
    new = model.extend(7, np.array([0, 1, 2, 3, -1, 0, 4]))
    assert_close(state_arrays(new), state_arrays(expected), rtol=0, atol=0)
    for counting in (new, expected):
        counting.count(np.array([4, 5, 0, 4, 5]))
    assert_close(state_arrays(new), state_arrays(expected), rtol=0, atol=0)
    text = torch.arange(7)[None]
    assert torch.equal(new(text)[0], expected(text)[0])


def counts_by_hand(*texts, order):
    """Count what followed every context of up to order - 1 tokens, in each of the texts."""
    counts = defaultdict(Counter)
    for text in texts:
        for i, token in enumerate(text):
            for k in range(min(i + 1, order)):
                counts[tuple(text[i - k : i])][token] += 1
    return counts


def witten_bell(counts, context, token, vocab_size):
    """Mix the counts after a context with those after one shorter, down to uniform."""
    lower = witten_bell(counts, context[1:], token, vocab_size) if context else 1 / vocab_size
    seen = counts.get(context, Counter())
    if not seen:
        return lower
    return (seen[token] + len(seen) * lower) / (seen.total() + len(seen))


def maximum_likelihood(counts, context, token, vocab_size):
    """Take the frequencies after the longest context that was seen."""
    seen = counts.get(context, Counter())
    if seen:
        return seen[token] / seen.total()
    return maximum_likelihood(counts, context[1:], token, vocab_size) if context else 1 / vocab_size


BY_HAND = {"witten_bell": witten_bell, None: maximum_likelihood}


def probabilities_by_hand(counts, text, *, order, vocab_size, smoothing="witten_bell"):
    """Return the distribution after each prefix of a text: (T, V)."""
    return [
        [
            BY_HAND[smoothing](
                counts, tuple(text[max(0, t + 2 - order) : t + 1]), token, vocab_size
            )
            for token in range(vocab_size)
        ]
        for t in range(len(text))
    ]


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 300])
def test_ngrams_equal_counts_by_hand(order, smoothing, length):
    """Every probability after every prefix of a new text is what counting by hand gives."""
    rng = np.random.default_rng(0)
    train = rng.choice(5, length, p=[0.4, 0.3, 0.2, 0.1, 0]).tolist()  # token 4 is never seen
    text = rng.integers(5, size=80).tolist()
    model = NGramModel(5, order=order, smoothing=smoothing)
    model.count(np.array(train, dtype=np.uint8))
    expected = probabilities_by_hand(
        counts_by_hand(train, order=order), text, order=order, vocab_size=5, smoothing=smoothing
    )
    found = model(torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("order", [2, 5])
@pytest.mark.parametrize("length", [0, 1, 2, 4, 5, 9])
def test_a_text_shorter_than_the_order_can_be_counted(order, length):
    """Contexts that the text is too short for are not there, and that is all."""
    train = [0, 1, 2, 0, 1, 1, 2, 2, 0][:length]
    model = NGramModel(3, order=order)
    model.count(np.array(train, dtype=np.int64))
    text = [0, 1, 2, 0, 1]
    expected = probabilities_by_hand(
        counts_by_hand(train, order=order), text, order=order, vocab_size=3
    )
    found = model(torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("lengths", [(200, 150), (150, 0), (0, 150), (1, 200), (200, 2)])
def test_counting_two_texts_merges_their_counts(lengths):
    """Texts counted one after the other give the sum of their counts, in either order."""
    rng = np.random.default_rng(1)
    one = rng.integers(0, 4, lengths[0]).tolist()
    other = rng.integers(2, 6, lengths[1]).tolist()
    models = []
    for texts in ((one, other), (other, one)):
        models.append(NGramModel(6, order=3))
        for text in texts:
            models[-1].count(np.array(text, dtype=np.int64))
    assert_close(state_arrays(models[0]), state_arrays(models[1]), rtol=0, atol=0)
    text = rng.integers(6, size=50).tolist()
    merged = counts_by_hand(one, other, order=3)
    expected = probabilities_by_hand(merged, text, order=3, vocab_size=6)
    found = models[0](torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_truncated_model_is_one_of_that_order(ids, vocab, order, smoothing):
    """``truncated`` holds the tables that counting with the lower order gives."""
    high, low = (NGramModel(len(vocab), order=n, smoothing=smoothing) for n in (4, order))
    high.count(ids)
    low.count(ids)
    truncated = high.truncated(order)
    assert truncated.config == low.config
    assert_close(state_arrays(truncated), state_arrays(low), rtol=0, atol=0)
    x = torch.from_numpy(ids[None, 100:200].astype(np.int64))
    assert torch.equal(truncated(x)[0], low(x)[0])


def test_counting_with_a_truncated_model_leaves_the_original_alone(ids, vocab):
    """What a truncated model counts afterwards is not the original's."""
    model = NGramModel(len(vocab), order=3)
    model.count(ids)
    before = copy.deepcopy(state_arrays(model))
    model.truncated(2).count(ids[::-1])
    assert_close(state_arrays(model), before, rtol=0, atol=0)


@pytest.mark.parametrize("order", [0, 5])
def test_an_order_that_was_not_counted_is_refused(order):
    """``truncated`` takes orders from 1 to the model's own."""
    with pytest.raises(ValueError, match="`order` must be at least 1 and at most 4"):
        NGramModel(3, order=4).truncated(order)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_a_large_vocabulary_does_not_overflow(dtype):
    """Order 6 over 70,000 symbols keeps apart the 40,000 contexts of a text."""
    rng = np.random.default_rng(2)
    train = rng.integers(69_000, 70_000, 40_000)
    model = NGramModel(70_000, order=6)
    model.count(train.astype(dtype))
    counts = counts_by_hand(train.tolist(), order=6)
    text = train[30_000:30_010]
    tokens = [0, *text.tolist(), *train[:20].tolist(), 69_999]
    logits = model(torch.from_numpy(text[None]))[0][0]
    expected = [
        [
            witten_bell(counts, tuple(text[max(0, t - 4) : t + 1].tolist()), k, 70_000)
            for k in tokens
        ]
        for t in range(len(text))
    ]
    np.testing.assert_allclose(logits[:, tokens].double().exp(), expected, rtol=1e-5)


def test_ngrams_look_no_further_back_than_their_order(ids, vocab):
    """Two texts that share their last n-1 tokens have the same future."""
    model = NGramModel(len(vocab), order=4)
    model.count(ids)
    one = torch.from_numpy(ids[None, :50].astype(np.int64))
    other = one.clone()
    other[:, :47] = 0
    assert torch.equal(model(one)[0][:, -1], model(other)[0][:, -1])
    other[:, 47] = 0
    assert not torch.equal(model(one)[0][:, -1], model(other)[0][:, -1])
