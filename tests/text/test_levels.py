"""What a token is, at each level: every text comes back, and scripts are cut as documented."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.errors import VocabError
from textrnn.text.levels import LEVELS
from textrnn.text.levels.byte import BYTES
from textrnn.text.vocab import Vocab

AWKWARD = [
    " ",
    "\n",
    "\x00\x01\x1c\x7f\x85\u2028\ufeff",
    "a\r\nb\rc\n",
    "\ud800",
    "a\ud83d\ude00b\udc00\ud800",
    "👩‍👩‍👧 🇫🇷 e\u0301 é \U0010ffff",
    "don't, can\u2019t -- l'été's rock 'n' roll''",
    "  two  spaces , a,b ;c  \t\n  ",
    "snake_case x1 1x 3.14 ภาษาไทย 漢字かな",
    "<unk> < unk >",
    "word" * 40_000,
]
ANY_TEXT = st.text(st.characters(), min_size=1)  # lone surrogates included
LETTERS = "ab_1é漢か゛กิำ हि\u0301\u05b4\u200d\ufe0f\u0600🇫"  # with spaces and without; marks
WORDS = st.text(
    LETTERS + " '\u2019.,-\n\t\x1c\u00a0\u2003", min_size=1
)  # where the rules of words meet


# -- round trip ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text[:12]))
def test_awkward_texts_come_back(level, text):
    """decode(encode(text)) is the text at every level, whatever it holds."""
    vocab = Vocab.from_text(text, level=level)
    assert vocab.decode(vocab.encode(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@settings(deadline=None)
@given(text=ANY_TEXT | WORDS)
def test_every_text_comes_back(level, text):
    """decode(encode(text)) is the text at every level, for texts that nobody thought of."""
    vocab = Vocab.from_text(text, level=level)
    assert vocab.decode(vocab.encode(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@settings(deadline=None)
@given(text=ANY_TEXT | WORDS)
def test_what_a_decoder_gives_is_certain(level, text):
    """After each id it is the beginning of the text: no half of a character is ever written."""
    vocab = Vocab.from_text(text, level=level)
    decoder, written = vocab.decoder(), ""
    for token in vocab.encode(text).tolist():
        written += decoder.push(token)
        assert text.startswith(written)
    assert written + decoder.flush() == text


@pytest.mark.slow
@pytest.mark.parametrize("level", [name for name in LEVELS if not LEVELS[name].complete])
@settings(deadline=None)
@given(text=ANY_TEXT | WORDS)
def test_a_text_can_be_decoded_in_two_parts(level, text):
    """Decoding up to any id, and the rest id by id after it, gives the same text."""
    vocab = Vocab.from_text(text, level=level)
    ids = vocab.encode(text).tolist()
    cut = len(ids) // 2
    decoder = vocab.decoder(after=ids[cut - 1] if cut else None)
    pieces = [decoder.push(token) for token in ids[cut:]]
    assert vocab.decode(ids[:cut]) + "".join(pieces) + decoder.flush() == text


@pytest.mark.parametrize("level", LEVELS)
def test_an_empty_text_has_no_ids(level):
    """The empty text is encoded to nothing, and nothing decoded to the empty text."""
    vocab = Vocab.from_text("abc", level=level)
    assert vocab.encode("").shape == (0,)
    assert vocab.decode([]) == vocab.decode(vocab.encode("")) == ""


# -- how texts are cut -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("the cat", ["the", "cat"]),
        ("the  cat", ["the", " ", " ", "cat"]),
        (" the ", [" ", "the", " "]),
        ("cat, mat.\n", ["cat", ", ", "mat", ".", "\n"]),
        ("cat ,mat", ["cat", " ", ",", "mat"]),
        ("cat\tmat", ["cat", "\t", "mat"]),
        ("don't can\u2019t rock'n'roll", ["don't", "can\u2019t", "rock'n'roll"]),
        ("'tis dogs' -", ["'", "tis", "dogs", "' ", "-"]),
        ("snake_case 3.14 ...", ["snake_case", "3", ".", "14", " ", ".", ".", "."]),
        ("a\u00a0b", ["a", "\u00a0", "b"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("עִבְרִית נְקֻדָּה", ["עִבְרִית", "נְקֻדָּה"]),
        ("nai\u0308ve cafe\u0301", ["nai\u0308ve", "cafe\u0301"]),
        ("نمی\u200cشود", ["نمی\u200cشود"]),
        ("한국어 말", ["한국어", "말"]),
        ("春眠。不觉 晓 2 km", ["春", "眠", "。", "不", "觉", " ", "晓", " ", "2", "km"]),
        ("日本ゴー、か\u3099", ["日", "本", "ゴ", "ー", "、", "か\u3099"]),
        ("ภาษาที่ไทย", ["ภ", "า", "ษ", "า", "ที่", "ไ", "ท", "ย"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("ភាសា", ["ភា", "សា"]),
        ("👩\u200d👧 🇫🇷!", ["👩\u200d👧 ", "🇫🇷", "!"]),
    ],
)
def test_words_are_cut_as_documented(text, tokens):
    """A token is a word, a mark with the space after it, or a piece of white space."""
    vocab = Vocab.from_text(text, level="word")
    assert vocab.itos == sorted(set(tokens))
    assert [vocab.itos[i] for i in vocab.encode(text)] == tokens


@given(text=st.text(st.characters(max_codepoint=0x24F)))
def test_latin_words_are_cut_as_version_0_1_0_cut_them(text):
    """A vocabulary of an old file gives the ids that its model was trained on."""
    old = re.findall(r"\w+(?:['\u2019]\w+)*|[^\w\s] ?|(?!(?<=\w) (?=\w))\s", text)
    assert list(LEVELS["word"].cut(text)) == old


@given(text=WORDS)
def test_words_are_counted_and_found_as_they_are_cut(text):
    """``count`` and ``span`` agree with ``cut``, which leaves out the spaces between words."""
    level = LEVELS["word"]
    tokens = list(level.cut(text))
    assert level.count(text) == Counter(tokens)
    spans = [level.span(text, i) for i in range(len(tokens))]
    assert [text[start:end] for start, end in spans] == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("C:maj7 F#:min7 e5+ O-O p60:v100", ["C:maj7", "F#:min7", "e5+", "O-O", "p60:v100"]),
        ("ACGT  ACGG\n ACGT ", ["ACGT", " ", " ", "ACGG", "\n", " ", "ACGT", " "]),
        ("a\tb\u00a0c", ["a", "\t", "b", "\u00a0", "c"]),
        ("don't, <unk>", ["don't,", "<unk>"]),
    ],
)
def test_split_tokens_are_what_white_space_divides(text, tokens):
    """A single space divides two tokens and is none; any other white space is a token."""
    assert list(LEVELS["split"].cut(text)) == tokens
    assert [text[slice(*LEVELS["split"].span(text, i))] for i in range(len(tokens))] == tokens


# -- bytes, and runs of them -----------------------------------------------------------------


COMPLETE = [name for name in LEVELS if LEVELS[name].complete]


@pytest.mark.slow
@pytest.mark.parametrize("level", COMPLETE)
@given(text=ANY_TEXT)
def test_a_complete_level_knows_every_text(level, text):
    """A text that shares nothing with the vocabulary's comes back, and makes it no larger."""
    vocab = Vocab.from_text("the cat, the mat", level)
    assert vocab.unk_id is None
    assert vocab.decode(vocab.encode(text)) == text
    assert vocab.extend(text) is vocab


