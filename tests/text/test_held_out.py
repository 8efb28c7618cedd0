"""Text that is kept from training."""

import numpy as np
import pytest

from textrnn.text.corpus import Corpus, read_corpus
from textrnn.text.held_out import hold_out

DOCUMENTS = [chr(97 + i) * (1 + i % 4) for i in range(20)]


@pytest.mark.parametrize("tokens", [8, 17, 64])
def test_of_one_text_slices_are_kept(tokens):
    """The two parts are the text; slices are of one length, and none is at an end."""
    rest = hold_out(Corpus(np.arange(200)), lambda _: tokens)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([rest.ids, rest.held_out])), np.arange(200)
    )
    slices = rest.held_out.reshape(8, -1)
    assert slices.size == tokens // 8 * 8
    assert (np.diff(slices, axis=1) == 1).all()
    assert {0, 199} <= set(rest.ids.tolist())


def test_of_a_long_text_the_end_is_kept_without_a_copy():
    """Slices would need memory for a second text."""
    ids = np.zeros(4_000_001, dtype=np.uint8)
    rest = hold_out(Corpus(ids), lambda _: 80)
    assert len(rest.ids) == len(ids) - 80
    assert len(rest.held_out) == 80
    assert np.shares_memory(rest.ids, ids)
    assert np.shares_memory(rest.held_out, ids)


def test_nothing_is_kept_unless_it_is_wanted():
    """The corpus is the same."""
    corpus = Corpus(np.arange(10))
    assert hold_out(corpus, lambda _: 7) is corpus


@pytest.mark.parametrize("seed", [0, 1])
def test_of_documents_whole_ones_are_kept(seed):
    """Each document is in one of the parts, which begin and end as corpora do."""
    corpus = read_corpus(DOCUMENTS, "char", validation_split=0, seed=seed)
    rest = hold_out(corpus, lambda _: 16)
    boundary = corpus.ids[0]
    assert 8 < len(rest.held_out) <= 17
    assert rest.held_out[0] == rest.held_out[-1] == rest.ids[0] == rest.ids[-1] == boundary
    np.testing.assert_array_equal(rest.ids[rest.starts - 1], boundary)
    assert len(rest.ids) + len(rest.held_out) == len(corpus.ids) + 1
    assert set(np.unique(rest.ids)) & set(np.unique(rest.held_out)) == {boundary}


def test_never_are_all_documents_kept():
    """One is left to train on, however many tokens are wanted."""
    rest = hold_out(read_corpus(["ab", "cd"], "char", validation_split=0), lambda _: 100)
    assert len(rest.starts) == 2
    assert len(rest.held_out) == len(rest.ids) == 4
