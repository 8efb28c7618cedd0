"""What a user hands over becomes one string, and nothing is lost or guessed on the way."""

import bz2
import functools
import gzip
import hashlib
import lzma
import re
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn import datasets
from textrnn.datasets import fetch_tinyshakespeare, load_human_numbers, load_python_docs
from textrnn.errors import DataError
from textrnn.text.sources import read_text, split


def write(folder, data, name="text.txt"):
    """Write bytes to a file in a folder and give its path."""
    path = folder / name
    path.write_bytes(data)
    return path


# -- read_text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["a", "two\nlines", "a\r\nb\rc", "\x00", "\ud800", "\ufeff", "naïve 👩‍👩‍👧", "x" * 300]
)
def test_a_str_is_the_text_itself(text):
    """A string comes back as it is, with its line ends and whatever stands at its start."""
    assert read_text(text) == text


@pytest.mark.parametrize("text", ["no such file.txt", "a" * 259, ".", "..", "/", "a\x00b"])
def test_a_str_that_names_no_file_is_text(text):
    """What could be a path, but is no file, is text."""
    assert read_text(text) == text


@pytest.mark.parametrize("make", [str, lambda path: path.name])
def test_a_str_that_names_a_file_is_refused(tmp_path, monkeypatch, make):
    """The name of a file that exists is most likely a mistake, and the message has the cure."""
    name = make(write(tmp_path, b"to be"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"pass Path\('.*text\.txt'\)\. Received: '"):
        read_text(name)


def test_a_str_with_a_line_break_is_text(tmp_path, monkeypatch):
    """A text of two lines is text, even if a file has that name."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, b"to be", name="a\nb")
    assert read_text("a\nb") == "a\nb"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"to be", "to be"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        ("naïve 👩‍👩‍👧".encode(), "naïve 👩‍👩‍👧"),
        (b"\x01\x0c\x1c", "\x01\x0c\x1c"),
        (b"\xef\xbb\xbfto be", "to be"),
        (b"a\xef\xbb\xbfb", "a\ufeffb"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa"),
    ],
)
def test_a_path_is_a_utf8_file(tmp_path, data, expected):
    """A file is decoded; nothing changes but line ends and a byte order mark at its start."""
    assert read_text(write(tmp_path, data)) == expected


def test_path_and_str_agree(tmp_path):
    """A file is the text that Python reads from it."""
    path = write(tmp_path, b"one\r\ntwo\n")
    assert read_text(path) == path.read_text(encoding="utf-8")


def test_documents_are_joined_by_line_breaks(tmp_path):
    """Strings and paths in any iterable become one text."""
    path = write(tmp_path, b"\xef\xbb\xbfsecond\r\n")
    documents = ["first", path, "", "third"]
    expected = "first\nsecond\n\nthird"  # an empty document is none
    assert read_text(documents) == expected
    assert read_text(tuple(documents)) == expected
    assert read_text(document for document in documents) == expected


@pytest.mark.parametrize("text", ["", [], [""], iter(())])
def test_an_empty_text_is_refused(text):
    """There must be at least one character."""
    with pytest.raises(DataError, match=r"The text is empty\. Received: "):
        read_text(text)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, data):
    """A file without a character is named in the message, and so is one of a mark alone."""
    with pytest.raises(DataError, match=r"The text is empty\. Received: .*text\.txt"):
        read_text(write(tmp_path, data))


@pytest.mark.parametrize("text", [b"abc", bytearray(b"abc")])
def test_bytes_are_to_be_decoded(text):
    """Bytes are a TypeError that says how to make text of them."""
    with pytest.raises(TypeError, match=r"text\.decode\('utf-8'\)\. Received: byte.* length 3"):
        read_text(text)


@pytest.mark.parametrize("text", [None, 5, 1.5, object()])
def test_other_types_are_refused(text):
    """What is neither text nor a collection is a TypeError that names its type."""
    expected = rf"must be str, a Path or a list of documents\. Received: {type(text).__name__}"
    with pytest.raises(TypeError, match=expected):
        read_text(text)


@pytest.mark.parametrize("document", [1, None, b"abc", ["nested"]])
def test_documents_are_str_or_path(document):
    """A document of another type is a TypeError with its index."""
    with pytest.raises(TypeError, match=r"`text\[1\]` must be a document: str or Path\. Rec"):
        read_text(["first", document])


@pytest.mark.parametrize("offset", [0, 1, 5000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_that_is_not_utf8_says_where(tmp_path, offset, mark):
    """The message has the bad byte and its offset in the file, mark included, and the cure."""
    path = write(tmp_path, mark + b"a" * offset + "é".encode("latin-1") + b"\nb")
    where = f"byte 0xe9 at byte offset {len(mark) + offset}\\. That line would read in "
    with pytest.raises(DataError, match=rf"{where}.*encoding='cp12.*Received: '.*text\.txt"):
        read_text(path)


@pytest.mark.parametrize(
    ("encoding", "bom", "said"),
    [
        ("utf-16-le", b"\xff\xfe", "is UTF-16; .*encoding='utf-16'"),
        ("utf-16-be", b"\xfe\xff", "is UTF-16; .*encoding='utf-16'"),
        ("utf-32-le", b"\xff\xfe\0\0", "is UTF-32; .*encoding='utf-32'"),
        ("utf-32-be", b"\0\0\xfe\xff", "is UTF-32; .*encoding='utf-32'"),
        ("utf-16-le", b"", "looks like UTF-16; .*encoding='utf-16-le'"),
        ("utf-16-be", b"", "looks like UTF-16; .*encoding='utf-16-be'"),
    ],
)
def test_wide_encodings_are_named(tmp_path, encoding, bom, said):
    """With a byte order mark or without; what the message says helps."""
    path = write(tmp_path, bom + "to be\r\n".encode(encoding))
    with pytest.raises(DataError, match=said) as caught:
        read_text(["first", path])
    advised = re.search("encoding='(.*?)'", str(caught.value))[1]
    assert read_text(path, encoding=advised) == "to be\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.7 and so on", "is a PDF document, not a text"),
        (b"PK\x03\x04rest", "is a zip archive, as .docx, .odt and .epub"),
        (b"{\\rtf1 text}", "is an RTF document"),
        (b"text with a \0 in it", "NUL byte at byte offset 12"),
        (b"\x1f\x8b cut short", "compressed file is damaged"),
    ],
    ids=["pdf", "zip", "rtf", "nul", "gzip"],
)
def test_what_is_no_text_is_named(tmp_path, data, said):
    """It is never trained on in silence."""
    with pytest.raises(DataError, match=f"{said}.*Received: '.*text"):
        read_text(write(tmp_path, data))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_read_through(tmp_path, compress):
    """Whatever they are called."""
    assert read_text(write(tmp_path, compress("naïve\r\n".encode()))) == "naïve\n"


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("cp1252", "“It\u2019s fine” \u2013 he said, café"),
        ("cp1250", "Zażółć gęślą jaźń \u2013 tak"),
        ("iso-8859-2", "jesteś jak zdrowie"),
        ("cp1251", "Мой дядя самых честных правил"),
        ("koi8-r", "Мой дядя самых честных правил"),
        ("cp1253", "Καλημέρα κόσμε"),
    ],
)
def test_other_encodings_are_shown_as_they_would_read(tmp_path, encoding, line):
    """Among them is the right one, with the line as its author wrote it."""
    path = write(tmp_path, f"plain\r\n{line}\r\nplain".encode(encoding))
    with pytest.raises(DataError, match="would read in") as caught:
        read_text(path)
    assert f"{encoding}: {line!r}" in str(caught.value)
    assert read_text(path, encoding=encoding) == f"plain\n{line}\nplain"


def test_a_folder_is_its_text_files(tmp_path):
    """Sorted, those below it too; hidden and binary files are left out."""
    for name, data in {
        "b.txt": b"second", "a.md": b"first", "c/d": b"third", ".hidden": b"x",
        "picture.png": b"\x89PNG\r\n", "empty": b"", "z": b"a\0b",
    }.items():  # fmt: skip
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert read_text(tmp_path / "folder") == "first\nsecond\nthird"
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="The folder has no text files"):
        read_text(tmp_path / "nothing")


def test_a_missing_file_stays_an_oserror(tmp_path):
    """A file that cannot be read raises what Python raises, with the path."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
        read_text(tmp_path / "nothing.txt")


# -- split -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(text=st.text(min_size=4, max_size=200), part=st.floats(0, 1, exclude_max=True))
def test_the_parts_are_the_text_and_validation_is_its_end(text, part):
    """Nothing is lost or doubled, and the end is as long as asked for, give or take one."""
    try:
        train, valid = split(text, part)
    except DataError:
        assert not 2 <= part * len(text) <= len(text) - 3
    else:
        assert train + valid == text
        assert abs(len(valid) - part * len(text)) < 1


def test_ids_are_split_like_text():
    """An array of ids gives two views of it."""
    ids = np.arange(10)
    train, valid = split(ids, 0.2)
    assert train.tolist() == list(range(8))
    assert np.shares_memory(ids, valid)


def test_no_split_is_no_validation():
    """A split of 0 leaves the whole text for training."""
    assert split("ab", 0) == ("ab", "")


@pytest.mark.parametrize(
    ("part", "train", "valid"), [(0.999, 0, 100), (0.001, 99, 1), (1e-18, 100, 0), (0.985, 1, 99)]
)
def test_a_part_that_is_too_short_is_refused(part, train, valid):
    """Both parts need two tokens, and the message has both lengths."""
    expected = f"Received: {train} tokens for training, {valid} for validation"
    with pytest.raises(DataError, match=expected):
        split("x" * 100, part)


@pytest.mark.parametrize("part", [1, -0.1, 1.5, float("nan")])
def test_a_split_out_of_range_is_refused(part):
    """A split is a part: from 0 to below 1."""
    with pytest.raises(ValueError, match=r"`validation_split` must be a number in \[0, 1\)"):
        split("to be or not", part)


@pytest.mark.parametrize("part", [None, "0.1", True])
def test_a_split_is_a_number(part):
    """Anything but a number is a TypeError."""
    with pytest.raises(TypeError, match=r"`validation_split` must be a number in \[0, 1\)"):
        split("to be or not", part)


# -- texts at hand ---------------------------------------------------------------------------

SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen""".split()  # noqa: SIM905
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
VALUES = {w: i for i, w in enumerate(SMALL)} | {w: 10 * i for i, w in enumerate(TENS, 2)}


def read_number(line):
    """Read a number in words."""
    total = 0
    for word in line.split(" "):
        if word == "thousand":
            total *= 1000
        elif word == "hundred":
            total += total % 1000 * 99
        else:
            total += VALUES[word]
    return total


def test_human_numbers_read_back():
    """Each of the 9,999 lines is the number of its line, in 29 different words."""
    lines = load_human_numbers().split("\n")
    assert [read_number(line) for line in lines] == list(range(1, 10_000))
    assert len({word for line in lines for word in line.split(" ")}) == 29


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "one"),
        (20, "twenty"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (317, "three hundred seventeen"),
        (1000, "one thousand"),
        (2001, "two thousand one"),
        (9999, "nine thousand nine hundred ninety nine"),
    ],
)
def test_human_numbers_as_one_writes_them(number, words):
    """Numbers are spelled without "and", hyphens or zeros."""
    assert load_human_numbers(number, number) == words


@pytest.mark.parametrize(("first", "last"), [(0, 5), (5, 4), (1, 10_000), (-3, -1)])
def test_human_numbers_out_of_range(first, last):
    """A range that is empty or beyond four digits is a ValueError that has it."""
    with pytest.raises(ValueError, match=f"Received: first={first}, last={last}"):
        load_human_numbers(first, last)


def test_python_docs_are_the_pages_that_python_ships():
    """Every topic of the language reference is in the text, in the order of their names."""
    from pydoc_data.topics import topics

    text = load_python_docs()
    assert len(text) == sum(map(len, topics.values())) + len(topics) - 1
    assert text.startswith(topics[min(topics)])
    assert text.endswith(topics[max(topics)])


# -- downloads -------------------------------------------------------------------------------

DATA = b"\xef\xbb\xbfFirst Citizen:\r\nBefore we proceed any further, hear me speak.\n"
TEXT = DATA[3:].decode().replace("\r\n", "\n")  # as open() reads line ends
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder to keep downloads in, and no proxy on the way to this machine."""
    monkeypatch.setenv("TEXTRNN_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path):
    """A web server on this machine with one file; gives its folder and the file's address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    write(folder, DATA, "input.txt")
    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/input.txt"
        server.shutdown()
        thread.join()


def test_a_download_is_checked_read_and_kept(site, cache):
    """A file with the right sha256 is read as text, and a second call needs no network."""
    folder, url = site
    assert datasets._fetch("small.txt", url, SHA256) == TEXT
    (folder / "input.txt").unlink()
    assert datasets._fetch("small.txt", url, SHA256) == TEXT
    assert [path.read_bytes() for path in cache.iterdir()] == [DATA]


def test_a_download_with_another_hash_is_refused(site, cache):
    """A file that is not the one we know is not read, and not kept."""
    _, url = site
    with pytest.raises(ValueError, match=r"SHA256 hash .*does not match"):
        datasets._fetch("small.txt", url, SHA256[::-1])
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_wrong_file_in_the_cache_is_replaced(site, cache):
    """A file in the cache is checked, too, and fetched anew if it is another one."""
    cache.mkdir()
    write(cache, b"something else", "small.txt")
    assert datasets._fetch("small.txt", site[1], SHA256) == TEXT
    assert (cache / "small.txt").read_bytes() == DATA


def test_a_file_that_is_not_there_is_an_oserror(site, cache):
    """What the server does not have is an OSError."""
    with pytest.raises(OSError, match=r"404.*elsewhere\.txt"):
        datasets._fetch("small.txt", site[1].replace("input", "elsewhere"), SHA256)


def test_tinyshakespeare_is_never_read_unchecked(cache, monkeypatch):
    """A wrong file under its name is not taken for it, even where it cannot be downloaded."""
    cache.mkdir()
    write(cache, b"something else", "tinyshakespeare.txt")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(OSError, match=r"raw\.githubusercontent\.com"):
        fetch_tinyshakespeare()


def test_without_pooch_there_is_a_hint(monkeypatch):
    """Without pooch the error says what to install."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'needs pooch: pip install "textrnn\[datasets\]"'):
        fetch_tinyshakespeare()
