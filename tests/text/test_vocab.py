"""Text to ids and back: nothing is lost, and the numbers are the same on every machine."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.errors import DataError, UnknownTokenError, VocabError
from textrnn.text.tokens import UNK
from textrnn.text.vocab import Vocab

ANY_TEXT = st.text(st.characters(), min_size=1)  # lone surrogates included


# -- encode against a reference --------------------------------------------------------------


@pytest.mark.slow
@settings(deadline=None)
@given(text=ANY_TEXT)
def test_encode_equals_a_dict_lookup(text):
    """Tokens are numbered by code point, and each character gets the number of its token."""
    tokens = sorted(set(text))
    number = {token: i for i, token in enumerate(tokens)}
    vocab = Vocab.from_text(text)
    assert vocab.itos == tokens
    assert vocab.stoi == number
    assert vocab.encode(text).tolist() == [number[character] for character in text]


@pytest.mark.slow
def test_a_long_text_equals_a_dict_lookup():
    """A text longer than what is looked up at a time has no seams."""
    codes = np.random.default_rng(0).integers(0, 0x110000, 100_000)
    text = "".join(map(chr, codes.tolist()))
    number = {token: i for i, token in enumerate(sorted(set(text)))}
    vocab = Vocab.from_text(text)
    expected = np.array([number[character] for character in text])
    np.testing.assert_array_equal(vocab.encode(text), expected)
    assert vocab.decode(expected) == text


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize(
    ("size", "unk", "dtype"),
    [
        (256, False, np.uint8),
        (257, False, np.uint16),
        (255, True, np.uint8),
        (256, True, np.uint16),
        (65_536, False, np.uint16),
        (65_537, False, np.uint32),
    ],
)
def test_ids_take_as_little_room_as_they_can(level, size, unk, dtype):
    """The type is the smallest that holds every id, and no id is cut off by it."""
    tokens = [chr(i) if level == "char" else f"w{i}" for i in range(size)]
    vocab = Vocab(tokens, level, unk=unk)
    ids = vocab.encode(("" if level == "char" else " ").join(tokens))
    assert ids.dtype == dtype
    np.testing.assert_array_equal(ids, np.arange(size))
    assert vocab.encode("").dtype == dtype


# -- from_text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "tokens"),
    [
        ({}, "abcdr"),
        ({"min_freq": 2}, ["a", "b", "r", UNK]),
        ({"min_freq": 5}, ["a", UNK]),
        ({"max_size": 5}, "abcdr"),
        ({"max_size": 3}, ["a", "b", "r", UNK]),
        ({"max_size": 4}, ["a", "b", "c", "r", UNK]),
        ({"max_size": 4, "min_freq": 2}, ["a", "b", "r", UNK]),
    ],
)
@pytest.mark.parametrize(("level", "between"), [("char", ""), ("word", " ")])
def test_the_frequent_tokens_are_kept(level, between, arguments, tokens):
    """The most frequent are kept, of equals the first; if any are not, there is an unknown."""
    vocab = Vocab.from_text(between.join("abracadabra"), level, **arguments)
    assert vocab.itos == list(tokens)
    assert vocab.unk_id == (len(tokens) - 1 if UNK in tokens else None)


def test_a_long_text_is_counted_without_seams():
    """A token on both sides of where counting starts anew is counted on both."""
    vocab = Vocab.from_text("a" * (2**20 - 1) + "bbc", min_freq=2)
    assert vocab.itos == ["a", "b", UNK]


def test_no_token_is_frequent_enough():
    """Where nothing is frequent enough the message has the most frequent token."""
    expected = r"take level 'char' .* one, 'a', occurs 5 times\. Received: min_freq=6"
    with pytest.raises(VocabError, match=expected):
        Vocab.from_text("abracadabra", min_freq=6)


def test_an_empty_text_has_no_vocabulary():
    """A vocabulary is collected from at least one character."""
    with pytest.raises(DataError, match="The text is empty"):
        Vocab.from_text("")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"text": b"abc"}, TypeError, r"`text` must be str; .*Received: bytes"),
        ({"level": "line"}, ValueError, r"`level` must be one of 'char', 'word'"),
        ({"max_size": 0}, ValueError, "`max_size` must be at least 1"),
        ({"max_size": 2.0}, TypeError, "`max_size` must be a whole number"),
        ({"min_freq": 0}, ValueError, "`min_freq` must be at least 1"),
        ({"min_freq": True}, TypeError, "`min_freq` must be a whole number"),
        ({"maxsize": 2}, TypeError, "Did you mean 'max_size'"),
    ],
)
def test_wrong_arguments_of_from_text(arguments, error, message):
    """Arguments of the wrong type or out of range are refused by their name."""
    with pytest.raises(error, match=message):
        Vocab.from_text(**{"text": "abc"} | arguments)


def test_a_misspelled_keyword_is_answered_with_those_one_can_write():
    """The list of arguments has those of the caller only, not Python's cls."""
    with pytest.raises(TypeError, match=r"It takes: text, level, max_size, min_freq\."):
        Vocab.from_text("abc", maxsize=2)


