"""Text out: the same from every door, the same for a seed, and never what was not asked for."""

import itertools
import math
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.datasets import load_human_numbers
from textrnn.errors import UnknownTokenError
from textrnn.generation.sampler import Sampler
from textrnn.generation.steppers import STEPPERS
from textrnn.models import NGramModel
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import build, make_stepper
from textrnn.text.vocab import Vocab

TEXT = load_human_numbers(1, 400)


def counting(text, *, level="char", order=5, smoothing="witten_bell", **vocab_args):
    """Make a sampler that has counted a text."""
    vocab = Vocab.from_text(text, level, **vocab_args)
    model = NGramModel(len(vocab), order=order, smoothing=smoothing)
    model.count(vocab.encode(text))
    return Sampler(vocab, model.stepper)


@pytest.fixture(scope="module")
def numbers():
    """A sampler that writes numbers in words, character by character."""
    return counting(TEXT)


@pytest.fixture(scope="module")
def words():
    """A sampler that writes numbers in words, word by word."""
    return counting(TEXT, level="word", order=3)


@pytest.fixture(scope="module")
def lstm():
    """An LSTM that is not trained."""
    vocab = Vocab.from_text(TEXT)
    return Sampler(vocab, make_stepper(build("lstm", len(vocab), {"hidden_size": 32}, seed=0)))


@pytest.fixture
def sampler(model, kind, vocab):
    """A sampler of each small model in turn; the recurrent ones are not trained."""
    return Sampler(vocab, STEPPERS[kind](model.config, state_arrays(model)))


# Streaming, lengths, prompts

ARGUMENTS = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["", "t", "two hund", "one\n", "fourteen"]),
        "max_new_tokens": st.integers(0, 30),
        "temperature": st.sampled_from([0, 0.1, 0.8, 1, 3.5]),
        "top_k": st.sampled_from([None, 1, 3, 1000]),
        "top_p": st.sampled_from([None, 0.3, 0.9, 1]),
        "min_p": st.sampled_from([None, 0, 0.1, 1]),
        "repetition_penalty": st.sampled_from([1, 1.3, 0.8]),
        "stop_strings": st.sampled_from([None, "\n", "teen", ["ty ", "one\nt"], ("e", "ee")]),
        "seed": st.integers(0, 5),
        "include_prompt": st.booleans(),
    }
)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(ARGUMENTS)
def test_a_stream_s_pieces_are_the_text(numbers, arguments):
    """Whatever the arguments, ``stream`` yields non-empty pieces of ``generate``'s text."""
    pieces = list(numbers.stream(**arguments))
    assert "".join(pieces) == numbers.generate(**arguments)
    assert all(pieces)


def test_a_stream_s_pieces_are_the_text_in_every_family(sampler):
    """``stream`` and ``generate`` agree for recurrent models, too."""
    arguments = {"prompt": "two", "max_new_tokens": 40, "stop_strings": ["xx", "t\n"], "seed": 1}
    assert "".join(sampler.stream(**arguments)) == sampler.generate(**arguments)


@pytest.mark.parametrize("prompt", ["", "one", "two hundred\n"])
@pytest.mark.parametrize("length", [0, 1, 50])
def test_the_text_is_as_long_as_was_asked(sampler, prompt, length):
    """At level "char" there are ``max_new_tokens`` characters after the prompt."""
    text = sampler.generate(prompt, length, seed=0)
    assert text.startswith(prompt)
    assert len(text) == len(prompt) + length
    assert sampler.generate(prompt, length, seed=0, include_prompt=False) == text[len(prompt) :]


def test_the_empty_prompt_begins_as_after_a_line_break(sampler):
    """What follows no prompt is what follows the vocabulary's start token, a line break."""
    expected = sampler.generate("\n", 30, seed=3, include_prompt=False)
    assert sampler.generate("", 30, seed=3) == expected


def test_the_empty_prompt_works_without_a_line_break():
    """A vocabulary without a line break begins as after its first token."""
    sampler = counting("abcabc")
    assert sampler.generate(max_new_tokens=4, temperature=0) == "bcab"


def test_a_very_long_text_can_be_begun(numbers):
    """A stream of 10**12 tokens yields its first five at once."""
    stream = numbers.stream("t", 10**12, seed=0, include_prompt=False)
    assert "".join(itertools.islice(stream, 5)) == numbers.generate("t", 5, seed=0)[1:]
    stream.close()


