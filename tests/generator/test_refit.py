"""A second fit, new tokens, and what stays between two fits."""

import numpy as np
import pytest
import torch

from tests.generator.helpers import FIT, NEURAL, Optimisers, make, same, trained, weights
from textrnn import TextGenerator, Vocab, load_sampler
from textrnn.errors import (
    UnknownTokenError,
)
from textrnn.models import NGramModel
from textrnn.models.registry import MODELS

# A second fit


@pytest.mark.slow
@pytest.mark.parametrize("family", NEURAL)
def test_a_second_fit_goes_on(family, text):
    """It begins with the weights that are there, and keeps the vocabulary."""
    gen = trained(family)
    first = gen.history
    vocab = gen.vocab
    second = gen.fit(text, **{**FIT, "epochs": 4}, initial_epoch=2)
    assert gen.vocab is vocab
    assert second.epoch == [2, 3]
    assert second.history["loss"][0] < first.history["loss"][-1]
    assert gen.history is second


def test_a_second_fit_of_a_counting_model_adds_counts(text):
    """An n-gram model that counts two texts knows both."""
    gen, twin = make("ngram"), NGramModel(len(set(text)), order=3)
    for part in (text, "one\ntwo\nthree"):
        gen.fit(part, validation_split=0, verbose=0)
        twin.count(gen.vocab.encode(part))
    assert same(gen.model.state_dict(), twin.state_dict())


# New tokens


def test_a_second_fit_learns_new_symbols(fitted, text):
    """Known tokens keep their ids, new ones come after them and are learned."""
    old = list(fitted.vocab.itos)
    fitted.fit("é" + text.replace("e", "é"), **FIT)
    assert fitted.vocab.itos == [*old, "é"]
    assert fitted.model.vocab_size == len(old) + 1
    assert fitted.generate("oné", 20, seed=0)
    assert fitted.evaluate("oné")["loss"] < 10


@pytest.mark.slow
@pytest.mark.parametrize("family", MODELS)
def test_growing_forgets_nothing(family, text):
    """With a rate of almost nothing the old text is predicted as before, with a share less."""
    gen = trained(family)
    before = gen.evaluate(text)["loss"]
    gen.compile(learning_rate=1e-9, schedule="constant")
    gen.fit("ONE TWO\nThree", epochs=1, validation_split=0, verbose=0, batch_size=1, seq_len=4)
    assert gen.evaluate(text)["loss"] == pytest.approx(before, abs=0.5)
    capital = gen.vocab.stoi["T"] if family != "ngram" else None
    if capital is not None and hasattr(gen.model, "embedding"):
        rows = gen.model.embedding.weight
        assert torch.allclose(rows[capital], rows[gen.vocab.stoi["t"]], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", MODELS)
def test_a_loaded_model_learns_new_symbols(tmp_path, family, text):
    """``load``, then ``fit`` on a text with another alphabet; saved and loaded once more."""
    gen = trained(family)
    gen.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu")
    loaded.fit(text + "один два три\n" * 30, **FIT)
    assert set("один два три") <= set(loaded.vocab.itos)
    loaded.save(tmp_path / "model")
    again = load_sampler(tmp_path / "model")
    assert again.generate("один", 20, seed=1) == loaded.generate("один", 20, seed=1)


def test_growth_keeps_the_optimiser(text):
    """The moments of what is known are those of the first fit: steps are counted on."""
    gen, made = make(), Optimisers()
    gen.compile(optimizer=made.make)
    gen.fit(text, **FIT)
    steps = [int(state["step"]) for state in made[-1].state.values()]
    gen.fit("é" + text, **{**FIT, "epochs": 1})
    assert min(int(state["step"]) for state in made[-1].state.values()) > max(steps)


def test_words_are_added_by_the_rule_of_a_first_fit():
    """Words that occur once in the new text stay unknown, others become tokens."""
    gen = make(level="word")
    gen.fit("the cat sat. the cat sat. once " * 50 + "rarely", **FIT)
    known = list(gen.vocab.itos[:-1])
    gen.fit("the Dog sat. the Dog sat. the bird " * 50 + "never", **FIT)
    assert gen.vocab.itos == [*known, "Dog", "bird", "<unk>"]


@pytest.mark.slow
def test_a_vocabulary_set_by_hand_is_used_and_does_not_grow(text):
    """It is the user's: with an unknown token it takes everything, without one it is an error."""
    gen = make()
    gen.vocab = Vocab.from_text(text, max_size=5)
    for _ in range(2):
        gen.fit(text, **FIT)
    assert len(gen.vocab) == gen.model.vocab_size == 6
    gen = make()
    gen.vocab = vocab = Vocab(["\0", *sorted(set(text))])
    gen.fit(text, **FIT)
    before = weights(gen)
    with pytest.raises(UnknownTokenError, match=r"'é' \(U\+00E9\) at index 1195"):
        gen.fit(text[:1195] + "é" + text, **{**FIT, "validation_split": 0})
    assert gen.vocab is vocab
    assert same(weights(gen), before)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"validation_split": 0.9999}, "at least 2 tokens"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"validation_data": ""}, "The text is empty"),
    ],
)
def test_a_second_fit_that_is_refused_leaves_everything(fitted, text, bad, message):
    """Vocabulary, model, weights and history stay, also if the text has new tokens."""
    before = weights(fitted), fitted.vocab, fitted.model, fitted.history
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        fitted.fit("é" + text, **{**FIT, **bad})
    assert same(weights(fitted), before[0])
    assert (fitted.vocab, fitted.model, fitted.history) == before[1:]


def test_layer_group_rates_apply_in_fine_tuning(tmp_path, fitted, text):
    """A slice gives the embedding of a loaded, grown model almost no rate, the head a high one."""
    fitted.save(tmp_path / "model")
    gen = TextGenerator.load(tmp_path / "model", device="cpu")
    gen.compile(learning_rate=[1e-12, 1e-12, 0.1])
    before = {name: p.clone() for name, p in gen.model.named_parameters()}
    gen.fit("é" + text, **FIT)
    v = len(before["embedding.weight"])
    assert torch.allclose(gen.model.embedding.weight[:v], before["embedding.weight"], atol=1e-6)
    assert not torch.allclose(gen.model.head.weight[:v], before["head.weight"], atol=1e-3)


# Going on


@pytest.mark.slow
def test_the_rate_can_be_changed_between_two_fits(text):
    """Setting ``learning_rate`` keeps the optimiser with its moments."""
    gen, made = make(), Optimisers()
    gen.compile(optimizer=made.make)
    gen.fit(text, **FIT)
    gen.learning_rate = 1e-4
    history = gen.fit(text, **FIT)
    assert len(made) == 1
    assert max(history.history["learning_rate"]) <= 1e-4


@pytest.mark.slow
def test_stateful_reaches_the_trainer(text):
    """Without state the weights take another course; the default carries it."""
    gens = [make(), make(), make()]
    for gen, arguments in zip(gens, [{}, {"stateful": True}, {"stateful": False}], strict=True):
        gen.fit(text, **FIT, **arguments)
    assert same(weights(gens[0]), weights(gens[1]))
    assert not same(weights(gens[0]), weights(gens[2]))


def test_fit_after_load_goes_on(tmp_path, fitted, text):
    """A loaded model learns on from its weights."""
    fitted.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu")
    loaded.compile(learning_rate=1e-9)
    loss = loaded.fit(text, validation_split=0, **FIT).history["loss"][-1]
    np.testing.assert_allclose(loss, fitted.evaluate(text)["loss"], atol=0.1)
