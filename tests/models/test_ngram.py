"""Counting: every probability is what counting by hand gives."""

import copy
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from textrnn.evaluation import evaluate
from textrnn.generation.steppers.smoothing import adjusted_counts
from textrnn.generation.steppers.trie import Trie
from textrnn.models import NGramModel, counting
from textrnn.models.arrays import state_arrays


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


def adjusted_by_hand(counts):
    """Count, but after the longest contexts, each token before an n-gram once."""
    longest = max((len(context) for context in counts), default=0)
    older = {context[0] for context in counts if context}
    adjusted = defaultdict(Counter)
    for context, seen in counts.items():
        for token, n in seen.items():
            before = [counts[w, *context][token] for w in older if (w, *context) in counts]
            different = sum(k > 0 for k in before) + n - sum(before)
            adjusted[context][token] = n if len(context) == longest else different
    return adjusted


def discounts_by_hand(adjusted, length):
    """Return D1, D2 and D3+ of Chen and Goodman after contexts of a length."""
    counts = [n for c, seen in adjusted.items() if len(c) == length for n in seen.values()]
    n1, n2, n3, n4 = (counts.count(n) for n in (1, 2, 3, 4))
    if not n1 or not n2:
        return 0.5, 0.5, 0.5
    y = n1 / (n1 + 2 * n2)
    if not n3 or not n4:
        return y, y, y
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return found if all(0 < d < k for k, d in enumerate(found, 1)) else (y, y, y)


def kneser_ney(counts, context, token, vocab_size):
    """Discount what was seen; what that leaves is shared as after a context one shorter."""
    adjusted, discounts = counts
    shorter = context[1:], token, vocab_size
    lower = kneser_ney(counts, *shorter) if context else 1 / vocab_size
    seen = adjusted.get(context)
    if not seen:
        return lower
    taken = {t: discounts[len(context)][min(n, 3) - 1] for t, n in seen.items()}
    mine = seen[token] - taken.get(token, 0)
    return (mine + sum(taken.values()) * lower) / seen.total()


BY_HAND = {"kneser_ney": kneser_ney, "witten_bell": witten_bell, None: maximum_likelihood}
SMOOTHINGS = list(BY_HAND)


def probabilities_by_hand(counts, text, *, order, vocab_size, smoothing="kneser_ney", tokens=None):
    """Return the distribution (of some tokens) after each prefix of a text: (T, V)."""
    if smoothing == "kneser_ney":
        adjusted = adjusted_by_hand(counts)
        counts = adjusted, [discounts_by_hand(adjusted, k) for k in range(order)]
    return [
        [
            BY_HAND[smoothing](
                counts, tuple(text[max(0, t + 2 - order) : t + 1]), token, vocab_size
            )
            for token in (range(vocab_size) if tokens is None else tokens)
        ]
        for t in range(len(text))
    ]


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_an_extended_model_has_counted_the_same(smoothing):
    """Its tables are those of a larger model that counted the text in its ids, and it counts on."""
    ids = np.random.default_rng(0).integers(5, size=200)
    new_ids = np.array([0, 1, 2, 3, 6])  # the last token moves behind two new ones
    model = NGramModel(5, order=3, smoothing=smoothing)
    expected = NGramModel(7, order=3, smoothing=smoothing)
    model.count(ids)
    expected.count(new_ids[ids])
    new = model.extend(7, np.array([0, 1, 2, 3, -1, 0, 4]))
    assert_close(state_arrays(new), state_arrays(expected), rtol=0, atol=0)
    for one in (new, expected):
        one.count(np.array([4, 5, 0, 4, 5]))
    assert_close(state_arrays(new), state_arrays(expected), rtol=0, atol=0)
    text = torch.arange(7)[None]
    assert torch.equal(new(text)[0], expected(text)[0])


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
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


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
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
@pytest.mark.parametrize("smoothing", ["witten_bell", None])
@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_a_large_vocabulary_does_not_overflow(dtype, smoothing):
    """Order 6 over 70,000 tokens keeps apart the 40,000 contexts of a text."""
    rng = np.random.default_rng(2)
    train = rng.integers(69_000, 70_000, 40_000)
    model = NGramModel(70_000, order=6, smoothing=smoothing)
    model.count(train.astype(dtype))
    text = train[30_000:30_010]
    tokens = [0, *text.tolist(), *train[:20].tolist(), 69_999]
    logits = model(torch.from_numpy(text[None]))[0][0]
    expected = probabilities_by_hand(
        counts_by_hand(train.tolist(), order=6),
        text.tolist(),
        order=6,
        vocab_size=70_000,
        smoothing=smoothing,
        tokens=tokens,
    )
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


# Kneser-Ney