def test_a_stream_can_be_abandoned(sampler):
    """What was left in the middle changes nothing for who comes after."""
    expected = sampler.generate("one", 20, seed=0)
    stream = sampler.stream("one", 20, seed=0)
    for _ in range(5):
        next(stream)
    stream.close()
    assert list(stream) == []
    assert sampler.generate("one", 20, seed=0) == expected


def test_streams_can_run_side_by_side(sampler):
    """Two streams read in turns are the two texts."""
    streams = [sampler.stream("one", 20, seed=seed) for seed in (0, 1)]
    turns = zip(*streams, strict=True)
    found = ["".join(pieces) for pieces in zip(*turns, strict=True)]
    assert found == [sampler.generate("one", 20, seed=seed) for seed in (0, 1)]


# Seeds


def test_the_same_seed_gives_the_same_text(sampler):
    """A seed fixes the text, other seeds give others, and the global randomness plays no part."""
    texts = []
    for seed in (7, 8, 7):
        np.random.seed(len(texts))  # noqa: NPY002
        torch.manual_seed(len(texts))
        texts.append(sampler.generate("one", 60, seed=seed))
    assert texts[0] == texts[2] != texts[1]


def test_the_global_randomness_is_left_alone(sampler):
    """Writing draws nothing from NumPy's or torch's global generator."""
    np_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    sampler.generate("one", 20)
    np.testing.assert_array_equal(np.random.get_state()[1], np_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_without_a_seed_every_text_is_another(sampler):
    """Two calls draw different random numbers, and so do two texts of one call."""
    texts = [*sampler.generate("one", 80, num_return_sequences=2), sampler.generate("one", 80)]
    assert len(set(texts)) == 3


def test_a_text_is_the_same_alone_and_among_others(sampler):
    """Text i is the same whatever their number, and text 0 is the one that is written alone."""
    few, many = (
        sampler.generate("one", 40, num_return_sequences=n, seed=2, stop_strings="ee")
        for n in (3, 6)
    )
    assert many[:3] == few
    assert len(set(many)) == 6
    assert sampler.generate("one", 40, seed=2, stop_strings="ee") == few[0]
    assert "".join(sampler.stream("one", 40, seed=2, stop_strings="ee")) == few[0]


@pytest.mark.slow
def test_eight_threads_write_what_one_writes(lstm):
    """One sampler, shared: every text of every round equals that of the serial run."""
    prompts = [f"{word} " for word in ("one", "two", "six", "ten", "five", "four", "nine", "forty")]
    expected = [lstm.generate(prompt, 12, seed=i) for i, prompt in enumerate(prompts)]
    start, texts = threading.Barrier(8), [[] for _ in prompts]

    def work(i):
        for _ in range(50):
            start.wait()
            texts[i].append(lstm.generate(prompts[i], 12, seed=i))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert texts == [[text] * 50 for text in expected]


# Choosing


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("prompt", ["one", "ninety nine\n"])
def test_temperature_0_is_greedy(sampler, model, prompt):
    """It equals ``top_k=1``, any seed, and the likeliest tokens of the torch module by hand."""
    ids = sampler.vocab.encode(prompt).astype(np.int64).tolist()
    for _ in range(40):
        ids.append(int(model(torch.tensor([ids]))[0][0, -1].argmax()))
    expected = sampler.vocab.decode(ids)
    assert sampler.generate(prompt, 40, temperature=0) == expected
    assert sampler.generate(prompt, 40, temperature=0, seed=1, top_p=0.5) == expected
    assert sampler.generate(prompt, 40, top_k=1, temperature=5) == expected


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
def test_texts_follow_the_model_s_probabilities(smoothing):
    """Over 2,000 texts of one token the frequencies are those of counting, within 5 sigma."""
    sampler = counting("abacabad" * 50, order=2, smoothing=smoothing)
    logits, _ = sampler.stepper.step(np.array([0]))
    p = np.exp(logits[0].astype(np.float64))
    texts = sampler.generate("a", 1, num_return_sequences=2000, seed=0, include_prompt=False)
    found = np.array([texts.count(token) for token in "abcd"])
    np.testing.assert_array_less(np.abs(found - 2000 * p), 5 * np.sqrt(2000 * p * (1 - p)) + 1e-9)


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
@pytest.mark.parametrize("temperature", [0, 1, 5])
def test_the_unknown_token_is_never_written(smoothing, temperature):
    """It stands for many words, and is none; it is not written where it is the only choice."""
    text = "the cat the dog the owl " * 5
    sampler = counting(text, level="word", order=2, smoothing=smoothing, max_size=1)
    assert sampler.vocab.itos == ["the", "<unk>"]
    found = sampler.generate("the owl", 20, temperature=temperature, seed=0, include_prompt=False)
    assert found == " the" * 20


# Stop strings


def cut(text, stops):
    """Cut a text off where the first of the stop strings to be complete begins."""
    for end in range(1, len(text) + 1):
        if begins := [end - len(stop) for stop in stops if text[:end].endswith(stop)]:
            return text[: min(begins)]
    return text


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.text("eno\nt r", min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from(["", "one\n", "two hundred"]),
    st.integers(0, 9),
)
def test_stop_strings_cut_the_text_off(numbers, stops, prompt, seed):
    """The text is the free text up to the first stop string, which is left out."""
    free = numbers.generate(prompt, 40, seed=seed, include_prompt=False)
    found = numbers.generate(prompt, 40, seed=seed, include_prompt=False, stop_strings=stops)
    assert found == cut(free, stops)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 12)), min_size=1, max_size=4),
    st.integers(0, 9),
)
def test_stop_strings_that_occur_cut_the_text_off(numbers, places, seed):
    """So it is for stop strings that are taken from the text itself, in a stream as well."""
    free = numbers.generate("", 40, seed=seed)
    stops = [free[start : start + length] for start, length in places]
    assert "".join(numbers.stream("", 40, seed=seed, stop_strings=stops)) == cut(free, stops)


