"""What is no text, and is passed for one by mistake, is an error with what was meant."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest

from textrnn.errors import DataError
from textrnn.text.sources import read_text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Make a folder with two texts the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "README", "emma"):
        Path(name).write_text(f"the story of {name}\n")
    Path("texts").mkdir()
    return tmp_path


# One str


@pytest.mark.parametrize(
    "text",
    [
        *("novel.txt", "my_novel_final_version_2.txt", "corpus.jsonl.gz", "Роман.txt", "a.7z"),
        *("/home/anna/Documents/novel", "data/novel", "./novel", "../texts/novel.txt", "corpus/"),
        *(r"C:\Users\anna\novel.txt", "C:/novel", r"data\novel", r"\\server\share\novel"),
        *("/home/anna/My Documents/novel.txt", r"C:\My Documents\novel.txt"),
    ],
)
def test_a_str_that_looks_like_a_file_name(text):
    """It is refused although there is no such file, with the two things it may have meant."""
    message = re.escape(f"pass Path({text!r}); if it is a text, pass [text]. Received: {text!r}")
    with pytest.raises(DataError, match=message):
        read_text(text)
    assert read_text([text]) == text


def test_a_str_that_begins_at_home():
    """Path does not know what ~ is, so the message says how it learns it."""
    with pytest.raises(DataError, match=re.escape("pass Path('~/novel.txt').expanduser(); if")):
        read_text("~/novel.txt")


@pytest.mark.parametrize("text", ["http://a.org/novel", "https://a.org/x.txt?y=1", "s3://b/novel"])
def test_a_str_that_looks_like_an_address(text):
    """Nothing is read from the network."""
    with pytest.raises(DataError, match=r"an address\. Download the file, and pass Path\(its name"):
        read_text(text)


def test_a_str_that_names_a_folder():
    """Path reads all the files in it."""
    with pytest.raises(DataError, match=re.escape("To read the folder, pass Path('texts').")):
        read_text("texts")


@pytest.mark.parametrize(
    "text",
    [
        *("hello", "abracadabra", "hello world.", "The end.", "3.14159", "and/or what", "</s>"),
        *(
            "see novel.txt",
            "see http://a.org/novel",
            "ab\n/home/anna",
            "ACGTACGT",
            "...",
            "a/b " * 99,
        ),
        *("x.txt" * 99, "what?/", "1. e4 e5 2. Nf3", "~", "e.g.", "12:30"),
    ],
)
def test_a_text_is_no_file_name(text):
    """One word, a sentence, and anything of several lines is trained on."""
    assert read_text(text) == text


# Documents


@pytest.mark.parametrize(
    "names",
    [
        ["a.txt", "b.txt"],
        ["an introduction", "b.txt"],
        ["README", "emma"],
        [os.path.join("..", "novel.txt"), "other.txt"],
        ["novel.txt", "my other novel.txt"],
        ["https://a.org/1", "https://a.org/2"],
        ["/home/anna/1", "/home/anna/2"],
    ],
)
@pytest.mark.parametrize("kind", [list, tuple, iter, np.array])
def test_file_names_for_documents(names, kind):
    """What glob.glob and os.listdir give is no text; the message has the expression to use."""
    if "my other novel.txt" in names:
        Path("my other novel.txt").write_text("a story")
    with pytest.raises(DataError, match=re.escape("pass [Path(name) for name in names]; if")):
        read_text(kind(names))


@pytest.mark.parametrize(
    "documents",
    [
        ["emma", "olivia", "ava"],
        ["hello"],
        ["km/h", "m/s"],
        ["google.com", "python.org"],
        ["we met in and/or at", "see a.txt or b.txt there"],
        ["A", "Be", "C"],
        ["", "x"],
        ["x.txt\nis a file", "a.txt\nas well"],
        ["/unknown", "a text"],
    ],
)
def test_documents_that_look_odd_are_documents(documents):
    """Names, units, domains: what people make new ones of."""
    assert read_text(documents) == "\n".join(filter(None, documents))


@pytest.mark.parametrize("text", ["ab", "the cat sat"])
def test_characters_one_by_one(text):
    """list(text) would put a line break after every letter."""
    with pytest.raises(DataError, match=re.escape("pass the str, or ''.join(text). Received: [")):
        read_text(list(text))


def test_lines_that_keep_their_breaks_are_one_text():
    """What an open file gives line by line is the file, with no line break doubled."""
    text = "first line\nsecond line\n\nthird\n"
    Path("poem.txt").write_text(text)
    with open("poem.txt") as file:
        assert read_text(file) == text
    with open("poem.txt") as file:
        assert read_text(file.readlines()) == text
    assert read_text(io.StringIO(text)) == text
    assert read_text(text.splitlines(True)) == text
    assert read_text(io.StringIO(text + "no break")) == text + "no break"
    assert read_text(["one\n", "two", "three\n"]) == "one\n\ntwo\nthree\n"  # documents


# Tables


class Table:
    """A table as pandas and polars have it: iterating gives the names of its columns."""

    columns = ("id", "tweet_text")

    def __iter__(self):
        return iter(self.columns)


class Dataset:
    """A table as Hugging Face's datasets has it: iterating gives its rows."""

    column_names = ("id", "tweet_text")

    def __iter__(self):
        return iter([{"id": 1, "tweet_text": "good morning"}])


@pytest.mark.slow
@pytest.mark.parametrize("table", [Table(), Dataset()])
def test_a_table_for_its_column(table):
    """The names of the columns are in the message, since one of them is meant."""
    message = r"pass df\[column\]\. Its columns: 'id', 'tweet_text'\. Received: (Table|Dataset)"
    with pytest.raises(TypeError, match=message):
        read_text(table)


def test_a_mapping_for_one_of_its_values():
    """A dict of splits or of columns."""
    message = r"pass data\[key\]\. Its keys: 'train', 'test'\. Received: dict"
    with pytest.raises(TypeError, match=message):
        read_text({"train": ["good morning"], "test": ["good night"]})


def test_rows_for_their_texts():
    """What csv.DictReader and JSON lines give."""
    rows = [{"id": 1, "tweet": "good morning"}, {"id": 2, "tweet": "good night"}]
    with pytest.raises(TypeError, match=re.escape("pass [row['tweet'] for row in rows]. Received")):
        read_text(rows)