def test_each_length_has_discounts_of_its_own(ids, vocab):
    """With counts enough for all three discounts, each length has its own."""
    order, train = 4, ids[:1000].tolist()
    model = NGramModel(len(vocab), order=order)
    model.count(ids[:1000])
    text = ids[1000:1060].tolist()
    counts = counts_by_hand(train, order=order)
    adjusted = adjusted_by_hand(counts)
    assert len({discounts_by_hand(adjusted, k) for k in range(1, order)}) == order - 1
    expected = probabilities_by_hand(counts, text, order=order, vocab_size=len(vocab))
    found = model(torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
@given(
    texts=st.lists(st.lists(st.integers(0, 3), max_size=60), min_size=1, max_size=3),
    order=st.integers(1, 6),
    smoothing=st.sampled_from(SMOOTHINGS),
    few=st.sampled_from([0, 1 << 20]),
)
def test_probabilities_sum_to_one(texts, order, smoothing, few):
    """Whatever was counted, left out or not, after contexts known and unknown."""
    model = NGramModel(5, order=order, smoothing=smoothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_FEW", few)
        for text in texts:
            model.count(np.array(text, dtype=np.int64))
    logits, _ = model(torch.tensor([[0, 1, 2, 3, 4, 0, *texts[0], 1, 1, 4, 2]]))
    np.testing.assert_allclose(logits.double().exp().sum(-1), 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("piece", [1, 7, 100, 1205])
def test_counting_in_pieces_is_counting_at_once(ids, vocab, piece):
    """How much of a text is sorted at a time is not seen in the counts."""
    order, v = 5, len(vocab)
    empty = NGramModel(v, order=order).stepper.trie
    whole = counting.add_counts(empty, ids).to_tensors()
    pieces = counting.add_counts(empty, ids, piece).to_tensors()
    assert_close(pieces, whole, rtol=0, atol=0)


# What is left out of large texts


@pytest.fixture
def pruned(ids, vocab, monkeypatch):
    """A model of order 5 that kept no n-grams of 4 and 5 tokens that were seen once."""
    monkeypatch.setattr(counting, "_FEW", 0)
    monkeypatch.setattr(counting, "_PER_TOKEN", 0.01)
    model = NGramModel(len(vocab), order=5)
    model.count(ids)
    return model


def test_what_is_seen_once_is_left_out_of_large_texts(pruned, ids, vocab):
    """Of the longest n-grams only; those that are left have the counts that they had."""
    whole = NGramModel(len(vocab), order=5)
    whole._store(Trie.from_levels(counted(ids, 5, len(vocab)), len(vocab), ONES))
    kept, all_of_them = pruned.stepper.trie.levels(), whole.stepper.trie.levels()
    assert pruned.min_counts.tolist() == [1, 1, 1, 2, 2]
    for length, (some, every) in enumerate(zip(kept, all_of_them, strict=True), 1):
        expected = every.counts[every.counts > 1] if length > 3 else every.counts
        np.testing.assert_array_equal(some.counts, expected)
        assert len(expected)


def test_leaving_out_changes_no_probability_of_what_is_left(pruned, ids, vocab):
    """Shorter n-grams count what they would: the left-out ones are known by their number."""
    whole = NGramModel(len(vocab), order=5)
    whole._store(Trie.from_levels(counted(ids, 5, len(vocab)), len(vocab), ONES))
    for length in range(1, 6):
        some, every = (adjusted_counts(m.stepper.trie, length) for m in (pruned, whole))
        seen = whole.stepper.trie.counts[whole.stepper.trie.level(length)]
        np.testing.assert_array_equal(some, every[seen > 1] if length > 3 else every)


def test_counting_on_after_leaving_out_leaves_out_again(pruned, ids):
    """A second text does not bring back what the first one lost, nor fail."""
    pruned.count(ids[:500])
    assert pruned.min_counts.tolist() == [1, 1, 1, 2, 2]
    assert min(pruned.stepper.trie.levels()[4].counts) == 2


ONES = np.ones(5, dtype=np.uint8)


def counted(ids, order, vocab_size):
    """Return all n-grams of a text, none left out."""
    return counting._sort(ids.astype(np.int64), len(ids), order, vocab_size)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("chunk", [1, 100, 1 << 18])
def test_the_loss_is_that_of_evaluate(ids, vocab, smoothing, chunk, monkeypatch):
    """However many tokens are scored at once, known and unknown ones."""
    monkeypatch.setattr("textrnn.generation.steppers.ngram._CHUNK", chunk)
    model = NGramModel(len(vocab) + 1, order=4, smoothing=smoothing)
    model.count(ids[:900])
    text = ids[900:1000] if smoothing is None else np.append(ids[900:], len(vocab))
    assert model.stepper.loss(text) == pytest.approx(evaluate(model, text)["loss"], rel=1e-6)
