"""The facade from end to end: text in, text out."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.generator.helpers import FIT, NEURAL, SEED, make, same, trained, weights
from textrnn import TextGenerator, Vocab
from textrnn.callbacks import BackupAndRestore
from textrnn.datasets import load_human_numbers
from textrnn.errors import (
    NonFiniteError,
)
from textrnn.models import NGramModel
from textrnn.training.defaults import EPOCHS

# Three lines


@pytest.mark.slow
def test_three_lines(family, text):
    """Every family learns from a text better than chance, and writes text with its characters."""
    gen = make(family)
    history = gen.fit(text, **{**FIT, "epochs": 10})
    written = gen.generate("one", 30, seed=1)
    assert history is gen.history
    assert history.history["val_loss"][-1] < math.log(len(gen.vocab))
    assert len(written) == 33
    assert written.startswith("one")
    assert set(written) <= set(text)


def test_nothing_happens_in_the_constructor():
    """There is no model, no vocabulary and no history before ``fit``."""
    gen = TextGenerator()
    assert (gen.model, gen.vocab, len(gen.history), gen.learning_rate) == (None, None, 0, None)


def test_what_was_left_open_is_chosen(text):
    """Sizes that were given are used, the others are chosen; without a length it is ten epochs."""
    gen = TextGenerator("rnn", hidden_size=8, device="cpu")
    history = gen.fit(text, verbose=0)
    assert gen.model.config["hidden_size"] == 8
    assert gen.model.config["dropout"] > 0
    assert len(history) == EPOCHS == 10
    assert set(history.history) == {
        *("loss", "bits_per_char", "perplexity"),
        *("val_loss", "val_bits_per_char", "val_perplexity", "val_accuracy"),
        *("gradient_norm", "learning_rate", "seconds"),
    }


@pytest.mark.slow
def test_what_was_chosen_is_kept_in_the_history(text):
    """With a time the machine's speed too, from which the sizes follow."""
    gen = TextGenerator("rnn", hidden_size=8, seed=3, device="cpu")
    gen.compile(precision="float32")
    params = gen.fit(text, minutes=0.001, seq_len=20, verbose=0).params
    assert params.pop("speed") > 0
    rate = gen.learning_rate
    wish = {"epochs": None, "minutes": 0.001, "seed": 3, "seq_len": 20, "learning_rate": rate}
    assert params == {**wish, "batch_size": 16, "precision": "float32"}
    assert gen.fit(text, epochs=np.int64(2), verbose=0).params["speed"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "model_args"),
    [
        ("ngram", {"order": np.int64(2)}),
        ("window_mlp", {"window": np.int32(2), "hidden_size": np.int64(4)}),
        ("window_rnn", {"window": np.uint8(2), "dropout": np.float32(0.25)}),
        ("rnn", {"nonlinearity": np.str_("relu"), "hidden_size": torch.tensor(4)}),
        ("gru", {"num_layers": np.int64(2), "weight_drop": np.float32(0.25)}),
        ("lstm", {"tie_weights": np.True_, "dropout": Fraction(1, 4)}),
    ],
)
def test_numbers_of_a_sweep_are_stored_as_plain_ones(tmp_path, text, family, model_args):
    """What NumPy's or torch's numbers trained can be saved, and reads as if they were Python's."""
    gen = TextGenerator(family, seed=np.int64(3), device="cpu", **model_args)
    sizes = {"batch_size": np.int64(4), "seq_len": np.uint8(9), "initial_epoch": np.int64(1)}
    settings = {"stateful": np.True_, "callbacks": [BackupAndRestore(tmp_path / "b", 2)]}
    history = gen.fit(text, epochs=np.int64(2), verbose=0, **sizes, **settings)
    gen.save(tmp_path / "m")
    assert TextGenerator.load(tmp_path / "m").model.config == gen.model.config
    values = [*gen.model.config.values(), *history.params.values(), *history.epoch]
    assert {type(value) for value in values} <= {int, float, str, bool, type(None)}
    assert history.params.items() >= {"epochs": 2, "seed": 3, "batch_size": 4, "seq_len": 9}.items()


@pytest.mark.slow
@pytest.mark.parametrize("family", NEURAL)
def test_the_seed_makes_fit_repeatable(family, text):
    """One seed gives bit-equal weights and the same losses, another seed gives others."""
    gens = [make(family, seed=seed, dropout=0.2) for seed in (1, 1, 2)]
    losses = [gen.fit(text, **FIT).history["val_loss"] for gen in gens]
    assert same(weights(gens[0]), weights(gens[1]))
    assert losses[0] == losses[1] != losses[2]


def test_global_random_numbers_are_left_alone(text):
    """Building, fitting and generating draw nothing from torch's or NumPy's global generator."""
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    gen = make("lstm", dropout=0.2, seed=None)
    gen.fit(text, **FIT)
    gen.generate("one", 10)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_dropout_is_off_outside_training(fitted, text):
    """After ``fit`` a model with dropout evaluates and generates the same twice."""
    assert fitted.evaluate(text) == fitted.evaluate(text)
    assert fitted.generate("one", 40, **SEED) == fitted.generate("one", 40, **SEED)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ngram", "lstm"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda gen: pickle.loads(pickle.dumps(gen))])
def test_a_fitted_generator_can_be_copied(family, text, copied):
    """A copy, by ``copy`` or by ``pickle``, writes the same and learns the same from there."""
    gen = trained(family, **({} if family == "ngram" else {"dropout": 0.2}))
    other = copied(gen)
    assert other.generate("one", 20, **SEED) == gen.generate("one", 20, **SEED)
    for one in (gen, other):
        one.fit(text, **FIT)
    assert same(weights(gen), weights(other))


