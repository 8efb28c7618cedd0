"""Rows 18 to 29 of the fault table: prompts, lengths and ways of sampling."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.inputs import INF, NAN, make
from textrnn.errors import UnknownTokenError
from textrnn.generation.sampling import SamplingParams

pytestmark = pytest.mark.faults


# Prompts and lengths


@pytest.mark.parametrize("method", ["generate", "stream", "state", "evaluate", "surprisals"])
def test_18_an_unseen_character(numbers, method):
    """It is named with its code point and its place, and what to do about it."""
    size = len(numbers.vocab)
    message = rf"'ß' \(U\+00DF\) at index 7 is not in the vocabulary of {size} tokens\. Leave such"
    with pytest.raises(UnknownTokenError, match=message):
        getattr(numbers, method)("one twoß")


def test_18_leaving_unseen_characters_out(numbers):
    """Skipping them is asked for, not done in silence."""
    vocab = numbers.vocab
    assert vocab.decode(vocab.encode("one twoß", unknown="skip")) == "one two"


@pytest.mark.parametrize("length", [0, 1, 30])
def test_19_an_empty_prompt(numbers, gru, length):
    """It begins as after a line break, and the text is as long as was asked."""
    for gen in (numbers, gru):
        text = gen.generate("", length, seed=1)
        assert len(text) == length
        assert text == gen.generate("\n", length, seed=1, include_prompt=False)


def test_20_temperature_0(numbers, gru):
    """It is greedy: equal to top_k=1, whatever the seed and whatever else was drawn."""
    for gen in (numbers, gru):
        texts = [gen.generate("one", 40, temperature=0, seed=seed) for seed in (None, 0, 1)]
        texts += gen.generate("one", 40, temperature=0, num_return_sequences=2)
        texts += [gen.generate("one", 40, top_k=1, seed=3)]
        assert len(set(texts)) == 1
    rng = np.random.default_rng(0)
    SamplingParams(temperature=0).choose(np.arange(5.0), rng)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("method", ["generate", "stream"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((value, ValueError) for value in (-1, -1e-9, NAN, INF, 10**400)),
        *((value, TypeError) for value in ("1", True, None)),
    ],
    ids=lambda value: str(value)[:9],
)
def test_21_temperatures_that_cannot_be(numbers, method, value, error):
    """The range is named; a stream says it at the call."""
    with pytest.raises(error, match=r"`temperature` must be a number of at least 0\. Received: "):
        getattr(numbers, method)("one", temperature=value)


@pytest.mark.parametrize("exponent", [*range(-1, -46, -1), -100, -323])
def test_22_tiny_temperatures(gru, exponent):
    """The colder the more certain: probabilities stay finite, and the coldest are greedy."""
    logits = gru.state("one").logits[0]
    p = SamplingParams(temperature=10.0**exponent).probabilities(logits)
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1)
    if exponent < -6:
        assert p[logits.argmax()] == 1
        cold = gru.generate("one", 20, temperature=10.0**exponent, seed=0)
        assert cold == gru.generate("one", 20, temperature=0)


@pytest.mark.parametrize("prompt", ["", "one"])
@pytest.mark.parametrize("arguments", [{}, {"temperature": 0}, {"stop_strings": "one"}], ids=str)
def test_23_no_new_tokens(numbers, prompt, arguments):
    """There is the prompt, or nothing."""
    assert numbers.generate(prompt, 0, **arguments) == prompt
    assert numbers.generate(prompt, 0, include_prompt=False, **arguments) == ""
    assert "".join(numbers.stream(prompt, 0, **arguments)) == prompt


@pytest.mark.parametrize("method", ["generate", "stream"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (5.0, TypeError), (True, TypeError), ("5", TypeError)],
)
def test_24_lengths_that_cannot_be(numbers, method, value, error):
    """A length is a whole number from 0."""
    with pytest.raises(error, match=r"`max_new_tokens` must be .*Received: "):
        getattr(numbers, method)("one", value)


@pytest.mark.parametrize("arguments", [{}, {"stop_strings": "xyz"}], ids=str)
def test_24_a_length_without_end(numbers, arguments):
    """A stream of 10**12 tokens is begun, left and forgotten, in little memory."""
    numbers.generate("one", 5)  # what is made once is made now
    tracemalloc.start()
    try:
        stream = numbers.stream("one", 10**12, seed=0, **arguments)
        pieces = list(itertools.islice(stream, 300))
        stream.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(pieces) == 300
    assert peak < 2**20


# Sampling


@pytest.mark.parametrize("top_k", [10**9, 10**30, 1000])
def test_25_top_k_above_the_vocabulary(numbers, top_k):
    """It is all tokens, as None is."""
    assert numbers.generate("one", 40, seed=2, top_k=top_k) == numbers.generate("one", 40, seed=2)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_25_top_k_that_cannot_be(numbers, value, error):
    """It is a whole number from 1."""
    with pytest.raises(error, match=r"`top_k` must be .*Received: "):
        numbers.generate("one", top_k=value)


OUT_OF_RANGE = {
    "top_p": [0, -0.1, 1.0001, NAN, INF],
    "min_p": [-0.1, 1.1, NAN, INF],
    "repetition_penalty": [0, -1, NAN, INF],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]]
)
def test_26_settings_out_of_range(numbers, name, value):
    """Each is refused with the range that it must be in."""
    with pytest.raises(ValueError, match=f"`{name}` must be a number .*Received: "):
        numbers.generate("one", **{name: value})


def test_26_settings_that_change_nothing(numbers):
    """top_p=1, min_p=0 and a penalty of 1 leave the text as it is."""
    text = numbers.generate("one", 60, seed=4)
    for setting in ({"top_p": 1}, {"min_p": 0}, {"repetition_penalty": 1}):
        assert numbers.generate("one", 60, seed=4, **setting) == text


LOGITS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from(
    [0.0, -INF, 1.0, -1.0, 3e38, 1e-45]
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    st.lists(LOGITS, min_size=2, max_size=8),
    st.fixed_dictionaries(
        {
            "temperature": st.sampled_from([0, 1e-45, 1e-3, 1, 50, 1e300]) | st.floats(0, 10),
            "top_k": st.sampled_from([None, 1, 2, 10**9]),
            "top_p": st.sampled_from([None, 1e-300, 0.5, 1]) | st.floats(0, 1, exclude_min=True),
            "min_p": st.sampled_from([None, 0, 0.5, 1]) | st.floats(0, 1),
            "repetition_penalty": st.sampled_from([1, 1e-300, 0.5, 1e300]),
            "no_repeat_ngram_size": st.sampled_from([None, 1, 2]),
            "suppressed": st.sampled_from([(), (0,), (0, 1)]),
        }
    ),
    st.lists(st.integers(0, 1), max_size=6),
)
def test_26_all_settings_together(logits, arguments, previous):
    """Probabilities sum to one, at least one token is left, and a suppressed one is not chosen."""
    logits, sampling = np.array(logits, dtype=np.float32), SamplingParams(**arguments)
    p = sampling.probabilities(logits, previous)
    chosen = sampling.choose(logits, np.random.default_rng(0), previous)
    assert p.sum() == pytest.approx(1)
    assert (p >= 0).all()
    assert p[chosen] > 0
    if len(sampling.suppressed) < len(logits):
        assert p[list(sampling.suppressed)].sum() == 0


@pytest.mark.parametrize("temperature", [0, 0.5, 1])
@pytest.mark.parametrize(
    "masks",
    [{"min_p": 1}, {"top_p": 1e-300}, {"top_k": 1}, {"no_repeat_ngram_size": 1}, {}],
    ids=str,
)
def test_27_everything_is_ruled_out(numbers, masks, temperature):
    """Where no token may follow, one that is not forbidden still does."""
    settings = {"temperature": temperature, "allowed_tokens": "x\n", **masks}
    with np.errstate(all="raise", under="ignore"):
        text = numbers.generate("one", 40, seed=0, **settings)
    assert len(text) == 43
    assert set(text[3:]) <= {"x", "\n"}


def test_27_nothing_is_allowed(numbers):
    """To forbid every token is an error."""
    with pytest.raises(ValueError, match=r"must leave a token to generate\. Received: "):
        numbers.generate("one", suppress_tokens=numbers.vocab.itos)


@pytest.mark.parametrize("stop", ["", ["a", ""]])
def test_28_an_empty_stop_string(numbers, stop):
    """It would end every text before it began."""
    with pytest.raises(ValueError, match="`stop_strings` must be a non-empty str"):
        numbers.generate("one", stop_strings=stop)


@pytest.mark.parametrize("prompt", ["", "one\ntwo"])
@pytest.mark.parametrize("seed", range(5))
def test_28_stop_strings(gru, numbers, prompt, seed):
    """They may span tokens, are cut off exactly, and do not act in the prompt."""
    for gen in (gru, numbers):
        free = gen.generate(prompt, 60, seed=seed)
        stop = free[len(prompt) + 20 : len(prompt) + 24]
        expected = free[: free.index(stop, len(prompt))]
        arguments = {"seed": seed, "stop_strings": [stop, "\0"]}
        assert gen.generate(prompt, 60, **arguments) == expected
        assert "".join(gen.stream(prompt, 60, **arguments)) == expected
        assert gen.generate(prompt, 60, num_return_sequences=3, **arguments)[0] == expected


@pytest.mark.parametrize("seed", [0, 2**32, 2**64, 10**40, np.uint64(2**64 - 1), np.int8(3)])
def test_29_seeds(numbers, seed):
    """Any whole number from 0 is a seed."""
    text = numbers.generate("one", 30, seed=seed)
    assert text == "".join(numbers.stream("one", 30, seed=int(seed)))


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (1.0, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_29_seeds_that_cannot_be(numbers, seed, error):
    """A seed of another kind is refused with its range, in the constructor too."""
    for call in (numbers.generate, numbers.stream, lambda seed: make(seed=seed)):
        with pytest.raises(error, match=r"`seed` must be .*Received: "):
            call(seed=seed)
    with pytest.raises(
        ValueError, match="`seed` must be at least 0 and at most 9223372036854775807"
    ):
        make(seed=2**64)
