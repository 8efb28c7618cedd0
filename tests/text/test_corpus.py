"""A text made ready for training."""

import numpy as np
import pytest

from textrnn.errors import DataError, UnknownTokenError
from textrnn.text.corpus import read_corpus
from textrnn.text.vocab import Vocab


@pytest.mark.parametrize("level", ["char", "word"])
def test_the_parts_put_together_are_the_text(text, level):
    """Nothing is lost between the text and the two parts of its ids."""
    text += "\n" + text  # so that every word occurs twice
    corpus = read_corpus(text, level, validation_split=0.2)
    ids = np.concatenate([corpus.ids, corpus.valid_ids])
    assert corpus.vocab.decode(ids) == text
    assert len(corpus.valid_ids) == pytest.approx(0.2 * len(ids), abs=1)
    assert corpus.chars_per_token == (len(text) / len(ids),) * 2


def test_a_text_for_validation_of_its_own(tmp_path):
    """All of the text is learned from; both texts' tokens are in the vocabulary."""
    path = tmp_path / "valid.txt"
    path.write_text("cab dab\ncab dab", encoding="utf-8")
    corpus = read_corpus("abc abc", "word", validation_data=path)
    assert corpus.vocab.itos == ["\n", "abc", "cab", "dab"]
    assert corpus.vocab.decode(corpus.ids) == "abc abc"
    assert corpus.chars_per_token == (7 / 2, 15 / 5)


def test_a_vocabulary_is_used_or_grows():
    """As asked; a token that it may not take is an error."""
    vocab = Vocab("ab")
    assert read_corpus("abba" * 9, "char", vocab).vocab is vocab
    assert read_corpus("abcd" * 9, "char", vocab, grow=True).vocab.itos == ["a", "b", "c", "d"]
    with pytest.raises(UnknownTokenError, match="'c'"):
        read_corpus("abcd" * 9, "char", vocab)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"text": ""}, "The text is empty"),
        ({"text": "a"}, "at least 2 tokens"),
        ({"validation_data": ""}, "The text is empty"),
    ],
)
def test_texts_that_are_too_short(bad, message):
    """They are refused here already."""
    with pytest.raises(DataError, match=f"{message}.*Received: "):
        read_corpus(**{"text": "abcdef", "level": "char", **bad})