@pytest.fixture(scope="module")
def cycle():
    """A sampler that writes 0123456789 over and over."""
    return counting("0123456789" * 20, order=2)


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ("5", "1234"),
        ("45", "123"),
        ("1", ""),
        (["78", "56"], "1234"),
        (["345", "34"], "12"),
        (["2345", "4"], "123"),
        (["234x", "34y", "5"], "1234"),
        (["12345678", "56"], "1234"),
        ("01", "123456789"),
        ("10", "12345678901234567890"),
        ("901", "12345678"),
        ("a", "12345678901234567890"),
        (("7", "8"), "123456"),
        (iter(["7", "8"]), "123456"),
        ([], "12345678901234567890"),
    ],
    ids=str,
)
def test_stop_strings_by_example(cycle, stops, expected):
    """Several, overlapping, begun and not finished, and such that never come."""
    found = cycle.generate("0", 20, temperature=0, stop_strings=stops, include_prompt=False)
    assert found == expected


@pytest.mark.parametrize("stop", ["0", "34", "4567", "5"])
def test_a_stop_string_in_the_prompt_ends_nothing(cycle, stop):
    """Not one that lies in the prompt, and not one that begins there."""
    prompt = "0123450123456"
    text = cycle.generate(prompt, 3, temperature=0, stop_strings=stop)
    assert text == prompt + "789"


def test_what_may_become_a_stop_string_is_held_back(cycle):
    """A stream gives a piece as soon as no stop string can begin in it."""
    stream = cycle.stream("0", 8, temperature=0, stop_strings=["345", "56x"], include_prompt=False)
    assert list(stream) == ["1", "2"]
    stream = cycle.stream("0", 8, temperature=0, stop_strings=["346", "56x"], include_prompt=False)
    assert list(stream) == ["1", "2", "34", "567", "8"]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("three", "one two "),
        ("o three", "one tw"),
        (". one t", "one two three"),
        ("one", "one two three. "),
        ("ee. ", "one two thr"),
        (" three. one two three. one", "one two"),
        ("four", "one two three. one two three. one"),
    ],
)
def test_a_stop_string_may_span_words(stop, expected):
    """At level "word" a stop string is looked for in the text, not among the tokens."""
    sampler = counting("one two three. " * 9, level="word", order=2)
    assert sampler.generate("one", 8, temperature=0, stop_strings=stop) == expected
    assert "".join(sampler.stream("one", 8, temperature=0, stop_strings=stop)) == expected


# Words


@pytest.mark.parametrize("seed", range(5))
def test_words_join_with_the_prompt(words, seed):
    """Encoding the text gives the prompt's words, then as many as were asked for."""
    text = words.generate("two hundred", 6, seed=seed)
    ids = words.vocab.encode(text)
    assert words.vocab.decode(ids[:2]) == "two hundred"
    assert len(ids) == 2 + 6
    new = words.generate("two hundred", 6, seed=seed, include_prompt=False)
    assert "two hundred" + new == text


# Arguments

