"""Text in and out with tokenizers that are no ``Vocab``: the contract is all that is used."""

import numpy as np
import pytest

from textrnn.errors import CorruptModelError, UnknownTokenError, UnsupportedFormatError
from textrnn.files import model_file
from textrnn.generation.loading import load_sampler, tokenizer_header
from textrnn.generation.sampler import Sampler
from textrnn.generator import TextGenerator
from textrnn.models import NGramModel
from textrnn.models.arrays import state_arrays

TEXT = "the café, the cat; the hat and\n" * 20


def counting(tokenizer, order):
    """Return a model that has counted ``TEXT``, and its sampler."""
    model = NGramModel(len(tokenizer), order=order, smoothing="witten_bell")
    model.count(tokenizer.encode(TEXT))
    return model, Sampler(tokenizer, model.stepper)


@pytest.fixture(params=["pairs", "nibbles"])
def tokenizer(request):
    """Each custom tokenizer in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def sampler(tokenizer):
    """A sampler that has counted ``TEXT``."""
    return counting(tokenizer, 12)[1]


@pytest.mark.slow
@pytest.mark.parametrize("stops", [None, "\n", ["at;", "é,"], "no such text"])
@pytest.mark.parametrize("seed", range(3))
def test_the_pieces_of_a_stream_are_the_text(sampler, stops, seed):
    """Stop strings are looked for in the text, whatever tokens it is made of."""
    how = {"max_new_tokens": 60, "seed": seed, "stop_strings": stops}
    pieces = list(sampler.stream("the ", **how))
    assert "".join(pieces) == sampler.generate("the ", **how)
    assert all(pieces)
    free = sampler.generate("the ", 60, seed=seed, include_prompt=False)
    found = sampler.generate("the ", include_prompt=False, **how)
    stops = [stops] if isinstance(stops, str) else stops or []
    cuts = [free.index(stop) for stop in stops if stop in free]
    assert found == free[: min(cuts, default=len(free))]


def test_what_is_not_yet_a_character_is_held_back(nibbles):
    """No piece of a stream has half a character, but an end in the middle of one is shown."""
    _, sampler = counting(nibbles, 12)
    pieces = list(sampler.stream("the ca", 12, temperature=0, suppress_tokens=["7"]))
    assert pieces[:3] == ["the ca", "f", "é"]
    how = {"max_new_tokens": 3, "temperature": 0, "include_prompt": False}
    assert sampler.generate("the caf", **how) == "\ufffd"
    assert sampler.generate("the caf", stop_strings="\ufffd", **how) == ""
    assert sampler.generate("the caf", stop_strings="\ufffd!", **how) == "\ufffd"


def test_many_prompts_and_states(sampler):
    """Each text is the one that is generated alone, and one that continues a state the same."""
    prompts = ["the ", "", "the café"]
    texts = sampler.generate(prompts, 20, seed=4)
    assert texts == [sampler.generate(prompt, 20, seed=4) for prompt in prompts]
    state = sampler.state("the ")
    whole = sampler.generate("the café", 20, seed=4)
    assert "the " + sampler.generate("café", 20, seed=4, state=state) == whole


def test_tokens_are_suppressed_by_their_text(pairs):
    """A list has tokens as ``token_text`` shows them; of a text all tokens are meant."""
    _, sampler = counting(pairs, 2)
    for suppressed in (["e ", "th"], "the "):
        text = sampler.generate("the ", 100, seed=0, suppress_tokens=suppressed)[4:]
        cut = {text[i : i + 2] for i in range(0, len(text), 2)}
        assert not cut & ({"e ", "th"} if isinstance(suppressed, list) else {"th", "e "})
    with pytest.raises(UnknownTokenError, match=r"`suppress_tokens` must hold tokens .*'the'"):
        sampler.generate("the ", 5, suppress_tokens=["the"])


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[1]], TypeError, r"`tokenizer\.encode\(text\)` must be a flat .*shape \(1, 1\)"),
        ([0.5], TypeError, r"`tokenizer\.encode\(text\)` must be a flat .*float64"),
        ([16], UnknownTokenError, "must hold ids from 0 to 15.* id 16 at index 0"),
    ],
)
def test_ids_that_no_model_can_read_are_refused(nibbles, monkeypatch, ids, error, message):
    """A tokenizer that breaks the contract is answered before anything is stepped."""
    _, sampler = counting(nibbles, 2)
    monkeypatch.setattr(type(nibbles), "encode", lambda self, text, *, unknown=None: ids)
    with pytest.raises(error, match=message):
        sampler.generate("the ")


def test_a_file_with_a_custom_tokenizer(tokenizer, tmp_path):
    """It is read with the class; without it the message names the class and the argument."""
    model, sampler = counting(tokenizer, 3)
    header = {"kind": "ngram", "model": model.config, **tokenizer_header(tokenizer)}
    model_file.save(tmp_path / "m", header, state_arrays(model))
    loaded = load_sampler(tmp_path / "m", tokenizer_class=type(tokenizer))
    assert loaded.generate("the ", 30, seed=0) == sampler.generate("the ", 30, seed=0)
    name = type(tokenizer).__name__
    message = f"custom tokenizer class, '{name}'; pass it as `tokenizer_class`"
    with pytest.raises(UnsupportedFormatError, match=message):
        load_sampler(tmp_path / "m")


@pytest.mark.slow
def test_a_generator_with_a_custom_tokenizer(tokenizer, tmp_path):
    """It learns, measures, shows, saves and loads as one with a ``Vocab`` does."""
    gen = TextGenerator("gru", vocab=tokenizer, hidden_size=8, seed=0)
    gen.fit(TEXT * 5, epochs=1, verbose=0)
    assert gen.vocab is tokenizer
    assert gen.model.vocab_size == len(tokenizer)
    assert "".join(gen.stream("the ", 30, seed=1)) == gen.generate("the ", 30, seed=1)
    nats = gen.surprisals("the cat")
    assert [shown for shown, _ in nats] == [*map(tokenizer.token_text, tokenizer.encode("the cat"))]
    found, tokens_per_char = gen.evaluate("the cat"), len(nats) / len("the cat")
    assert found["bits_per_char"] == pytest.approx(found["loss"] / np.log(2) * tokens_per_char)
    gen.save(tmp_path / "m")
    loaded = TextGenerator.load(tmp_path / "m", tokenizer_class=type(tokenizer))
    assert loaded.generate("the ", 30, seed=1) == gen.generate("the ", 30, seed=1)
    loaded.fit(TEXT * 5, epochs=1, verbose=0)
    with pytest.raises(UnsupportedFormatError, match="pass it as `tokenizer_class`"):
        TextGenerator.load(tmp_path / "m")


@pytest.mark.usefixtures("line_level")
def test_a_new_level_goes_all_the_way(tmp_path):
    """From ``fit`` to a file and on, a level is known by its line in the table alone."""
    gen = TextGenerator("ngram", level="line", order=2)
    gen.fit("one\ntwo\n" * 50 + "three\n", verbose=0, validation_split=0)
    assert gen.vocab.itos == ["one\n", "two\n", "<unk>"]
    gen.save(tmp_path / "m")
    for loaded in (load_sampler(tmp_path / "m"), TextGenerator.load(tmp_path / "m")):
        assert loaded.vocab.level == "line"
        assert loaded.generate("one\n", 3, temperature=0) == "one\ntwo\none\ntwo\n"
        only = loaded.generate("one\n", 2, allowed_tokens="two\n", include_prompt=False)
        assert only == "two\ntwo\n"
    loaded.fit("two\nfour\n" * 50, verbose=0, validation_split=0)
    assert loaded.vocab.itos == ["one\n", "two\n", "four\n", "<unk>"]


def test_what_is_no_tokenizer_is_refused():
    """At the constructor, with the class that is."""
    with pytest.raises(TypeError, match=r"`vocab` must be a Tokenizer, such as Vocab.*: 'abc'"):
        TextGenerator(vocab="abc")


def test_a_tokenizer_class_that_does_not_fit_a_file(pairs, nibbles, tmp_path):
    """A file of another class is refused like any header that contradicts itself."""
    model, _ = counting(nibbles, 2)
    header = {"kind": "ngram", "model": model.config, **tokenizer_header(nibbles)}
    model_file.save(tmp_path / "m", header, state_arrays(model))
    with pytest.raises(CorruptModelError, match=r"does not describe a model .*'alphabet'"):
        load_sampler(tmp_path / "m", tokenizer_class=type(pairs))


def test_a_sampler_names_what_it_holds(vocab):
    """Its ``repr`` is one short line."""
    model = NGramModel(len(vocab), order=2)
    sampler = Sampler(vocab, model.stepper, {"kind": "ngram"})
    assert repr(sampler) == f"Sampler(ngram, {vocab!r}, NumPy)"
    assert repr(sampler.state("one")) == "TextState(3 tokens)"