@pytest.mark.slow
@pytest.mark.parametrize("level", COMPLETE)
@given(data=st.binary())
def test_bytes_that_are_not_utf_8_are_written_as_python_replaces_them(level, data):
    """What a model writes is always text: U+FFFD where ``errors="replace"`` has it."""
    vocab = Vocab(BYTES, level)
    expected = data.decode("utf-8", "replace")
    if not any(byte == 0xED for byte in data):  # which begins a surrogate, and those are kept
        assert vocab.decode(list(data)) == expected
    decoder = vocab.decoder()
    assert "".join(map(decoder.push, data)) + decoder.flush() == vocab.decode(list(data))


def test_a_surrogate_between_bytes_that_are_not_utf_8():
    """Three bytes of a surrogate are one; two of them are not."""
    data = b"\xed\xa0\xbd\xed\xa0\xff\xed\xb8\x80"
    assert Vocab(BYTES, "byte").decode(list(data)) == "\ud83d\ufffd\ufffd\ufffd\ude00"


@pytest.mark.parametrize("level", COMPLETE)
@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (BYTES[1:], r"must hold all 256 bytes, .* Received: 255 of them, without b'\\x00'"),
        ([*BYTES, ""], r"A token must be .*\. Received: ''"),
        ([*BYTES, "\ud800"], r"A token must be .*\. Received: '\\ud800'"),
        ([*BYTES, "x" * 133], r"A token must be .*\. Received: 'xxx"),
    ],
)
def test_tokens_that_cannot_write_every_text(level, tokens, message):
    """Such a list, in a damaged file for instance, is no vocabulary."""
    with pytest.raises(VocabError, match=message):
        Vocab(tokens, level)


def test_the_bytes_are_always_all():
    """The 256 bytes are in their order, and none can be left out."""
    vocab = Vocab.from_text("é", "byte")
    assert (len(vocab), vocab.encode("aé").tolist()) == (256, [97, 195, 169])
    assert vocab.start_id == ord("\n")
    for limits in ({"min_freq": 2}, {"max_size": 255}):
        with pytest.raises(VocabError, match="Level 'byte' always has 256 tokens"):
            Vocab.from_text("é", "byte", **limits)


def test_bpe_puts_the_most_frequent_neighbours_together_first():
    """The tokens that are learned are those of a count by hand, up to ``max_size``."""
    text = "aaab" * 2 + " ab" * 5
    assert Vocab.from_text(text, "bpe", max_size=259).itos[256:] == ["ab", " ab", "aa"]
    assert len(Vocab.from_text(text, "bpe", min_freq=6)) == 257
    with pytest.raises(ValueError, match="`max_size` must be at least 256"):
        Vocab.from_text(text, "bpe", max_size=255)


@pytest.mark.slow
@settings(deadline=None)
@given(text=st.text("ab ", min_size=1, max_size=60), size=st.integers(256, 270))
def test_bpe_equals_an_encoder_that_tries_every_token(text, size):
    """In each piece the earliest token that two neighbours make is made, until none is."""
    vocab = Vocab.from_text(text, "bpe", max_size=size)
    expected = []
    for piece in LEVELS["bpe"].cut(text):
        parts = list(piece)
        for token in vocab.itos[256:]:
            while any(a + b == token for a, b in pairwise(parts)):
                i = next(i for i, (a, b) in enumerate(pairwise(parts)) if a + b == token)
                parts[i : i + 2] = [token]
        expected += parts
    assert [vocab.itos[i] for i in vocab.encode(text)] == expected
