"""Rows 1 to 17 of the fault table: texts that are not what was meant."""

import os
import re
import subprocess
import sys
import tracemalloc
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.inputs import FIT, learned, make
from textrnn import ContiguousBatcher, TextGenerator, Vocab, load_sampler
from textrnn.errors import DataError, UnknownTokenError
from textrnn.text.corpus import read_corpus

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that the examples of a property share."""
    return tmp_path_factory.mktemp("inputs")


def assert_untouched(gen):
    """Assert that nothing was allocated for a text that was refused."""
    assert (gen.model, gen.vocab, len(gen.history)) == (None, None, 0)


# Texts


@pytest.mark.parametrize("case", ["", "\ufeff", [], [""], b"", b"\xef\xbb\xbf"], ids=ascii)
def test_01_empty_text(tmp_path, case):
    """No text, or a byte order mark alone, is refused before anything is made."""
    if isinstance(case, bytes):
        tmp_path.joinpath("file").write_bytes(case)
        case = tmp_path / "file"
    gen = make("lstm")
    message = "at least 2 tokens" if case == "\ufeff" else "The text is empty. Received: "
    with pytest.raises(DataError, match=message):
        gen.fit(case, **FIT)
    assert_untouched(gen)


@pytest.mark.parametrize("length", range(1, 35))
def test_02_text_shorter_than_a_batch(length):
    """Batch, then seq_len shrink, which one warning says; only fewer than 2 tokens are refused."""
    ids, b, t = np.arange(length), 4, 8
    if length < 2:
        with pytest.raises(DataError, match=r"at least 2 tokens.*Received: 1 tokens"):
            ContiguousBatcher(ids, batch_size=b, seq_len=t)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batcher = ContiguousBatcher(ids, batch_size=b, seq_len=t)
    used = f"using batch_size={batcher.batch_size} and seq_len={batcher.seq_len}"
    assert [used in str(w.message) for w in caught] == [True] * (length < b * t + 1)
    assert batcher.seq_len == min(t, length - 1)  # the batch is what shrinks first
    batches = list(batcher)
    assert batches
    assert all((y == x + 1).all() for x, y in batches)


@pytest.mark.parametrize("length", [2, 3, 9, 32])
def test_02_short_texts_are_learnt(length):
    """So it is for ``fit``: a text of two characters is learned, with one warning."""
    gen = make("rnn")
    with pytest.warns(UserWarning, match="too short for batch_size=4 and seq_len=8") as caught:
        gen.fit("ab" * 16 if length == 32 else "abcdefghi"[:length], validation_split=0, **FIT)
    assert len(caught) == 1
    assert len(gen.generate("a", 5)) == 6


@pytest.mark.parametrize("length", [4, 5, 7, 100, 1500, 1999])
@pytest.mark.parametrize("split", [0.9999, 1e-9])
def test_03_validation_split_that_leaves_too_little(length, split):
    """Both lengths and the splits that can be had are named, and those can be had."""
    text = "ab" * length
    with pytest.raises(
        DataError, match=r"Received: \d+ tokens for training, \d+ for validation$"
    ) as info:
        make().fit(text[:length], validation_split=split, **FIT)
    found = re.search(r"`validation_split` from (\S+) to (\S+) \(0 is none\)", str(info.value))
    for bound in found.groups():
        make().fit(text[:length], validation_split=float(bound), **FIT)


def test_03_a_text_that_no_split_suits():
    """Of 3 tokens none can be spared."""
    with pytest.raises(DataError, match=r"another `validation_split` \(0 is none\)"):
        make().fit("abc", **FIT)


@pytest.mark.parametrize("model", ["ngram", "lstm", "window_mlp"])
def test_04_one_distinct_character(model):
    """It is learned with loss 0, and written."""
    gen = learned("a" * 1000, model)
    perfect = {"loss": 0, "bits_per_char": 0, "perplexity": 1, "accuracy": 1}
    assert gen.evaluate("a" * 1000) == perfect
    assert gen.generate("a", 30, temperature=0) == "a" * 31
    assert gen.generate("", 30, temperature=5.0) == "a" * 30


@pytest.mark.parametrize("text", [b"abc", bytearray(b"abc"), None, 5, [97, 98], [b"a"]], ids=str)
@pytest.mark.parametrize("method", ["fit", "evaluate", "surprisals", "generate", "stream", "state"])
def test_05_what_is_no_text(numbers, method, text):
    """Bytes, numbers and None are a TypeError that says what to do; so they are as prompts."""
    gen = make() if method == "fit" else numbers
    with pytest.raises(TypeError, match=r"must be (a document: )?str.*Received: "):
        getattr(gen, method)(text)
    if method == "fit":
        assert_untouched(gen)


def test_06_path_or_text(tmp_path, monkeypatch):
    """A str is text, a Path is a file; a str that names a file is refused with that advice."""
    monkeypatch.chdir(tmp_path)
    Path("data.txt").write_text("abcabc")
    with pytest.raises(DataError, match=r"pass Path\('data.txt'\)"):
        make().fit("data.txt", **FIT)
    assert set(learned(Path("data.txt")).vocab) == set("abc")
    with pytest.raises(DataError, match=r"correct the name and pass Path\('other.txt'\)"):
        make().fit("other.txt", **FIT)
    assert set(learned("data.txt\n").vocab) == set("data.txt\n")
    with pytest.raises(FileNotFoundError, match=r"other\.txt"):
        make().fit(Path("other.txt"), **FIT)


@pytest.mark.parametrize("offset", [0, 1, 17, 5000])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_07_invalid_utf8(tmp_path, offset, encoding):
    """The offset of the first bad byte is named, and how to read another encoding."""
    path = tmp_path / "text"
    path.write_bytes(b"a" * offset + "é".encode(encoding) + b"b" * 9)
    gen = make()
    message = rf"byte 0xe9 at byte offset {offset}\. .*read_text\(Path\(.*encoding='cp1252'"
    with pytest.raises(DataError, match=message):
        gen.fit(path, **FIT)
    assert_untouched(gen)


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("text", ["a\ud800b", "\udfff", "\ude00\ud83d", "\ud83d \ude00"], ids=ascii)
def test_08_lone_surrogates(tmp_path, text, level):
    """They are characters like others: learned, saved, loaded and written."""
    gen = learned(f"{text}\n" * 20, level=level)
    gen.save(tmp_path / "model")
    loaded = load_sampler(tmp_path / "model")
    assert loaded.vocab == gen.vocab
    assert loaded.vocab.decode(loaded.vocab.encode(text)) == text
    assert loaded.generate(text, 9, seed=0) == gen.generate(text, 9, seed=0)


def test_09_two_surrogates_side_by_side(tmp_path):
    """In a file, too, they stay two tokens and do not become one emoji."""
    gen = learned("\ud83d\ude00\U0001f600" * 20)
    gen.save(tmp_path / "model")
    for loaded in (load_sampler(tmp_path / "model"), TextGenerator.load(tmp_path / "model")):
        assert loaded.vocab.itos == ["\ud83d", "\ude00", "\U0001f600"]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_10_a_terminal_that_cannot_show_a_text(tmp_path, encoding):
    """What it cannot encode is written as escapes; a file or a pipe gets UTF-8."""
    text = "é\U0001f600\ud83dé"
    learned(text[1:] * 20).save(tmp_path / "model")
    command = [sys.executable, "-m", "textrnn", "generate", str(tmp_path / "model"), "é"]
    command += ["-n", "3", "--temperature", "0"]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    terminal, its_end = os.openpty()
    subprocess.run(command, env=env, stdout=its_end, check=True)
    os.close(its_end)
    assert os.read(terminal, 1000).strip() == text.encode(encoding, "backslashreplace")
    os.close(terminal)
    piped = subprocess.run(command, env=env, capture_output=True, check=True)
    assert piped.stdout.strip() == text.encode("utf-8", "backslashreplace")
    assert piped.stderr == b""


ODD = "\0\x01\x1b\x7f\x85\u2028\u2029\ufeff\ufffe\uffff\ud800\udfff\r\n\te\u0301é\u200d\U0010ffff"


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.text(st.characters() | st.sampled_from(ODD), min_size=2, max_size=40))
@pytest.mark.parametrize("level", ["char", "word"])
def test_11_any_characters(folder, level, text):
    """Whatever a str holds is learned, saved, loaded and given back as it was."""
    text = f"\n{text}"  # a text of one line may be the name of a file, which is refused
    gen = make(order=2, level=level)
    vocab = Vocab.from_text(text, level)
    gen.vocab = vocab
    try:
        gen.fit(text, validation_split=0, **FIT)
    except DataError as error:  # one word is no text to learn from
        assert "at least 2 tokens" in str(error)  # noqa: PT017
        assert len(vocab.encode(text)) < 2
        return
    gen.save(folder / "any")
    loaded = load_sampler(folder / "any")
    assert loaded.vocab == vocab
    assert loaded.vocab.decode(loaded.vocab.encode(text)) == text
    assert "".join(loaded.stream(text, 5, seed=1)) == gen.generate(text, 5, seed=1)


@pytest.mark.parametrize(
    "text", ["a\r\nb\r\n", "a\rb\r", "a\n\rb", "a\u2028b\x85c\x0bd"], ids=ascii
)
def test_12_line_ends(tmp_path, text):
    """A file gives what Python reads from it; a str is left as it is."""
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    read = path.read_text(encoding="utf-8")
    for source, expected in ((path, read), (read, read), (text, text)):
        corpus = read_corpus(source, "char", validation_split=0)
        assert corpus.vocab.decode(corpus.ids) == expected


@pytest.mark.parametrize(
    ("data", "symbols"),
    [
        (b"\xef\xbb\xbfab", "ab"),
        (b"\xef\xbb\xbfa\xef\xbb\xbfb", "ab\ufeff"),
        ("ab".encode("utf-16"), None),
        (b"\xfe\xff" + "ab".encode("utf-16-be"), None),
        ("ab".encode("utf-32"), None),
    ],
    ids=["utf-8", "twice", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_13_byte_order_marks(tmp_path, data, symbols):
    """UTF-8's is dropped where a file begins, and nowhere else; UTF-16 is said to be that."""
    path = tmp_path / "text"
    path.write_bytes(data)
    if symbols is None:
        with pytest.raises(DataError, match=r"is UTF-(16|32); .*encoding='utf-.*Received: "):
            make().fit(path, **FIT)
    else:
        assert learned(path).vocab == Vocab(symbols)
        assert "\ufeff" in learned("\ufeffab").vocab


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize(("model", "prompt"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_14_nfc_and_nfd(model, prompt, level):
    """Nothing is normalised; where that is the trouble with a prompt, the message says so."""
    text, asked = unicodedata.normalize(model, "né, "), unicodedata.normalize(prompt, "né")
    gen = learned(text * 20, level=level)
    with pytest.raises(UnknownTokenError, match="not in the vocabulary") as info:
        gen.generate(asked)
    assert f"Its {model} form is: pass unicodedata.normalize('{model}', text)." in str(info.value)
    assert gen.generate(unicodedata.normalize(model, asked), 1)


@pytest.mark.parametrize("prompt", ["x", "é", "e\u0301\u0301", "\u0301"], ids=ascii)
def test_14_no_advice_that_does_not_help(prompt):
    """A token whose other form is unknown, too, gets the usual advice."""
    with pytest.raises(UnknownTokenError, match="Leave such tokens out with unknown='skip'"):
        learned("abc" * 9).generate(prompt)


EMOJI = "👩‍👩‍👧🇳🇴🏳️‍🌈e\u0301ก็👍🏽"


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("seed", range(3))
def test_15_symbols_of_many_code_points(level, seed):
    """Code points are the units; a stream's pieces are the text, and no U+FFFD appears."""
    gen = learned(EMOJI * 30, level=level)
    text = gen.generate("", 60, seed=seed)
    assert "".join(gen.stream("", 60, seed=seed)) == text
    assert set(text) <= set(EMOJI)
    if level == "char":
        assert len(text) == 60


def test_16_a_large_file(tmp_path):
    """Reading a file takes its bytes once more, and making ids of it a byte a character."""
    path, n = tmp_path / "large", 2**25
    path.write_bytes(b"abcdefgh" * (n // 8))
    tracemalloc.start()
    try:
        corpus = read_corpus(path, "char")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(corpus.ids) + len(corpus.valid_ids) == n
    assert kept < n + 2**20
    assert peak < 2 * n + 2**25


@pytest.mark.slow
def test_17_more_symbols_than_two_bytes_hold(tmp_path):
    """The ids become wider; such a text is encoded, learned, saved, loaded and written."""
    text = "".join(map(chr, range(0x10000, 0x10000 + 70_000)))
    gen, neural = make(order=2), make("rnn", embedding_dim=2)
    gen.vocab = neural.vocab = Vocab.from_text(text)
    ids = gen.vocab.encode(text)
    assert (ids.dtype, len(gen.vocab)) == (np.uint32, 70_000)
    assert gen.vocab.decode(ids) == text
    gen.fit(text[:50] + text[-50:], validation_split=0, **FIT)
    gen.save(tmp_path / "model")
    assert load_sampler(tmp_path / "model").generate(text[-3], 2, temperature=0) == text[-3:]
    neural.fit(text[-40:], validation_split=0, **FIT)
    assert np.isfinite(neural.evaluate(text[-40:])["loss"])