# Validation


@pytest.mark.slow
@pytest.mark.parametrize("split", [0.1, 0.25])
def test_validation_is_the_end_of_the_text(family, text, split):
    """The last val_loss is what ``evaluate`` says about the end of the text."""
    gen = make(family)
    history = gen.fit(text, validation_split=split, **FIT).history
    for name, value in gen.evaluate(text[int(len(text) * (1 - split)) :]).items():
        np.testing.assert_allclose(history[f"val_{name}"][-1], value, rtol=1e-12)


def test_validation_data_leaves_the_whole_text_for_training(text):
    """With ``validation_data`` all of the text is learned, and val_loss is about the data."""
    gen, twin = make("ngram"), NGramModel(len(set(text)), order=3)
    history = gen.fit(text, validation_data=["one", "two"], verbose=0).history
    twin.count(gen.vocab.encode(text))
    assert same(gen.model.state_dict(), twin.state_dict())
    assert history["val_loss"] == [gen.evaluate("one\ntwo")["loss"]]


def test_no_validation(family, text):
    """With ``validation_split=0`` there are no val_ quantities, and all of the text is learned."""
    history = make(family).fit(text, validation_split=0, **FIT).history
    assert "seconds" in history
    assert not [name for name in history if name.startswith("val_")]


# Words


@pytest.mark.parametrize("split", [0.1, 0.13, 0.2, 0.37, 0.5])
def test_the_cut_may_fall_into_a_word(split):
    """A text whose words all recur can be cut anywhere for validation."""
    gen = make("ngram", level="word")
    history = gen.fit(load_human_numbers(1, 500), validation_split=split, verbose=0)
    assert math.isfinite(history.history["val_loss"][0])
    assert gen.vocab.unk_id is None


def test_validation_data_at_word_level():
    """The last word of the text and the first one of the validation text stay two words."""
    gen = make("ngram", level="word")
    gen.fit("one two three " * 20 + "four", validation_data="five four five", verbose=0)
    assert {"one", "two", "three", "four", "five"} <= set(gen.vocab.itos)


def test_rare_words_are_one_symbol():
    """A word that occurs once is unknown and never written, and new words are no error."""
    gen = make("ngram", level="word")
    gen.fit("to be or not to be is the question or not " * 20 + "whether\n", verbose=0)
    assert "whether" not in gen.vocab
    assert gen.vocab.unk_id is not None
    assert math.isfinite(gen.evaluate("to be or nobler")["loss"])
    assert "<unk>" not in gen.generate("to be", 300, temperature=5.0, **SEED)


@pytest.mark.parametrize("level", ["char", "word"])
def test_bits_per_char_counts_characters(level):
    """Bits per character are the loss in bits over the characters, at every level."""
    text = load_human_numbers(1, 500)
    gen = make("ngram", level=level)
    gen.fit(text, validation_split=0, verbose=0)
    result = gen.evaluate(text)
    tokens = len(gen.vocab.encode(text))
    bits = result["loss"] * tokens / math.log(2)
    np.testing.assert_allclose(result["bits_per_char"], bits / len(text), rtol=1e-12)
    np.testing.assert_allclose(result["perplexity"], math.exp(result["loss"]), rtol=1e-12)


def test_validation_counts_its_own_characters():
    """val_bits_per_char goes by the characters of the validation text, as ``evaluate`` does."""
    valid = "twenty seventeen twenty eighteen twenty\n"
    gen = make("ngram", level="word")
    history = gen.fit("a b c d\ntwenty seventeen eighteen\n" * 30, validation_data=valid, verbose=0)
    value = gen.evaluate(valid)["bits_per_char"]
    np.testing.assert_allclose(history.history["val_bits_per_char"], [value], rtol=1e-12)


# Odd ends


def test_a_text_of_one_character(family):
    """A text with a single token is learned, evaluated and written."""
    gen = make(family)
    history = gen.fit("a" * 600, **FIT).history
    assert history["val_loss"][-1] == 0
    perfect = {"loss": 0, "bits_per_char": 0, "perplexity": 1, "accuracy": 1}
    assert gen.evaluate("aaa") == perfect
    assert gen.generate("a", 5) == "aaaaaa"


@pytest.mark.slow
def test_a_tiny_time_still_trains(text):
    """A budget that is over before training begins gives one batch, not an error."""
    gen = make()
    history = gen.fit(text, **{**FIT, "epochs": None, "minutes": 1e-9})
    assert history.epoch == [0]
    assert math.isfinite(history.history["val_loss"][0])


def test_training_that_explodes_keeps_finite_weights(text):
    """NonFiniteError comes through, and what was learned before it can still be used."""
    gen = make("rnn", nonlinearity="relu")
    gen.compile(optimizer="sgd", learning_rate=1e8, schedule="constant")
    with (
        pytest.warns(UserWarning, match="the step was refused"),
        pytest.raises(NonFiniteError, match="Lower the learning rate or clip_norm"),
    ):
        gen.fit(text, **{**FIT, "epochs": 9})
    assert all(tensor.isfinite().all() for tensor in weights(gen).values())


def test_documents_have_a_boundary_between_them():
    """The vocabulary of a list of documents has their tokens and a boundary, no line break."""
    gen = make("ngram")
    gen.fit(["one two", "three four"], verbose=0)
    assert gen.vocab == Vocab.from_text(["one two", "three four"])
    assert "\n" not in gen.vocab
    assert gen.vocab.eot_id == len(gen.vocab) - 1
