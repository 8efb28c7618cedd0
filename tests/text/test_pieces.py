"""Files read, counted and encoded in pieces."""

import gzip

import numpy as np
import pytest

from textrnn.errors import DataError, UnknownTokenError
from textrnn.text import pieces as module
from textrnn.text import reading
from textrnn.text.corpus import encode_source, read_corpus
from textrnn.text.levels import LEVELS
from textrnn.text.pieces import Pieces, encode_pieces
from textrnn.text.reading import read_file, read_pieces
from textrnn.text.sources import open_source
from textrnn.text.spelling import spelling_bits
from textrnn.text.vocab import Vocab

TEXT = (
    "The cat's mat, 12 mats; the \U0001f600 cat.\n\n  ภาษาไทย、東京  2 km\x1c!\x1c \n"
    "cafe\u0301 \u0301x\n \n\tnaïve\x85 word\u00a0word  end \U0001f1e9\U0001f1ea\U0001f1eb\n"
    "a\n b c\n"
) * 3  # fmt: skip


@pytest.fixture(params=[1, 3, 64])
def small(request, monkeypatch):
    """Pieces of a few bytes and of a few characters."""
    monkeypatch.setattr(reading, "_PIECE", request.param)
    monkeypatch.setattr(module, "_PIECE", request.param)
    monkeypatch.setattr(module, "_BLOCK", request.param)


def write(folder, data):
    """Return a file with this text or these bytes."""
    path = folder / "text.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("limits", [{}, {"min_freq": 4}])
def test_ids_are_those_of_the_whole_text(small, tmp_path, level, limits):
    """At every level, wherever a piece ends; so are the vocabulary and what evaluation needs."""
    limits = {} if level == "byte" else limits
    whole = Vocab.from_text(TEXT, level, **limits)
    pieces = open_source(write(tmp_path, TEXT))
    vocab = Vocab.from_text(pieces, level, **limits)
    assert vocab == whole
    assert vocab.eot_id is None
    ids, length = encode_pieces(pieces, vocab)
    assert length == len(TEXT)
    assert ids.dtype == whole.encode(TEXT).dtype
    np.testing.assert_array_equal(ids, whole.encode(TEXT))
    for unknown in (None, "skip"):
        np.testing.assert_array_equal(
            encode_source(pieces, vocab, unknown)[0], vocab.encode(TEXT, unknown=unknown)
        )
    assert spelling_bits(vocab, pieces, ids, 2.0) == spelling_bits(vocab, TEXT, ids, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_random_texts(level):
    """Any order of letters, marks, signs and white space, cut anywhere."""
    rng = np.random.default_rng(0)
    alphabet = np.array(list("aB1'’.!,ภ東\u0301\u200d\u00a0\x1c\x85é😀🇩  \n\n\t"))  # noqa: RUF001
    for _ in range(60):
        text = "".join(rng.choice(alphabet, 40))
        cuts = np.sort(rng.integers(0, 41, 6)).tolist()
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, 40], strict=True)]
        pieces = Pieces(lambda parts=parts: iter(parts))
        vocab = Vocab.from_text(pieces, level)
        assert vocab == Vocab.from_text(text, level)
        assert encode_pieces(pieces, vocab)[0].tolist() == vocab.encode(text).tolist()


@pytest.mark.parametrize(
    "data",
    [
        "é\r\n\r\r\n\n😀\r".encode(),
        b"\xef\xbb\xbfmark\r\n",
        gzip.compress("naïve\r\n".encode()) + gzip.compress(b"\ntwo members"),
    ],
)
def test_a_file_in_pieces_is_the_file(small, tmp_path, data):
    """Characters and line ends that two pieces share are read as one."""
    path = write(tmp_path, data)
    assert "".join(read_pieces(path)) == read_file(path)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8"])
def test_other_encodings(small, tmp_path, encoding):
    """They are decoded piece by piece, too."""
    path = write(tmp_path, "naïve\r\ntext".encode(encoding))
    assert "".join(read_pieces(path, encoding)) == "naïve\ntext"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"plain\nna\xefve", r"byte 0xef at byte offset 8\. That line would read in cp1252"),
        (b"plain\x00text", "NUL byte at byte offset 5"),
        ("text".encode("utf-16"), "The file is UTF-16"),
        (b"%PDF-1.7", "The file is a PDF document"),
        (gzip.compress(bytes(range(256)) * 9)[:-9], "The compressed file is damaged"),
        ("cut off 😀".encode()[:-1], "is not UTF-8: byte 0xf0 at byte offset 8"),
    ],
)
def test_a_fault_in_a_piece_is_named_as_in_the_whole_file(small, tmp_path, data, message):
    """With its place in the file, whichever piece it is in."""
    path = write(tmp_path, data)
    with pytest.raises(DataError, match=f"{message}.*Received: "):
        read_corpus(path, "char")


def test_an_unknown_token_in_a_later_piece(small, tmp_path):
    """It is named, and where it is."""
    path = write(tmp_path, "a" * 64 + "b?ab")
    with pytest.raises(UnknownTokenError, match=r"'\?' \(U\+003F\) at index"):
        read_corpus(path, "char", Vocab("ab"))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "word"])
def test_a_corpus_of_a_file_is_that_of_its_text(small, tmp_path, level):
    """With a file for validation, too; the one is cut from the other as documents are."""
    path, valid = write(tmp_path, TEXT), tmp_path / "valid.txt"
    valid.write_text("The new mat\n" * 2, encoding="utf-8")
    for held in (None, valid):
        text = None if held is None else held.read_text(encoding="utf-8")
        one = read_corpus(path, level, validation_data=held)
        other = read_corpus(TEXT, level, validation_data=text)
        assert one.vocab == other.vocab
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.valid_ids, other.valid_ids)
        assert one.chars_per_token == other.chars_per_token
        assert one.spelling == pytest.approx(other.spelling)


def test_ids_are_small(tmp_path):
    """A character of a text with an emoji takes one byte, a word of many takes two."""
    path = write(tmp_path, "abc 😀\n" * 100)
    assert read_corpus(path, "char").ids.itemsize == 1
    words = write(tmp_path, " ".join(map(str, range(300))) * 2)
    assert read_corpus(words, "word").ids.itemsize == 2
