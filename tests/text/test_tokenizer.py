"""The contract of tokenizers: what each obeys, and how little a new one needs."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textrnn.errors import UnknownTokenError, VocabError
from textrnn.text.levels import LEVELS
from textrnn.text.tokens import UNK
from textrnn.text.vocab import Vocab

TEXT = "the café, the cat ; the  hat 👩‍👩‍👧 and\n"


@pytest.fixture(params=[*LEVELS, "pairs", "nibbles"])
def tokenizer(request, pairs, nibbles):
    """A vocabulary of each level for ``TEXT``, and each of the custom tokenizers."""
    custom = {"pairs": pairs, "nibbles": nibbles}
    return custom.get(request.param) or Vocab.from_text(TEXT, request.param)


# What each tokenizer obeys


def test_a_text_comes_back_at_once_and_id_by_id(tokenizer):
    """Pieces that a decoder gives, after any token, make the text that ``decode`` gives."""
    ids = tokenizer.encode(TEXT).tolist()
    assert tokenizer.decode(ids) == TEXT
    decoder = tokenizer.decoder()
    assert "".join([decoder.push(token) for token in ids] + [decoder.flush()]) == TEXT
    first, rest = tokenizer.encode("the").tolist(), tokenizer.encode(" cat").tolist()
    decoder = tokenizer.decoder(after=first[-1])
    assert "".join(decoder.push(token) for token in rest).strip() == "cat"


def test_ids_are_those_of_the_texts_of_tokens(tokenizer):
    """``token_text`` and ``token_id`` are each other's inverse; ids are below the length."""
    for token in range(len(tokenizer)):
        assert tokenizer.token_id(tokenizer.token_text(token)) == token
    assert tokenizer.token_id("no such token") is None
    assert max(tokenizer.encode(TEXT)) < len(tokenizer)
    assert 0 <= tokenizer.start_id < len(tokenizer)


def test_a_tokenizer_survives_json_and_pickle(tokenizer):
    """It is rebuilt from its config, and a generator that holds it can be copied."""
    config = json.loads(json.dumps(tokenizer.to_config()))
    for again in (type(tokenizer).from_config(config), pickle.loads(pickle.dumps(tokenizer))):
        np.testing.assert_array_equal(again.encode(TEXT), tokenizer.encode(TEXT))
        assert again.name == tokenizer.name


def test_each_token_is_initialised_from_itself(tokenizer):
    """Between a tokenizer and one that was extended all known tokens stay what they were."""
    new = tokenizer.extend(TEXT + "The Café")
    assert new.init_from(tokenizer)[: len(tokenizer)].tolist() == list(range(len(tokenizer)))
    assert new.decode(new.encode("The Café")) == "The Café"


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([10**6], UnknownTokenError, "`ids` must hold ids from 0 to .* id 1000000 at index 0"),
        ([0, -1], UnknownTokenError, "id -1 at index 1"),
        ([[0]], TypeError, r"`ids` must be a flat list .*shape \(1, 1\)"),
        ([0.5], TypeError, "`ids` must be a flat list .*float64"),
    ],
)
def test_what_no_tokenizer_decodes(tokenizer, ids, error, message):
    """Ids out of range or of another form are refused by every tokenizer."""
    with pytest.raises(error, match=message):
        tokenizer.decode(ids)
    with pytest.raises(UnknownTokenError, match=r"`after` must be an id .*Received: 1000000"):
        tokenizer.decoder(after=10**6)


# What a new one has for nothing


def test_a_tokenizer_that_learns_nothing_stays_itself(pairs):
    """``extend`` is what it is where a class does not define it; so are name and limits."""
    assert pairs.extend("new text") is pairs
    assert (pairs.name, pairs.unk_id, pairs.eot_id) == ("Pairs", None, None)
    assert (pairs.joint, dict(pairs.limits)) == ("", {})


