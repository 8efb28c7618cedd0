"""Every distribution equals its definition, written out here in plain Python."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.errors import NonFiniteError
from textrnn.generation.sampling import SamplingParams, TokenHistory

LOGITS = np.array([1.0, 2.5, -0.5, 2.5, 0.0, -3.0])


def reference(
    logits,
    temperature=1.0,
    top_k=None,
    top_p=None,
    min_p=None,
    penalty=1.0,
    previous=(),
    never=(),
):
    """Return the distribution in the order that is documented, one token at a time."""
    scores = [float(logit) for logit in logits]
    for i in set(previous):
        scores[i] = scores[i] / penalty if scores[i] > 0 else scores[i] * penalty
    for i in never:
        scores[i] = -math.inf
    kept = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    likeliest = kept[0]
    weights = [math.exp((score - scores[likeliest]) / temperature) for score in scores]
    kept = kept[:top_k]
    if top_p is not None and top_p < 1:
        wanted, sum_so_far, nucleus = top_p * sum(weights[i] for i in kept), 0.0, []
        while kept and sum_so_far < wanted:
            nucleus.append(kept.pop(0))
            sum_so_far += weights[nucleus[-1]]
        kept = nucleus
    if min_p is not None:
        kept = [i for i in kept if weights[i] >= min_p * weights[likeliest]]
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(len(scores))]


# -- the distribution ------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 1, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 3, 10**9])
@pytest.mark.parametrize("top_p", [None, 0.001, 0.47, 0.9, 1])
@pytest.mark.parametrize("min_p", [None, 0.01, 0.3])
def test_the_settings_together(temperature, top_k, top_p, min_p):
    """Temperature, top-k, top-p and min-p in any combination equal the definition."""
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    expected = reference(LOGITS, **settings)
    np.testing.assert_allclose(
        SamplingParams(**settings).probabilities(LOGITS), expected, rtol=1e-12
    )


# Quarters: where two logits differ, so do their probabilities.
_GRID = st.integers(-40, 40).map(lambda n: n / 4)


@pytest.mark.slow
@settings(deadline=None)
@given(
    logits=st.lists(_GRID, min_size=1, max_size=30),
    temperature=st.sampled_from([0.25, 1.0, 3.0]),
    top_k=st.none() | st.integers(1, 40),
    top_p=st.none() | st.sampled_from([0.0313, 0.377, 0.613, 0.8311, 0.9707]),
    min_p=st.none() | st.sampled_from([0.0, 0.0517, 0.3, 1.0]),
    penalty=st.sampled_from([0.5, 1.0, 1.3, 4.0]),
    previous=st.lists(st.integers(0, 29)),
    suppressed=st.sets(st.integers(0, 29)),
)
def test_all_settings_equal_the_definition(logits, penalty, previous, suppressed, **others):
    """All settings at once, over many logits with ties among them, equal the definition."""
    previous = [i for i in previous if i < len(logits)]
    suppressed = tuple(i for i in suppressed if i < len(logits))[: len(logits) - 1]
    sampling = SamplingParams(**others, repetition_penalty=penalty, suppressed=suppressed)
    expected = reference(logits, penalty=penalty, previous=previous, never=suppressed, **others)
    result = sampling.probabilities(np.array(logits), previous)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-300)


@pytest.mark.slow
@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-1e6, 1e6) | st.just(-math.inf), min_size=1, max_size=40),
    temperature=st.floats(0, 1e6),
    top_k=st.none() | st.integers(1, 50),
    top_p=st.none() | st.floats(0, 1, exclude_min=True),
    min_p=st.none() | st.floats(0, 1),
    repetition_penalty=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32),
)
def test_something_is_always_left(logits, seed, **others):
    """Probabilities sum to 1 for any logits of which one is finite, and a likely one is chosen."""
    logits = np.array([*logits, 0.5])
    sampling = SamplingParams(**others)
    p = sampling.probabilities(logits, [0])
    assert p.dtype == np.float64
    assert p.shape == logits.shape
    assert p.min() >= 0
    assert abs(p.sum() - 1) < 1e-9
    assert p[sampling.choose(logits, np.random.default_rng(seed), [0])] > 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.1, 0.6, 0.3]),
        ({"temperature": 0.5}, [1 / 46, 36 / 46, 9 / 46]),
        ({"top_k": 2}, [0, 2 / 3, 1 / 3]),
        ({"top_p": 0.59}, [0, 1, 0]),
        ({"top_p": 0.61}, [0, 2 / 3, 1 / 3]),
        ({"top_p": 1}, [0.1, 0.6, 0.3]),
        ({"min_p": 0.49}, [0, 2 / 3, 1 / 3]),
        ({"min_p": 0.51}, [0, 1, 0]),
        ({"min_p": 0}, [0.1, 0.6, 0.3]),
        ({"min_p": 1}, [0, 1, 0]),
        ({"temperature": 0.5, "top_p": 0.8}, [0, 0.8, 0.2]),
        ({"top_k": 2, "top_p": 0.65}, [0, 1, 0]),
        ({"temperature": 0}, [0, 1, 0]),
        ({"suppressed": (1,)}, [0.25, 0, 0.75]),
        ({"suppressed": (1,), "top_k": 1}, [0, 0, 1]),
    ],
)
def test_by_hand(settings, expected):
    """Three tokens, worked out on paper: a setting acts on what those before it left."""
    result = SamplingParams(**settings).probabilities(np.log([0.1, 0.6, 0.3]))
    np.testing.assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        ([], [1, 4, -1, 0]),
        ([1, 1, 2, 1], [1, 2, -2, 0]),
        (np.array([3, 1], np.uint8), [1, 2, -1, 0]),
        ([0, 1, 2, 3], [0.5, 2, -2, 0]),
    ],
)
def test_repetition_penalty(previous, expected):
    """Tokens in the text are made less likely, once each: positive logits halve, others double."""
    logits = np.array([1.0, 4.0, -1.0, 0.0])
    result = SamplingParams(repetition_penalty=2).probabilities(logits, previous)
    np.testing.assert_allclose(result, np.exp(expected) / np.exp(expected).sum(), rtol=1e-12)
    np.testing.assert_array_equal(logits, [1, 4, -1, 0])  # the caller's own are left alone


def test_float32_logits_are_worked_in_float64():
    """Logits of a model give the probabilities that their float64 values have."""
    logits = LOGITS.astype(np.float32)
    result = SamplingParams(temperature=0.3).probabilities(logits)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, reference(logits, 0.3), rtol=1e-12)


# -- the edges -------------------------------------------------------------------------------


@settings(deadline=None)
@given(logits=st.lists(st.integers(-2, 2), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_top_k_1_is_greedy(logits, seed):
    """One token left is the one that greedy takes: of equals the lowest id."""
    logits, rng = np.array(logits, dtype=np.float32), np.random.default_rng(seed)
    first = logits.tolist().index(max(logits))
    assert SamplingParams(top_k=1).choose(logits, rng) == first
    assert SamplingParams(top_k=1, temperature=50).choose(logits, rng) == first
    assert SamplingParams(temperature=0).choose(logits, rng) == first


@pytest.mark.parametrize("top_k", range(1, 7))
def test_top_k_keeps_exactly_k_of_equals(top_k):
    """Among equally likely tokens those with the lowest ids are kept."""
    p = SamplingParams(top_k=top_k).probabilities(np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0]))
    assert set(np.flatnonzero(p)) == set([1, 2, 4, 0, 3, 5][:top_k])


@pytest.mark.parametrize("exponent", [*range(-1, -46, -4), -100, -307, -320, -323])
def test_tiny_temperatures(exponent):
    """As the temperature falls the likeliest tokens share all, and nothing overflows."""
    p = SamplingParams(temperature=float(f"1e{exponent}")).probabilities(
        np.array([7.0, 90.0, 90.0, -1e4])
    )
    np.testing.assert_allclose(p, [0, 0.5, 0.5, 0], atol=1e-300)


@pytest.mark.parametrize("temperature", [1e10, 1e300])
def test_huge_temperatures(temperature):
    """As the temperature rises all tokens become equally likely."""
    p = SamplingParams(temperature=temperature).probabilities(LOGITS)
    np.testing.assert_allclose(p, np.full(6, 1 / 6), rtol=1e-8)


@pytest.mark.parametrize("temperature", [0, 0.5, 1, 1e-320])
def test_a_token_of_logit_minus_infinity_is_never_chosen(temperature):
    """Minus infinity is a probability of exactly 0."""
    sampling, logits = (
        SamplingParams(temperature=temperature),
        np.array([-np.inf, 0.0, -np.inf, 0.0]),
    )
    assert sampling.probabilities(logits)[[0, 2]].tolist() == [0, 0]
    rng = np.random.default_rng(0)
    assert {sampling.choose(logits, rng) for _ in range(100)} <= {1, 3}


@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"min_p": 1.0}, {"top_k": 3}])
def test_a_banned_token_is_never_chosen(settings):
    """Banned ids have no probability, however likely they were."""
    sampling = SamplingParams(**settings, suppressed=(1, 3))
    p, rng = sampling.probabilities(LOGITS), np.random.default_rng(0)
    assert p[[1, 3]].tolist() == [0, 0]
    assert p.argmax() == 0
    assert not {sampling.choose(LOGITS, rng) for _ in range(100)} & {1, 3}


@pytest.mark.parametrize(
    ("logits", "suppressed"),
    [([0.0, 1.0], (0, 1)), ([-np.inf, 0.0], (1,)), ([-np.inf, -np.inf], ()), ([3.0], (0,))],
)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.5}])
def test_one_token_is_left_where_all_are_ruled_out(logits, suppressed, settings):
    """Bans and minus infinities that leave nothing still give a distribution and a choice."""
    sampling, logits = SamplingParams(**settings, suppressed=suppressed), np.array(logits)
    assert sampling.probabilities(logits).sum() == 1
    assert sampling.choose(logits, np.random.default_rng(0)) in range(len(logits))


# -- the choice ------------------------------------------------------------------------------


@pytest.mark.slow
def test_frequencies_are_the_probabilities():
    """20,000 choices fall as often on each token as its probability says (chi-square)."""
    sampling, rng = SamplingParams(temperature=1.3, top_p=0.95), np.random.default_rng(0)
    p = sampling.probabilities(LOGITS)
    counts = np.bincount([sampling.choose(LOGITS, rng) for _ in range(20_000)], minlength=6)
    expected = 20_000 * p
    assert counts[p == 0].tolist() == [0, 0]
    chi_square = ((counts - expected)[p > 0] ** 2 / expected[p > 0]).sum()
    assert chi_square < 16.3  # 0.1 % of all samples exceed this, at 3 degrees of freedom


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.2}, {"top_k": 1}, {"top_p": 0.5}])
def test_a_choice_takes_one_random_number(settings):
    """A choice is where one uniform number falls on the probabilities laid end to end."""
    sampling = SamplingParams(**settings)
    edges = sampling.probabilities(LOGITS).cumsum()
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    choices = [sampling.choose(LOGITS, rng) for _ in range(200)]
    assert choices == [int((edges <= same.random() * edges[-1]).sum()) for _ in range(200)]
    assert rng.bit_generator.state == same.bit_generator.state


def test_greedy_takes_no_random_number():
    """At temperature 0 the generator is left as it was."""
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert SamplingParams(temperature=0, repetition_penalty=2).choose(LOGITS, rng, [1]) == 3
    assert rng.bit_generator.state == before


# -- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("temperature", [-1, -1e-9, math.nan, math.inf, -math.inf], "a number of at least 0"),
        ("top_k", [0, -1], "at least 1"),
        ("top_p", [0, -0.1, 1.001, math.nan, math.inf], r"a number in \(0, 1\]"),
        ("min_p", [-0.1, 1.001, math.nan, -math.inf], r"a number in \[0, 1\]"),
        ("repetition_penalty", [0, -1, math.nan, math.inf], "a number above 0"),
    ],
)
def test_settings_out_of_range(name, values, message):
    """A setting out of its range is a ValueError that names it, the range and what came."""
    for value in values:
        with pytest.raises(ValueError, match=rf"^`{name}` must be {message}\. Received: {value}$"):
            SamplingParams(**{name: value})


@pytest.mark.parametrize("value", ["1", True, [1], 1j, b"1"])
@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p", "repetition_penalty"])
def test_settings_of_another_type(name, value):
    """A setting that is no number is a TypeError that names it."""
    with pytest.raises(TypeError, match=rf"^`{name}` must be a .*number.*Received: "):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("name", ["temperature", "repetition_penalty"])
def test_settings_that_cannot_be_left_out(name):
    """Where None would mean nothing it is a TypeError."""
    with pytest.raises(TypeError, match=f"`{name}` must be a number"):
        SamplingParams(**{name: None})


def test_top_k_is_a_whole_number():
    """Half a token cannot be kept."""
    with pytest.raises(TypeError, match=r"`top_k` must be a whole number \(int\)\. Received: 2\.0"):
        SamplingParams(top_k=2.0)


def test_settings_cannot_be_changed():
    """OptimizerConfig are what they were when they were checked."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="temperature"):
        SamplingParams().temperature = -1