# -- the class -------------------------------------------------------------------------------


def test_a_vocabulary_is_a_collection_of_tokens():
    """Its length, its members and their order are those of ``itos``."""
    vocab = Vocab("cab", unk=True)
    assert len(vocab) == 4
    assert list(vocab) == vocab.itos == ["c", "a", "b", UNK]
    assert "a" in vocab
    assert UNK in vocab
    assert "x" not in vocab
    assert 0 not in vocab
    assert repr(vocab) == "Vocab(4 tokens, level='char', unk_id=3)"
    assert repr(Vocab("cab", "word")) == "Vocab(3 tokens, level='word')"


@pytest.mark.parametrize(
    "other", [Vocab("acb"), Vocab("ab"), Vocab("abc", "word"), Vocab("abc", unk=True), "abc", None]
)
def test_vocabularies_are_equal_by_what_they_hold(other):
    """Two are equal, and hash alike, if tokens, level and unknown token are; else not."""
    assert Vocab("abc") == Vocab(["a", "b", "c"])
    assert hash(Vocab("abc")) == hash(Vocab(["a", "b", "c"]))
    assert Vocab("abc") != other
    assert Vocab(["a", UNK], "word") != Vocab(["a"], "word", unk=True)


@pytest.mark.parametrize(("tokens", "start_id"), [("\nab", 0), ("a\nb", 1), ("ab", 0)])
def test_a_text_starts_after_a_line_break(tokens, start_id):
    """What stands before a text is a line break, or the first token where there is none."""
    assert Vocab(tokens).start_id == start_id


@pytest.mark.parametrize(
    ("tokens", "level", "message"),
    [
        ([], "char", r"needs at least one token\. Received: none"),
        ("aba", "char", r"must differ from each other\. Received twice: 'a'"),
        ([""], "char", r"must be one code point\. Received: ''"),
        ([97], "char", r"must be one code point\. Received: 97"),
        (["ab", ""], "word", r"must be a non-empty str\. Received: ''"),
        (["ab", UNK], "word", rf"must differ from each other\. Received twice: '{UNK}'"),
    ],
)
def test_wrong_tokens(tokens, level, message):
    """Tokens that are none, or alike, are refused by name."""
    with pytest.raises(VocabError, match=message):
        Vocab(tokens, level, unk=UNK in tokens)


def test_wrong_level():
    """A level is a name in the table."""
    with pytest.raises(ValueError, match=r"one of 'char', 'word', .*\. Did you mean 'char'"):
        Vocab("ab", "chars")


