"""Many texts at once, states as values, and what is never written."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.errors import UnknownTokenError
from textrnn.generation.sampler import Sampler
from textrnn.generation.sampling import SamplingParams, TokenHistory
from textrnn.generation.sequence import TextState
from textrnn.generation.steppers import STEPPERS, Stepper
from textrnn.models import LSTMModel, NGramModel
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import make_stepper
from textrnn.models.torch_steppers import DeviceStepper, ModuleStepper
from textrnn.text.vocab import Vocab

PROMPTS = ["one", "", "ninety nine\n", "two hundred six", "one"]


@pytest.fixture
def sampler(model, kind, vocab):
    """A sampler of each small model in turn; the recurrent ones are not trained."""
    return Sampler(vocab, STEPPERS[kind](model.config, state_arrays(model)))


@pytest.fixture(scope="module")
def lstm():
    """An LSTM of two layers, as wide as those that are used, and not trained."""
    torch.manual_seed(0)
    vocab = Vocab("abcdefgh \n")
    return Sampler(vocab, make_stepper(LSTMModel(len(vocab), hidden_size=256, num_layers=2)))


# Many texts at once


def test_prompts_of_different_lengths_are_the_texts_one_by_one(sampler):
    """Text i of each prompt is, with a seed, the one that is written alone."""
    how = {"seed": 2, "stop_strings": ["ee", "x"], "temperature": 1.5}
    texts = sampler.generate(PROMPTS, 25, num_return_sequences=3, **how)
    assert len(texts) == 15
    for n, prompt in enumerate(PROMPTS):
        alone = sampler.generate(prompt, 25, num_return_sequences=3, **how)
        assert texts[3 * n : 3 * n + 3] == alone
        assert sampler.generate(prompt, 25, **how) == alone[0]


@pytest.mark.slow
def test_a_wide_model_writes_the_same_alone_and_among_many(lstm):
    """Where products of matrices round otherwise than those with vectors; more than one lot."""
    texts = lstm.generate("abc", 30, num_return_sequences=70, seed=1)
    assert len(set(texts)) > 60
    assert lstm.generate("abc", 30, seed=1) == texts[0]
    assert lstm.generate("abc", 30, num_return_sequences=66, seed=1) == texts[:66]
    prompts = ["abc" * n for n in range(1, 5)]
    greedy = lstm.generate(prompts, 40, temperature=0)
    assert greedy == [lstm.generate(prompt, 40, temperature=0) for prompt in prompts]


@pytest.mark.slow
def test_without_a_seed_many_texts_follow_the_same_probabilities(lstm):
    """The first tokens of 6,400 texts written batched, by chi-square against the model's."""
    p = SamplingParams().probabilities(lstm.state("abc").logits[0])
    texts = lstm.generate("abc", 1, num_return_sequences=6400, include_prompt=False)
    counts = np.bincount(lstm.vocab.encode("".join(texts)), minlength=len(p))
    chi_square = float(((counts - 6400 * p) ** 2 / (6400 * p)).sum())
    assert chi_square < 39.3  # once in 100,000 times with 9 degrees of freedom


NEARLY_GREEDY = {"temperature": 1e-9, "stop_strings": "b"}
"""What every text is as good as certain with, and some end before the others."""


