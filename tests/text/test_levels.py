"""What a token is, at each level: every text comes back, and scripts are cut as documented."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.text.levels import LEVELS
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