# -- unknown tokens --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vocab", "text", "message"),
    [
        (Vocab("Straes"), "Strasse,ß", r"^',' \(U\+002C\) at index 7 .* of 6 tokens"),
        (Vocab("Strase"), "Strase ß", r"^' ' \(U\+0020\) at index 6 is not in the vocabulary"),
        (Vocab("Strase"), "Straß", r"^'ß' \(U\+00DF\) at index 4 is not .* Received: 'Straß'$"),
        (Vocab("a"), "a" * 70_000 + "\U0001f600", r"^'😀' \(U\+1F600\) at index 70000 is"),
        (Vocab("a"), "\ud800", r"^'\\ud800' \(U\+D800\) at index 0 is"),
        (Vocab("a"), "\x00", r"^'\\x00' \(U\+0000\) at index 0 is"),
        (Vocab(["the", "cat"], "word"), "the mat", r"^'mat' at index 4 is not"),
        (Vocab(["the", "cat"], "word"), "the cat, the", r"^', ' at index 7 is not"),
        (Vocab(["the", "cat"], "word"), "the cat!", r"^'!' \(U\+0021\) at index 7 is not"),
    ],
)
@pytest.mark.parametrize("arguments", [{}, {"unknown": None}, {"unknown": "error"}])
def test_an_unknown_token_is_an_error(vocab, text, message, arguments):
    """The message has the token, its code point and its position in the text."""
    with pytest.raises(UnknownTokenError, match=message):
        vocab.encode(text, **arguments)


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [("skip", [0, 1, 1]), ("unk", [2, 0, 1, 2, 2, 1]), (None, [2, 0, 1, 2, 2, 1])],
)
@pytest.mark.parametrize(("level", "text"), [("char", "?ab\U0001f600?b"), ("word", "x a b x y b")])
def test_what_to_do_about_unknown_tokens(level, text, unknown, expected):
    """They are left out, or written as the unknown token, which is what happens by itself."""
    vocab = Vocab("ab", level, unk=True)
    assert vocab.encode(text, unknown=unknown).tolist() == expected


def test_unknown_error_in_a_vocabulary_with_an_unknown_token():
    """What is asked for is done, also where the vocabulary could do otherwise."""
    with pytest.raises(UnknownTokenError, match=r"'x' \(U\+0078\) at index 1"):
        Vocab("ab", unk=True).encode("ax", unknown="error")


def test_the_unknown_token_is_written_out():
    """An unknown token is decoded to its name, as a word between words."""
    chars, words = Vocab("ab", unk=True), Vocab(["a", "b", ", "], "word", unk=True)
    assert chars.decode(chars.encode("axb")) == "a<unk>b"
    assert words.decode(words.encode("a x b, y")) == "a <unk> b, <unk>"


def test_no_text_holds_the_unknown_token():
    """The name of the unknown token is text like any other: it is not taken for the token."""
    vocab = Vocab.from_text("<unk><unk> a", level="word", max_size=3)
    assert vocab.unk_id not in vocab.encode("<unk>")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"text": b"ab"}, TypeError, r"decode bytes first\. Received: bytes"),
        ({"text": ["a"]}, TypeError, r"`text` must be str; .*Received: list"),
        ({"unknown": "unk"}, VocabError, r"has no unknown token, .*Received: unknown='unk'"),
        ({"unknown": "skp"}, ValueError, r"'error', 'skip', 'unk'\. Did you mean 'skip'"),
        ({"unknwon": "skip"}, TypeError, "Did you mean 'unknown'"),
    ],
)
def test_wrong_arguments_of_encode(arguments, error, message):
    """Arguments of the wrong type, and choices there are none of, are refused."""
    with pytest.raises(error, match=message):
        Vocab("ab").encode(**{"text": "ab"} | arguments)


# -- decode ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids", [[2, 0, 1], (2, 0, 1), np.array([2, 0, 1], np.uint16), torch.tensor([2, 0, 1])]
)
def test_decode_takes_any_flat_collection(ids):
    """Ids may be a list, a tuple, an array or a tensor."""
    assert Vocab("abc").decode(ids) == "cab"


