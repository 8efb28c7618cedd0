"""What ``fit`` says of a text before it trains on it."""

import random

import numpy as np
import pytest

from textrnn import TextGenerator
from textrnn.text.corpus import Corpus, read_corpus
from textrnn.text.remarks import remarks, shared

LETTERS = "abcdefghijklmnopqrstuvwxyz      \n"
FIT = {"epochs": 1, "batch_size": 8, "seq_len": 32, "verbose": 2}


def noise(length, seed=0):
    """Return letters that repeat nothing, shuffled and unsorted."""
    chance = random.Random(seed)
    return "".join(chance.choice(LETTERS) for _ in range(length))


def said(text, **arguments):
    """Return all remarks on a text as one string."""
    return "\n".join(remarks(read_corpus(text, "char", **arguments)))


def words(n, seed=0):
    """Return n different records."""
    chance = random.Random(seed)
    return ["".join(chance.choices(LETTERS[:26], k=30)) + str(i) for i in range(n)]


@pytest.mark.parametrize("text", [noise(30_000), words(1000)], ids=["text", "documents"])
def test_nothing_is_said_of_a_good_text(text):
    """Long enough, not sorted, without copies."""
    assert said(text) == ""


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (noise(9_000), "9,000 characters are very few"),
        (noise(30_000) * 10, "100% of the validation text also stands in the text to train on"),
        ("\n".join(["a line of some length"] * 300 + words(600)), "36% of the lines repeat"),
        ("\n".join(sorted(words(1000))), "The lines are sorted"),
        (noise(30_000).replace("\n", "\r\n"), r'Lines end in "\r\n"'),
        (words(700) + words(300), "300 of 1,000 documents are copies of others"),
    ],
    ids=["few", "overlap", "lines", "sorted", "line ends", "documents"],
)
def test_what_is_wrong_is_said(text, remark):
    """Each in one short line."""
    assert said(text).startswith(remark)
    assert len(said(text).splitlines()) == 1


def test_a_validation_text_that_is_trained_on_is_noticed():
    """It need not be the end of the same text."""
    text = noise(30_000)
    assert "80% of the validation" in said(text, validation_data=text[-800:] + noise(200, 1))
    assert said(text, validation_data=noise(1000, 1)) == ""


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shared_text_is_measured(dtype):
    """To the token, wherever the pieces lie, of types that differ and of short texts."""
    ids = np.random.default_rng(0).integers(0, 99, 5000).astype(dtype)
    other = np.concatenate([ids[17:217], ids[4000:]])
    assert shared(other, ids[:4000].astype(np.uint8)) == 200 / len(other)
    assert shared(ids[:10], ids[10:20]) == shared(ids[:0], ids) == shared(ids, ids[:0]) == 0


def test_ids_without_a_tokenizer_are_not_read():
    """There is nothing to say of their lines, or of a text that is long enough."""
    assert remarks(Corpus(np.random.default_rng(0).integers(0, 99, 30_000))) == []


def test_fit_says_it_below_the_headline(capsys):
    """A second ``fit`` says only what is wrong with its text, not that the text is short."""
    gen = TextGenerator("ngram", order=2)
    gen.fit(noise(5_000).replace("\n", "\r\n"), **FIT)
    _, *lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(r'Lines end in "\r\n"')
    assert "characters are very few" in lines[1]
    gen.fit(noise(5_000), **FIT)
    assert "very few" not in capsys.readouterr().err
    gen.fit(noise(5_000), **{**FIT, "verbose": 0})
    assert capsys.readouterr().err == ""
