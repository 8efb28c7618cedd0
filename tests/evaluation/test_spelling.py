"""Bits per character where words are unknown: they have to be spelled."""

import math
import random

import numpy as np
import pytest

from textrnn import TextGenerator, Vocab
from textrnn.text.corpus import read_corpus
from textrnn.text.spelling import spelling_bits


def random_words(number, length=10, letters="abcdefghijklmnopqrstuvwxyz", seed=0):
    """Return words of random letters, and the bits per character that they hold."""
    chance = random.Random(seed)
    text = " ".join("".join(chance.choices(letters, k=length)) for _ in range(number))
    return text, length * math.log2(len(letters)) / (length + 1)


@pytest.mark.parametrize("model", ["ngram", "lstm"])
def test_random_words_are_not_predicted_better_than_possible(model):
    """At level "word" nearly all of them are unknown; each letter is a choice among 26."""
    text, entropy = random_words(1500)
    arguments = {"order": 2} if model == "ngram" else {"hidden_size": 8}
    gen = TextGenerator(model, level="word", seed=0, **arguments)
    history = gen.fit("ab ab " * 50 + text, epochs=1, batch_size=4, seq_len=16, verbose=0).history
    names = ["val_bits_per_char"] if model == "ngram" else ["bits_per_char", "val_bits_per_char"]
    assert min(history[name][-1] for name in names) > 0.9 * entropy
    assert gen.evaluate(text)["bits_per_char"] > entropy


def test_known_words_cost_nothing_more():
    """Without an unknown token the bits per character are the loss in another unit."""
    gen = TextGenerator("ngram", level="word", order=2)
    text = "the cat sat on the mat. " * 20
    gen.fit(text, verbose=0)
    result = gen.evaluate(text)
    ids = gen.vocab.encode(text)
    bits = result["loss"] / math.log(2) * len(ids) / len(text)
    assert result["bits_per_char"] == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize(
    ("level", "tokens", "text", "letters"),
    [
        ("char", "ab", "aabb", 0),
        ("char", "ab", "abc?abc", 3),
        ("char", "ab", "xyz", 3),
        ("word", ["the", "cat", ". "], "the cat", 0),
        ("word", ["the", "cat", ". "], "the dog. the cat", 4),
        ("word", ["the", "cat", ". "], "dog cow", 7),
    ],
)
def test_letters_that_no_known_token_writes_are_spelled(level, tokens, text, letters):
    """Each costs a choice among the different characters of the text."""
    vocab = Vocab(list(tokens), level, unk=True)
    ids = vocab.encode(text)
    bits = spelling_bits(vocab, text, ids, len(text) / len(ids))
    assert bits == pytest.approx(letters / len(text) * math.log2(len(set(text))))


def test_the_parts_of_a_corpus_pay_for_their_own_unknown_words():
    """By their shares; the whole is what both cost together."""
    text = "one two three one two three " * 20 + random_words(60)[0]
    corpus = read_corpus(text, "word", validation_split=0.2)
    parts = [corpus.ids, corpus.valid_ids]
    assert corpus.spelling[0] < corpus.spelling[1]
    whole = spelling_bits(corpus.vocab, text, np.concatenate(parts), corpus.chars_per_token[0])
    together = np.average(corpus.spelling, weights=[len(part) for part in parts])
    assert together == pytest.approx(whole)


def test_unknown_words_of_documents_are_spelled_too():
    """As those of one text."""
    words = random_words(300)[0].split()
    gen = TextGenerator("ngram", level="word", order=2, seed=0)
    gen.fit(["ab ab ab"] * 20 + words, verbose=0)
    assert gen.evaluate(words[:200])["bits_per_char"] > 0.95 * math.log2(26) * 10 / 11