def test_a_token_of_several_bytes_is_held_back(nibbles):
    """A decoder gives a character when it is complete, and what is left at the end."""
    ids = nibbles.encode("aé").tolist()
    decoder = nibbles.decoder()
    assert [decoder.push(token) for token in ids] == ["", "a", "", "", "", "é"]
    for token in ids[:-1]:
        decoder.push(token)
    assert decoder.flush() == "\ufffd"


@pytest.mark.usefixtures("line_level")
def test_a_new_level_is_one_class_and_one_line():
    """All that ``Vocab`` can do it can do with a level that defines how a text is cut."""
    text = "one\ntwo\none\nthree"
    vocab = Vocab.from_text(text, "line", min_freq=2)
    assert vocab.itos == ["one\n", UNK]
    assert vocab.extend("two\n").itos == ["one\n", "two\n", UNK]
    assert Vocab.from_config(vocab.to_config()) == vocab
    full = Vocab.from_text(text, "line")
    assert full.decode(full.encode(text)) == text
    with pytest.raises(UnknownTokenError, match=r"^'four\\n' at index 8 is not in the vocab"):
        full.encode("one\ntwo\nfour\n")
    with pytest.raises(VocabError, match="A token must be a non-empty str"):
        Vocab([""], "line")


@pytest.mark.parametrize(
    ("level", "tokens"), [("char", [*" acdeghot"]), ("word", ["dog", "the", UNK])]
)
def test_the_limits_of_a_level(level, tokens):
    """Words that occur once are left out by what ``fit`` uses; characters are all kept."""
    vocab = Vocab.from_text("the cat the dog the dog", level, **LEVELS[level].limits)
    assert vocab.itos == tokens
    assert vocab.limits == LEVELS[level].limits


# extend and init_from of a vocabulary


@pytest.mark.slow
@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(list(LEVELS)))
def test_a_grown_vocabulary_holds_both_texts_and_keeps_its_ids(one, other, level):
    """What was encoded before is still what it was."""
    vocab = Vocab.from_text(one, level)
    new = vocab.extend(other, max_size=None)
    assert new.itos[: len(vocab)] == vocab.itos
    assert new.decode(new.encode(one)) == one
    assert new.decode(new.encode(other)) == other
    assert new.init_from(vocab)[: len(vocab)].tolist() == list(range(len(vocab)))


def test_a_vocabulary_that_holds_the_text_does_not_grow():
    """It is given back as it is."""
    vocab = Vocab.from_text("hello")
    assert vocab.extend("hell") is vocab


def test_growth_keeps_the_unknown_token_last():
    """Tokens are added before it, by the rules for a new vocabulary; it can come newly, too."""
    vocab = Vocab.from_text("a a b b c", "word", min_freq=2)
    new = vocab.extend("d d e a", min_freq=2)
    assert (vocab.itos, new.itos) == (["a", "b", "<unk>"], ["a", "b", "d", "<unk>"])
    assert new.unk_id == 3
    assert new.init_from(vocab).tolist() == [0, 1, -1, 2]
    assert Vocab.from_text("a").extend("bbc", max_size=1).itos == ["a", "b", "<unk>"]


@pytest.mark.parametrize(
    ("new", "old", "sources"),
    [
        ("a", "a", [0]),
        ("A", "ab", [0]),
        ("é", "eé", [1]),
        ("É", "eé", [1]),  # another case is nearer than no accent
        ("É", "Ee", [1]),
        ("ñ", "N", [0]),
        ("x", "ab", [-1]),
        ("ß", "s", [-1]),
        ("й", "и", [0]),
    ],
)
def test_a_new_character_is_like_its_other_case_or_its_plain_form(new, old, sources):
    """Case first, then diacritics; otherwise it is like none."""
    assert Vocab(new).init_from(Vocab(old)).tolist() == sources


def test_a_new_word_is_like_its_other_cases():
    """At level "word" too; a sign is like itself with a space after it."""
    old = Vocab(["cat", "café", "! ", "."], "word")
    assert Vocab(["CAT", "Cafe", "Café", "!", ". ", "dog"], "word").init_from(old).tolist() == [
        0, -1, 1, 2, 3, -1,
    ]  # fmt: skip