@pytest.mark.parametrize(
    ("after", "expected"), [(None, "cat, mat"), ("the", " cat, mat"), (", ", "cat, mat")]
)
def test_a_word_after_a_word_begins_with_a_space(after, expected):
    """After a word, a text begins with a space if it begins with a word, and only then."""
    vocab = Vocab.from_text("the cat, mat", level="word")
    decoder = vocab.decoder(after=None if after is None else vocab.stoi[after])
    assert "".join(map(decoder.push, vocab.encode("cat, mat").tolist())) == expected
    assert decoder.flush() == ""


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize(("bad", "index"), [(3, 0), (-1, 2), (2**40, 1)])
def test_an_id_out_of_range(level, bad, index):
    """An id that the vocabulary does not have is refused with its position."""
    ids = [0, 1, 2]
    ids[index] = bad
    expected = rf"`ids` must hold ids from 0 to 2\. Received: id {bad} at index {index}"
    with pytest.raises(UnknownTokenError, match=expected):
        Vocab("abc", level).decode(ids)


@pytest.mark.parametrize("after", [-1, 3])
def test_an_id_before_that_is_out_of_range(after):
    """The id before the text is an id like the others."""
    with pytest.raises(UnknownTokenError, match=f"`after` must be an id from 0 to 2.*{after}"):
        Vocab("abc", "word").decoder(after=after)


@pytest.mark.parametrize(
    "ids", [3, None, "ab", [0.5], [True], [[0, 1]], ["a"], [None], [2**64], np.zeros((2, 0))]
)
def test_decode_refuses_what_is_no_list_of_ids(ids):
    """Other types and shapes are a TypeError."""
    with pytest.raises(TypeError, match="`ids` must be a flat list or array of whole numbers"):
        Vocab("abc").decode(ids)


# -- to_config, from_config ------------------------------------------------------------------


@pytest.mark.slow
@settings(deadline=None)
@given(text=ANY_TEXT, level=st.sampled_from(["char", "word"]), size=st.integers(1, 9))
def test_a_vocabulary_survives_json(text, level, size):
    """A vocabulary that was written as JSON and read back is the same one."""
    vocab = Vocab.from_text(text, level, max_size=size)
    again = Vocab.from_config(json.loads(json.dumps(vocab.to_config())))
    assert again == vocab
    np.testing.assert_array_equal(again.encode(text), vocab.encode(text))


@pytest.mark.parametrize("tokens", [["\ud83d", "\ude00"], ["\ud83d\ude00", "\U0001f600"]])
def test_two_surrogates_do_not_become_one_character(tokens):
    """Half characters that follow each other stay two, which JSON text would not keep."""
    level = "char" if len(tokens[0]) == 1 else "word"
    config = json.loads(json.dumps(Vocab(tokens, level).to_config()))
    assert Vocab.from_config(config).itos == tokens


def test_the_config_of_a_vocabulary():
    """The config is what is documented: old files depend on it."""
    vocab = Vocab(["é", "ab"], "word", unk=True)
    config = {"level": "word", "symbols": [[233], [97, 98]], "unk": True}
    assert vocab.to_config() == config
    assert Vocab.from_config(config) == vocab


GOOD = {"level": "char", "symbols": [[97], [98]], "unk": False}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        *[(config, "must have 'level', 'unk' and 'symbols'") for config in [None, [], {}, "x", 5]],
        *[
            (GOOD | {"symbols": tokens}, "must have 'level', 'unk' and 'symbols'")
            for tokens in [None, 5, "ab", [97], [["a"]], [[97.0]], [[-1]], [[0x110000]], [[2**70]]]
        ],
        (GOOD | {"symbols": []}, "needs at least one token"),
        (GOOD | {"symbols": [[97], [97]]}, "must differ from each other"),
        (GOOD | {"symbols": [[97, 98]]}, "must be one code point"),
        (GOOD | {"level": "word", "symbols": [[]]}, "must be a non-empty str"),
        (GOOD | {"level": "line"}, r"must have a level of .* Received: level='line'"),
        (GOOD | {"level": []}, r"must have a level of .* Received: level=\[\]"),
        (GOOD | {"unk": 1}, r"a boolean 'unk' .*Received: level='char', unk=1"),
        (GOOD | {"eot": None}, r"an 'eot' that is one, .*Received: .*eot=None"),
    ],
)
def test_a_config_that_describes_no_vocabulary(config, message):
    """Whatever a damaged file holds is a VocabError that says what was expected."""
    with pytest.raises(VocabError, match=message):
        Vocab.from_config(config)