# -- many texts, many tokens -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.6, 0.99, 0.999999])
def test_a_nucleus_among_many_tokens(top_p):
    """Of 3,000 tokens, of which many are equally likely, the fewest and first are kept."""
    logits = np.random.default_rng(0).integers(-40, 8, 3000) / 4
    for temperature in (0.5, 1, 4):
        expected = reference(logits, temperature=temperature, top_p=top_p)
        found = SamplingParams(temperature=temperature, top_p=top_p).probabilities(logits)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.slow
@settings(deadline=None)
@given(
    rows=st.lists(st.lists(_GRID, min_size=6, max_size=6), min_size=1, max_size=5),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5),
    temperature=st.sampled_from([0, 0.5, 1.0, 3.0]),
    top_k=st.none() | st.integers(1, 6),
    top_p=st.none() | st.sampled_from([0.377, 0.9707]),
    no_repeat_ngram_size=st.none() | st.integers(1, 3),
)
def test_texts_side_by_side_are_chosen_one_by_one(rows, draws, **others):
    """A row gets the token that it gets alone, and that is the one its draw falls on."""
    sampling, logits, draws = SamplingParams(**others), np.array(rows), draws[: len(rows)]
    pasts = [TokenHistory(sampling, [0, 1, 2, 0, 1])] * len(rows)
    batched = sampling.choose_each(logits, draws, pasts).tolist()
    for token, row, draw in zip(batched, logits, draws, strict=True):
        assert sampling.choose_each(row[None], [draw], pasts[:1]).tolist() == [token]
        p = sampling.probabilities(row, [0, 1, 2, 0, 1])
        assert p[token] > 0
        assert p[:token].sum() - 1e-12 <= draw <= p[: token + 1].sum() + 1e-12 or max(p) == 1


@pytest.mark.parametrize("temperature", [1e-300, 1e-200, 1e-20])
def test_the_coldest_temperature_is_greedy(temperature):
    """Nothing overflows, with a warning or without."""
    logits = np.array([3e38, -3e38, 2.9e38, -np.inf], dtype=np.float32)
    assert SamplingParams(temperature=temperature).probabilities(logits).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_scores_that_are_no_numbers(odd, temperature):
    """A model whose weights have grown beyond bounds is said to have, not followed."""
    logits = np.array([[0.0, 1.0], [odd, 1.0], [-math.inf, -math.inf]])
    with pytest.raises(NonFiniteError, match=r"infinite or not numbers.*Received: (nan|inf)"):
        SamplingParams(temperature=temperature).choose_each(logits, [0.5] * 3, [])


def test_no_repeat_ngram_size_is_at_least_1():
    """A run of no tokens is none."""
    with pytest.raises(ValueError, match="no_repeat_ngram_size"):
        SamplingParams(no_repeat_ngram_size=0)