@pytest.mark.slow
def test_texts_that_are_written_on_a_device(lstm):
    """Prompts read by NumPy, texts written there (here by torch on the CPU), some to the end."""
    numpy_stepper = getattr(lstm.stepper, "reference", lstm.stepper)
    sampler = Sampler(lstm.vocab, DeviceStepper(numpy_stepper, torch.device("cpu")))
    prompts = ["abcdefgh"[n % 8 :] * (1 + n // 8) for n in range(72)]
    texts = sampler.generate(prompts, 30, **NEARLY_GREEDY)
    assert texts == lstm.generate(prompts, 30, **NEARLY_GREEDY)
    lengths = [len(text) - len(prompt) for text, prompt in zip(texts, prompts, strict=True)]
    assert min(lengths) < 30 == max(lengths)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_texts_that_are_written_on_a_gpu(lstm):
    """A model that lies on CUDA writes many texts there, and few as anywhere."""
    torch.manual_seed(0)
    model = LSTMModel(len(lstm.vocab), hidden_size=256, num_layers=2).to("cuda")
    sampler = Sampler(lstm.vocab, make_stepper(model))
    prompts = ["abcdefgh"[n % 8 :] * (1 + n // 8) for n in range(72)]
    texts = sampler.generate(prompts, 30, **NEARLY_GREEDY)
    assert texts == lstm.generate(prompts, 30, **NEARLY_GREEDY)
    assert sampler.generate("abc", 30, seed=1) == lstm.generate("abc", 30, seed=1)


@pytest.mark.parametrize("several", [list, tuple, np.array, iter, dict.fromkeys, set])
def test_prompts_may_come_in_any_way(sampler, several):
    """A list, an array or a generator of prompts gives a list of texts; a dict is none."""
    prompts = several(["one", "two"])
    if isinstance(prompts, dict):
        with pytest.raises(TypeError, match=r"`prompt` must be str, or several .* dict"):
            sampler.generate(prompts, 5)
    else:
        texts = sampler.generate(prompts, 5, seed=0)
        assert sorted(texts) == sorted(sampler.generate(["one", "two"], 5, seed=0))


def test_a_list_of_prompts_gives_a_list(sampler):
    """Of one, of none; with and without the prompts."""
    assert sampler.generate([], 5) == []
    (text,) = sampler.generate(["one"], 5, seed=0)
    assert text == sampler.generate("one", 5, seed=0)
    (rest,) = sampler.generate(("one",), 5, seed=0, include_prompt=False)
    assert text == "one" + rest


def test_a_custom_model_writes_many_too(vocab):
    """Its state is its own business, so its texts are generated one after the other."""
    torch.manual_seed(0)
    sampler = Sampler(vocab, ModuleStepper(LSTMModel(len(vocab), hidden_size=8)))
    texts = sampler.generate(["one", "two "], 10, num_return_sequences=2, seed=3)
    assert texts[2:] == sampler.generate("two ", 10, num_return_sequences=2, seed=3)


@pytest.mark.parametrize("prompts", [["one", None], [b"one"], [["one"]]])
def test_a_list_of_anything_else_is_refused(sampler, prompts):
    """The message says which of them it is."""
    with pytest.raises(TypeError, match=r"`prompt\[[01]\]` must be str"):
        sampler.generate(prompts, 3)


# States


def test_a_text_goes_on_from_a_state(sampler):
    """What follows is, to the last bit, what follows the whole text."""
    state = sampler.state("one hun")
    whole, parts = sampler.state("one hundred"), sampler.state("dred", state=state)
    assert whole.ids == parts.ids
    np.testing.assert_array_equal(whole.logits, parts.logits)
    expected = sampler.generate("one hundred", 30, seed=5, include_prompt=False)
    for again in range(2):  # a state can be used any number of times
        assert sampler.generate("dred", 30, seed=5, state=state) == "dred" + expected, again
    assert sampler.generate(state=whole, max_new_tokens=30, seed=5) == expected
    assert "".join(sampler.stream(state=whole, max_new_tokens=30, seed=5)) == expected


def test_prompts_after_a_state(sampler):
    """Each continues it, the empty one too."""
    state = sampler.state("one hun")
    texts = sampler.generate(["dred", "", "d"], 20, seed=1, state=state)
    assert texts == [
        sampler.generate(prompt, 20, seed=1, state=state) for prompt in ("dred", "", "d")
    ]
    assert texts[1] == sampler.generate("one hun", 20, seed=1)[len("one hun") :]


def test_the_past_counts_for_the_penalties(sampler):
    """What was read before the state was said before."""
    how = {"max_new_tokens": 20, "temperature": 0, "repetition_penalty": 1.7}
    state = sampler.state("one two three ")
    assert "one two three " + sampler.generate(state=state, **how) == sampler.generate(
        "one two three ", **how
    )


def test_words_join_with_what_a_state_has_read():
    """A word that continues a word begins with a space."""
    vocab = Vocab.from_text("a b c a b c", "word")
    model = NGramModel(len(vocab), order=2)
    model.count(vocab.encode("a b c a b c"))
    sampler = Sampler(vocab, model.stepper)
    assert sampler.generate(state=sampler.state("a"), max_new_tokens=2, temperature=0) == " b c"


def test_a_state_of_another_model_is_refused(sampler, vocab):
    """By what differs, before anything is stepped."""
    v, own = len(vocab), sampler.state("one")
    parts = own.state
    for ids, logits, state, message in [
        (own.ids, own.logits[:, 1:], parts, rf"another vocabulary.*Received: \(1, {v - 1}\)"),
        (own.ids, own.logits[0], parts, rf"another vocabulary.*Received: \({v},\)"),
        ((1, v), own.logits, parts, rf"`state\.ids` must hold ids .* id {v} at index 1"),
        (own.ids, own.logits, (*parts, parts[0]), "comes from another model"),
        (own.ids, own.logits, parts[:-1], "comes from another model"),
        (own.ids, own.logits, tuple(part[:, None] for part in parts), "comes from another model"),
        (own.ids, own.logits, parts[0], "comes from another model.*Received: ndarray"),
    ]:
        foreign = TextState(ids, logits, state)
        for method in (sampler.generate, sampler.stream, sampler.state):
            with pytest.raises(ValueError, match=message):
                method("two", state=foreign)
    with pytest.raises(TypeError, match=r"`state` must be what state\(\) returned.* \(1, 2\)"):
        sampler.generate("two", state=(1, 2))


def test_a_state_of_another_custom_model_is_refused(vocab):
    """What the model itself cannot take is refused with its reason."""
    small, large = (
        Sampler(vocab, ModuleStepper(LSTMModel(len(vocab), hidden_size=n))) for n in (3, 4)
    )
    with pytest.raises(ValueError, match=r"`state` comes from another model.* raises RuntimeError"):
        small.generate("one", 3, state=large.state("one"))


def test_a_stream_keeps_the_weights_that_it_began_with(model, vocab, ids):
    """A model that is trained on in between changes nothing in a text that has begun."""
    expected = Sampler(vocab, make_stepper(model)).generate("one", 30, seed=1)
    stream = Sampler(vocab, make_stepper(model)).stream("one", 30, seed=1)
    text = "".join(next(stream) for _ in range(5))
    if isinstance(model, NGramModel):
        model.count(np.random.default_rng(0).integers(len(vocab), size=20_000))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= -8.0
    assert text + "".join(stream) == expected
    assert Sampler(vocab, make_stepper(model)).generate("one", 30, seed=1) != expected


# What is never written


def test_suppressed_tokens_are_never_written(sampler):
    """However likely they are, and only they."""
    text = sampler.generate("one", 300, seed=0, temperature=2, suppress_tokens="e\n")
    assert not set(text[3:]) & set("e\n")
    assert len(set(text[3:])) > 3


def test_only_allowed_tokens_are_written(sampler):
    """Less those that are suppressed."""
    how = {"seed": 0, "allowed_tokens": ["o", "n", "e"], "include_prompt": False}
    assert set(sampler.generate("two", 200, temperature=9, **how)) == set("one")
    assert set(sampler.generate("two", 200, suppress_tokens="oe", **how)) == {"n"}
    assert set(sampler.generate("two", 20, temperature=0, suppress_tokens="oe", **how)) == {"n"}


@pytest.mark.parametrize(
    ("masks", "error", "match"),
    [
        ({"suppress_tokens": "eß"}, UnknownTokenError, r"`suppress_tokens`: 'ß' \(U\+00DF\) at"),
        ({"suppress_tokens": ["e", "ß"]}, UnknownTokenError, "`suppress_tokens` .*ed: 'ß'"),
        ({"allowed_tokens": ["one"]}, UnknownTokenError, "`allowed_tokens` .* Received: 'one'"),
        ({"allowed_tokens": ""}, ValueError, "must leave a token"),
        ({"allowed_tokens": "e", "suppress_tokens": "e"}, ValueError, "must leave a token"),
    ],
)
def test_masks_that_cannot_be_meant(sampler, masks, error, match):
    """The message names the argument, or says that nothing is left."""
    with pytest.raises(error, match=match):
        sampler.generate("one", 3, **masks)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_no_run_is_repeated(sampler, size):
    """No n tokens stand twice in the text, its prompt included."""
    text = sampler.generate("one two ", 40, seed=0, no_repeat_ngram_size=size)
    runs = [text[i : i + size] for i in range(len(text) - size + 1)]
    assert len(set(runs)) == len(runs)


@settings(deadline=None)
@given(
    ids=st.lists(st.integers(0, 4), max_size=30),
    size=st.none() | st.integers(1, 5),
    penalty=st.sampled_from([1.0, 2.0]),
)
def test_the_past_equals_its_definition(ids, size, penalty):
    """A token is ruled out if it would end a run of n tokens that is there already."""
    logits = np.array([1.0, -1.0, 2.0, 0.0, 0.5])
    expected = logits.copy()
    for token in set(ids):
        expected[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    for token in range(5):
        longer = [*ids, token]
        runs = [longer[i : i + size] for i in range(len(longer) - size + 1)] if size else []
        if runs and runs[-1] in runs[:-1]:
            expected[token] = -np.inf
    found = TokenHistory(SamplingParams(no_repeat_ngram_size=size, repetition_penalty=penalty), ids)
    found.penalise(logits)
    np.testing.assert_array_equal(logits, expected)


class Telling(Stepper):
    """Says "a" after tokens that were stepped each by itself, "b" after those stepped together."""

    def __init__(self):
        super().__init__({}, {})

    @classmethod
    def layout(cls, config):
        """Say that there are no tensors."""
        return iter(())

    def _prepare(self, config, tensors):
        pass

    def step(self, ids, state=None, *, batched=False):
        """Return the logits; the state is the tokens."""
        logits = np.full((len(ids), 2), -100.0, dtype=np.float32)
        logits[:, int(batched)] = 100.0
        return logits, (np.asarray(ids)[:, None],)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({}, "bbb"),
        ({"top_p": 0.5}, "bbb"),
        ({"seed": 0}, "aaa"),
        ({"temperature": 0}, "aaa"),
        ({"top_k": 1}, "aaa"),
    ],
)
def test_products_are_shared_only_where_nobody_can_tell(how, text):
    """A text that could be asked for again is computed by itself, whatever stands beside it."""
    sampler = Sampler(Vocab("ab"), Telling())
    assert sampler.generate(["a", "bb"], 3, include_prompt=False, **how) == [text, text]