BAD = [
    ({"temperature": -1}, ValueError, r"`temperature` must be .*at least 0\. Received: -1"),
    ({"temperature": math.nan}, ValueError, "`temperature` must be .*Received: nan"),
    ({"temperature": math.inf}, ValueError, "`temperature` must be .*Received: inf"),
    ({"temperature": True}, TypeError, "`temperature` must be .*Received: True"),
    ({"top_k": 0}, ValueError, "`top_k` must be at least 1"),
    ({"top_k": 2.0}, TypeError, "`top_k` must be a whole number"),
    ({"top_p": 0}, ValueError, r"`top_p` must be a number in \(0, 1\]"),
    ({"top_p": 1.5}, ValueError, r"`top_p` must be a number in \(0, 1\]"),
    ({"top_p": math.nan}, ValueError, r"`top_p` must be a number in \(0, 1\]"),
    ({"min_p": -0.1}, ValueError, r"`min_p` must be a number in \[0, 1\]"),
    ({"min_p": 1.1}, ValueError, r"`min_p` must be a number in \[0, 1\]"),
    ({"repetition_penalty": 0}, ValueError, "`repetition_penalty` must be a number above 0"),
    ({"max_new_tokens": -1}, ValueError, "`max_new_tokens` must be at least 0"),
    ({"max_new_tokens": 5.0}, TypeError, "`max_new_tokens` must be a whole number"),
    ({"seed": -1}, ValueError, "`seed` must be at least 0"),
    ({"seed": 1.5}, TypeError, "`seed` must be a whole number"),
    ({"stop_strings": ""}, ValueError, "`stop_strings` must be a non-empty str"),
    ({"stop_strings": ["a", ""]}, ValueError, "`stop_strings` must be a non-empty str"),
    ({"stop_strings": [1]}, TypeError, r"`stop_strings` must be .*Received: \[1\]"),
    ({"stop_strings": 5}, TypeError, "`stop_strings` must be .*Received: 5"),
    ({"prompt": None}, TypeError, "`prompt` must be str.* Received: NoneType None"),
    ({"prompt": 5}, TypeError, "`prompt` must be str.* Received: int 5"),
    ({"prompt": b"one"}, TypeError, "`prompt` must be str.*; decode bytes first"),
    ({"prompt": {"one": 1}}, TypeError, "`prompt` must be str.* Received: dict"),
    ({"prompt": "one ß"}, UnknownTokenError, r"'ß' \(U\+00DF\) at index 4 is not in the vocabula"),
    ({"suppress_tokens": 5}, TypeError, "`suppress_tokens` must be .*Received: 5"),
    (
        {"temperture": 1},
        TypeError,
        r"\(\) has no argument 'temperture'\. Did you mean 'temperature'",
    ),
    ({"max_length": 1}, TypeError, r"'max_length'\. Did you mean 'max_new_tokens'"),
    ({"prefix": "x"}, TypeError, r"'prefix'\. Did you mean 'prompt'"),
    ({"stop": "x"}, TypeError, r"'stop'\. Did you mean 'stop_strings'"),
]


@pytest.mark.parametrize(("arguments", "error", "match"), BAD, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("method", ["generate", "stream"])
def test_bad_arguments_are_refused(numbers, method, arguments, error, match):
    """The message names the argument and no class, and a stream gives it at the call."""
    with pytest.raises(error, match=match) as caught:
        getattr(numbers, method)(**arguments)
    assert "Mixin" not in str(caught.value)


@pytest.mark.parametrize("name", ["n", "num_samples", "return_as_list"])
def test_how_others_ask_for_many_texts(numbers, name):
    """The argument that is meant is named, though it is spelt quite differently."""
    match = rf"^generate\(\) has no argument '{name}'\. Did you mean 'num_return_sequences'"
    with pytest.raises(TypeError, match=match):
        numbers.generate(**{name: 3})


@pytest.mark.parametrize(("number", "error"), [(0, ValueError), (2.0, TypeError)])
def test_a_number_of_texts_is_at_least_one(numbers, number, error):
    """``num_return_sequences`` is a whole number from 1."""
    with pytest.raises(error, match="`num_return_sequences` must be"):
        numbers.generate(num_return_sequences=number)


@pytest.mark.parametrize("seed", [0, 2**64, 10**40, np.int64(3)], ids=str)
def test_a_seed_may_be_any_whole_number_from_0(numbers, seed):
    """Large ones and NumPy's are fine, and a NumPy integer is the number it is."""
    text = numbers.generate(max_new_tokens=30, seed=seed)
    assert text == numbers.generate(max_new_tokens=30, seed=int(seed))
