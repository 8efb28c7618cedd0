"""Documents: a boundary between them, read and predicted, and never in a text."""

import json

import numpy as np
import pytest

from textrnn.errors import UnknownTokenError
from textrnn.text.corpus import encode_source, read_corpus
from textrnn.text.documents import with_boundaries
from textrnn.text.levels import LEVELS
from textrnn.text.vocab import Vocab

DOCUMENTS = [f"number {i}, and its\nsquare {i * i}" for i in range(60)]


def documents_in(ids, vocab):
    """Return the texts between the boundaries of ids, which begin and end with one."""
    assert ids[0] == ids[-1] == vocab.eot_id
    parts = np.split(ids, np.flatnonzero(ids == vocab.eot_id))[1:-1]
    return [vocab.decode(part[1:]) for part in parts]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("unk", [False, True])
def test_the_boundary_is_no_text(level, unk):
    """No text encodes to it, it decodes to nothing, and it is there after a file."""
    tokens = [*Vocab.from_text("a b\n", level).itos]
    vocab = Vocab(tokens, level, eot=True, unk=unk)
    assert vocab.eot_id == vocab.start_id == len(tokens)
    assert vocab.token_text(vocab.eot_id) == vocab.decode([vocab.eot_id]) == ""
    assert vocab.token_id("") is None
    assert "" not in vocab
    assert vocab.eot_id not in vocab.encode("a b\n <unk>", unknown="skip")
    assert Vocab.from_config(json.loads(json.dumps(vocab.to_config()))) == vocab
    assert vocab != Vocab(tokens, level, unk=unk)


@pytest.mark.parametrize("level", LEVELS)
def test_documents_come_back(level):
    """Training and validation documents together are those that were handed over, each once."""
    corpus = read_corpus(DOCUMENTS, level, validation_split=0.2)
    found = [documents_in(ids, corpus.vocab) for ids in (corpus.ids, corpus.valid_ids)]
    if level == "char":
        assert sorted(found[0] + found[1]) == sorted(DOCUMENTS)
    assert [len(part) for part in found] == [48, 12]
    assert corpus.documents == "60 documents, 29 characters on average, 12 of them for validation"


def test_documents_for_validation_are_drawn_from_all_of_them():
    """The choice is the seed's, it is spread over the list, and the same every time."""
    splits = [read_corpus(DOCUMENTS, "char", seed=seed).valid_ids for seed in (None, 0, 1)]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2])
    last = "\n".join(documents_in(splits[0], read_corpus(DOCUMENTS, "char").vocab))
    assert last != "\n".join(DOCUMENTS[-6:])


def test_every_epoch_has_an_order_of_its_own():
    """It holds all documents, and depends on the seed and the number of the epoch alone."""
    corpora = [read_corpus(DOCUMENTS, "char", validation_split=0, seed=seed) for seed in (3, 3, 4)]
    orders = [documents_in(corpus.epoch_ids(5), corpus.vocab) for corpus in corpora]
    orders.append(documents_in(corpora[0].epoch_ids(6), corpora[0].vocab))
    assert all(sorted(order) == sorted(DOCUMENTS) for order in orders)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]
    assert orders[0] != DOCUMENTS


def test_a_new_order_of_many_documents(monkeypatch):
    """Documents that are put in order block by block are those put in order at once."""
    corpus = read_corpus(DOCUMENTS, "char", validation_split=0)
    at_once = corpus.epoch_ids(2)
    monkeypatch.setattr("textrnn.text.documents._BLOCK", 100)
    assert np.array_equal(corpus.epoch_ids(2), at_once)


def test_few_documents_end_in_validation():
    """Where a tenth is less than a document, the end of the last one is held back."""
    corpus = read_corpus(["abcab" * 9, "bcdbc" * 9], "char")
    assert corpus.starts is None
    assert len(corpus.valid_ids) == 10
    assert corpus.epoch_ids(1) is corpus.ids
    assert documents_in(np.concatenate([corpus.ids, corpus.valid_ids]), corpus.vocab)[0] == (
        "abcab" * 9
    )


def test_documents_for_validation_of_their_own():
    """All the others are trained on; the tokens of both are known."""
    corpus = read_corpus(["ab", "ba"], "char", validation_data=["cd", "dc"])
    assert documents_in(corpus.ids, corpus.vocab) == ["ab", "ba"]
    assert documents_in(corpus.valid_ids, corpus.vocab) == ["cd", "dc"]


def test_a_vocabulary_grows_by_documents():
    """It gets the boundary, which starts as what was read before a text; tokens keep their ids."""
    old = Vocab("\nab")
    vocab = read_corpus(["ab", "bc"], "char", old, True, validation_split=0).vocab
    assert vocab.itos == ["\n", "a", "b", "c", ""]
    assert vocab.init_from(old).tolist() == [0, 1, 2, -1, old.start_id]
    assert vocab.extend("ad").init_from(vocab).tolist() == [0, 1, 2, 3, -1, vocab.eot_id]


def test_a_vocabulary_without_a_boundary_joins_documents():
    """One that may not grow takes them for one text, with line breaks between them."""
    corpus = read_corpus(["ab", "ba"], "char", Vocab("\nab"), validation_split=0)
    assert corpus.vocab.decode(corpus.ids) == "ab\nba"


def test_an_unknown_token_is_found_in_its_document():
    """The message has the number of the document, and the place in it."""
    with pytest.raises(UnknownTokenError, match=r"Document 1: 'x' .* at index 2 "):
        with_boundaries(["ab", "abx"], Vocab("ab", eot=True))
    ids, _ = encode_source(["xa", "b"], Vocab("ab", eot=True), unknown="skip")
    assert ids.tolist() == [2, 0, 2, 1, 2]


def test_empty_documents_are_left_out():
    """Such as the last line of a file that was split at line breaks."""
    corpus = read_corpus(["ab", "", "ba", ""], "char", validation_split=0)
    assert documents_in(corpus.ids, corpus.vocab) == ["ab", "ba"]
