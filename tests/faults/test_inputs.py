"""Rows 1 to 32 of the fault table: texts and arguments that are not what was meant."""

import hashlib
import inspect
import itertools
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

from textrnn import ContiguousBatcher, TextGenerator, Vocab, load_sampler
from textrnn.datasets import load_human_numbers
from textrnn.errors import DataError, NotFittedError, TextRNNError, UnknownTokenError
from textrnn.generation.sampling import SamplingParams
from textrnn.text.corpus import read_corpus

pytestmark = pytest.mark.faults

TEXT = load_human_numbers(1, 110)
FIT = {"epochs": 1, "batch_size": 4, "seq_len": 8, "verbose": 0}
NAN, INF = float("nan"), float("inf")


def make(model="ngram", **arguments):
    """Make a small generator with a seed, on the CPU."""
    sizes = {"order": 4} if model == "ngram" else {"hidden_size": 4}
    return TextGenerator(model, **{"seed": 0, "device": "cpu", **sizes, **arguments})


def learnt(text, model="ngram", **arguments):
    """Return a small generator that has learnt a text."""
    gen = make(model, **arguments)
    gen.fit(text, validation_split=0, **FIT)
    return gen


@pytest.fixture(scope="module")
def numbers():
    """A generator that has counted numbers in words."""
    return learnt(TEXT)


@pytest.fixture(scope="module")
def gru():
    """A small GRU after one epoch."""
    return learnt(TEXT, "gru")


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
    """So it is for ``fit``: a text of two characters is learnt, with one warning."""
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
    """It is learnt with loss 0, and written."""
    gen = learnt("a" * 1000, model)
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
    assert set(learnt(Path("data.txt")).vocab) == set("abc")
    with pytest.raises(DataError, match=r"correct the name and pass Path\('other.txt'\)"):
        make().fit("other.txt", **FIT)
    assert set(learnt("data.txt\n").vocab) == set("data.txt\n")
    with pytest.raises(FileNotFoundError, match=r"other\.txt"):
        make().fit(Path("other.txt"), **FIT)


@pytest.mark.parametrize("offset", [0, 1, 17, 5000])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_07_invalid_utf8(tmp_path, offset, encoding):
    """The offset of the first bad byte is named, and how to read another encoding."""
    path = tmp_path / "text"
    path.write_bytes(b"a" * offset + "é".encode(encoding) + b"b" * 9)
    gen = make()
    message = rf"byte 0xe9 at byte offset {offset}\. .*read_text\(encoding='latin-1'\)"
    with pytest.raises(DataError, match=message):
        gen.fit(path, **FIT)
    assert_untouched(gen)


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("text", ["a\ud800b", "\udfff", "\ude00\ud83d", "\ud83d \ude00"], ids=ascii)
def test_08_lone_surrogates(tmp_path, text, level):
    """They are characters like others: learnt, saved, loaded and written."""
    gen = learnt(f"{text}\n" * 20, level=level)
    gen.save(tmp_path / "model")
    loaded = load_sampler(tmp_path / "model")
    assert loaded.vocab == gen.vocab
    assert loaded.vocab.decode(loaded.vocab.encode(text)) == text
    assert loaded.generate(text, 9, seed=0) == gen.generate(text, 9, seed=0)


def test_09_two_surrogates_side_by_side(tmp_path):
    """In a file, too, they stay two symbols and do not become one emoji."""
    gen = learnt("\ud83d\ude00\U0001f600" * 20)
    gen.save(tmp_path / "model")
    for loaded in (load_sampler(tmp_path / "model"), TextGenerator.load(tmp_path / "model")):
        assert loaded.vocab.itos == ["\ud83d", "\ude00", "\U0001f600"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_10_a_terminal_that_cannot_show_a_text(tmp_path, encoding):
    """What standard output cannot encode is written as escapes, lone surrogates as well."""
    learnt("\U0001f600\ud83dé" * 20).save(tmp_path / "model")
    command = ["generate", str(tmp_path / "model"), "é", "-n", "3", "--temperature", "0"]
    result = subprocess.run(
        [sys.executable, "-m", "textrnn", *command],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    expected = "é\U0001f600\ud83dé".encode(encoding, "backslashreplace")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.strip() == expected


ODD = "\0\x01\x1b\x7f\x85\u2028\u2029\ufeff\ufffe\uffff\ud800\udfff\r\n\te\u0301é\u200d\U0010ffff"


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters() | st.sampled_from(ODD), min_size=2, max_size=40))
@pytest.mark.parametrize("level", ["char", "word"])
def test_11_any_characters(folder, level, text):
    """Whatever a str holds is learnt, saved, loaded and given back as it was."""
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
    """They are kept, and a file gives what its text gives."""
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    from_file, from_str = (read_corpus(t, "char", validation_split=0) for t in (path, text))
    assert from_file.vocab == from_str.vocab == Vocab.from_text(text)
    assert from_file.vocab.decode(from_file.ids) == text


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
        with pytest.raises(DataError, match=r"looks like UTF-16; .*encoding='utf-16'.*Received: "):
            make().fit(path, **FIT)
    else:
        assert learnt(path).vocab == Vocab(symbols)
        assert "\ufeff" in learnt("\ufeffab").vocab


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize(("model", "prompt"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_14_nfc_and_nfd(model, prompt, level):
    """Nothing is normalised; where that is the trouble with a prompt, the message says so."""
    text, asked = unicodedata.normalize(model, "né, "), unicodedata.normalize(prompt, "né")
    gen = learnt(text * 20, level=level)
    with pytest.raises(UnknownTokenError, match="not in the vocabulary") as info:
        gen.generate(asked)
    assert f"Its {model} form is: pass unicodedata.normalize('{model}', text)." in str(info.value)
    assert gen.generate(unicodedata.normalize(model, asked), 1)


@pytest.mark.parametrize("prompt", ["x", "é", "e\u0301\u0301", "\u0301"], ids=ascii)
def test_14_no_advice_that_does_not_help(prompt):
    """A symbol whose other form is unknown, too, gets the usual advice."""
    with pytest.raises(UnknownTokenError, match="Leave such tokens out with unknown='skip'"):
        learnt("abc" * 9).generate(prompt)


EMOJI = "👩‍👩‍👧🇳🇴🏳️‍🌈e\u0301ก็👍🏽"


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("seed", range(3))
def test_15_symbols_of_many_code_points(level, seed):
    """Code points are the units; a stream's pieces are the text, and no U+FFFD appears."""
    gen = learnt(EMOJI * 30, level=level)
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


def test_17_more_symbols_than_two_bytes_hold(tmp_path):
    """The ids become wider; such a text is encoded, learnt, saved, loaded and written."""
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


# Prompts and lengths


@pytest.mark.parametrize("method", ["generate", "stream", "state", "evaluate", "surprisals"])
def test_18_an_unseen_character(numbers, method):
    """It is named with its code point and its place, and what to do about it."""
    size = len(numbers.vocab)
    message = rf"'ß' \(U\+00DF\) at index 7 is not in the vocabulary of {size} tokens\. Leave such"
    with pytest.raises(UnknownTokenError, match=message):
        getattr(numbers, method)("one twoß")


def test_18_leaving_unseen_characters_out(numbers):
    """Skipping them is asked for, not done in silence."""
    vocab = numbers.vocab
    assert vocab.decode(vocab.encode("one twoß", unknown="skip")) == "one two"


@pytest.mark.parametrize("length", [0, 1, 30])
def test_19_an_empty_prompt(numbers, gru, length):
    """It begins as after a line break, and the text is as long as was asked."""
    for gen in (numbers, gru):
        text = gen.generate("", length, seed=1)
        assert len(text) == length
        assert text == gen.generate("\n", length, seed=1, include_prompt=False)


def test_20_temperature_0(numbers, gru):
    """It is greedy: equal to top_k=1, whatever the seed and whatever else was drawn."""
    for gen in (numbers, gru):
        texts = [gen.generate("one", 40, temperature=0, seed=seed) for seed in (None, 0, 1)]
        texts += gen.generate("one", 40, temperature=0, num_return_sequences=2)
        texts += [gen.generate("one", 40, top_k=1, seed=3)]
        assert len(set(texts)) == 1
    rng = np.random.default_rng(0)
    SamplingParams(temperature=0).choose(np.arange(5.0), rng)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("method", ["generate", "stream"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((value, ValueError) for value in (-1, -1e-9, NAN, INF, 10**400)),
        *((value, TypeError) for value in ("1", True, None)),
    ],
    ids=lambda value: str(value)[:9],
)
def test_21_temperatures_that_cannot_be(numbers, method, value, error):
    """The range is named; a stream says it at the call."""
    with pytest.raises(error, match=r"`temperature` must be a number of at least 0\. Received: "):
        getattr(numbers, method)("one", temperature=value)


@pytest.mark.parametrize("exponent", [*range(-1, -46, -1), -100, -323])
def test_22_tiny_temperatures(gru, exponent):
    """The colder the more certain: probabilities stay finite, and the coldest are greedy."""
    logits = gru.state("one").logits[0]
    p = SamplingParams(temperature=10.0**exponent).probabilities(logits)
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1)
    if exponent < -6:
        assert p[logits.argmax()] == 1
        cold = gru.generate("one", 20, temperature=10.0**exponent, seed=0)
        assert cold == gru.generate("one", 20, temperature=0)


@pytest.mark.parametrize("prompt", ["", "one"])
@pytest.mark.parametrize("arguments", [{}, {"temperature": 0}, {"stop_strings": "one"}], ids=str)
def test_23_no_new_tokens(numbers, prompt, arguments):
    """There is the prompt, or nothing."""
    assert numbers.generate(prompt, 0, **arguments) == prompt
    assert numbers.generate(prompt, 0, include_prompt=False, **arguments) == ""
    assert "".join(numbers.stream(prompt, 0, **arguments)) == prompt


@pytest.mark.parametrize("method", ["generate", "stream"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (5.0, TypeError), (True, TypeError), ("5", TypeError), (None, TypeError)],
)
def test_24_lengths_that_cannot_be(numbers, method, value, error):
    """A length is a whole number from 0."""
    with pytest.raises(error, match=r"`max_new_tokens` must be .*Received: "):
        getattr(numbers, method)("one", value)


@pytest.mark.parametrize("arguments", [{}, {"stop_strings": "xyz"}], ids=str)
def test_24_a_length_without_end(numbers, arguments):
    """A stream of 10**12 tokens is begun, left and forgotten, in little memory."""
    numbers.generate("one", 5)  # what is made once is made now
    tracemalloc.start()
    try:
        stream = numbers.stream("one", 10**12, seed=0, **arguments)
        pieces = list(itertools.islice(stream, 300))
        stream.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(pieces) == 300
    assert peak < 2**20


# Sampling


@pytest.mark.parametrize("top_k", [10**9, 10**30, 1000])
def test_25_top_k_above_the_vocabulary(numbers, top_k):
    """It is all symbols, as None is."""
    assert numbers.generate("one", 40, seed=2, top_k=top_k) == numbers.generate("one", 40, seed=2)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_25_top_k_that_cannot_be(numbers, value, error):
    """It is a whole number from 1."""
    with pytest.raises(error, match=r"`top_k` must be .*Received: "):
        numbers.generate("one", top_k=value)


OUT_OF_RANGE = {
    "top_p": [0, -0.1, 1.0001, NAN, INF],
    "min_p": [-0.1, 1.1, NAN, INF],
    "repetition_penalty": [0, -1, NAN, INF],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]]
)
def test_26_settings_out_of_range(numbers, name, value):
    """Each is refused with the range that it must be in."""
    with pytest.raises(ValueError, match=f"`{name}` must be a number .*Received: "):
        numbers.generate("one", **{name: value})


def test_26_settings_that_change_nothing(numbers):
    """top_p=1, min_p=0 and a penalty of 1 leave the text as it is."""
    text = numbers.generate("one", 60, seed=4)
    for setting in ({"top_p": 1}, {"min_p": 0}, {"repetition_penalty": 1}):
        assert numbers.generate("one", 60, seed=4, **setting) == text


LOGITS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from(
    [0.0, -INF, 1.0, -1.0, 3e38, 1e-45]
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(LOGITS, min_size=2, max_size=8),
    st.fixed_dictionaries(
        {
            "temperature": st.sampled_from([0, 1e-45, 1e-3, 1, 50, 1e300]) | st.floats(0, 10),
            "top_k": st.sampled_from([None, 1, 2, 10**9]),
            "top_p": st.sampled_from([None, 1e-300, 0.5, 1]) | st.floats(0, 1, exclude_min=True),
            "min_p": st.sampled_from([None, 0, 0.5, 1]) | st.floats(0, 1),
            "repetition_penalty": st.sampled_from([1, 1e-300, 0.5, 1e300]),
            "no_repeat_ngram_size": st.sampled_from([None, 1, 2]),
            "suppressed": st.sampled_from([(), (0,), (0, 1)]),
        }
    ),
    st.lists(st.integers(0, 1), max_size=6),
)
def test_26_all_settings_together(logits, arguments, previous):
    """Probabilities sum to one, at least one symbol is left, and a suppressed one is not chosen."""
    logits, sampling = np.array(logits, dtype=np.float32), SamplingParams(**arguments)
    p = sampling.probabilities(logits, previous)
    chosen = sampling.choose(logits, np.random.default_rng(0), previous)
    assert p.sum() == pytest.approx(1)
    assert (p >= 0).all()
    assert p[chosen] > 0
    if len(sampling.suppressed) < len(logits):
        assert p[list(sampling.suppressed)].sum() == 0


@pytest.mark.parametrize("temperature", [0, 0.5, 1])
@pytest.mark.parametrize(
    "masks",
    [{"min_p": 1}, {"top_p": 1e-300}, {"top_k": 1}, {"no_repeat_ngram_size": 1}, {}],
    ids=str,
)
def test_27_everything_is_ruled_out(numbers, masks, temperature):
    """Where no token may follow, one that is not forbidden still does."""
    settings = {"temperature": temperature, "allowed_tokens": "x\n", **masks}
    with np.errstate(all="raise", under="ignore"):
        text = numbers.generate("one", 40, seed=0, **settings)
    assert len(text) == 43
    assert set(text[3:]) <= {"x", "\n"}


def test_27_nothing_is_allowed(numbers):
    """To forbid every symbol is an error."""
    with pytest.raises(ValueError, match=r"must leave a token to generate\. Received: "):
        numbers.generate("one", suppress_tokens=numbers.vocab.itos)


@pytest.mark.parametrize("stop", ["", ["a", ""]])
def test_28_an_empty_stop_string(numbers, stop):
    """It would end every text before it began."""
    with pytest.raises(ValueError, match="`stop_strings` must be a non-empty str"):
        numbers.generate("one", stop_strings=stop)


@pytest.mark.parametrize("prompt", ["", "one\ntwo"])
@pytest.mark.parametrize("seed", range(5))
def test_28_stop_strings(gru, numbers, prompt, seed):
    """They may span tokens, are cut off exactly, and do not act in the prompt."""
    for gen in (gru, numbers):
        free = gen.generate(prompt, 60, seed=seed)
        stop = free[len(prompt) + 20 : len(prompt) + 24]
        expected = free[: free.index(stop, len(prompt))]
        arguments = {"seed": seed, "stop_strings": [stop, "\0"]}
        assert gen.generate(prompt, 60, **arguments) == expected
        assert "".join(gen.stream(prompt, 60, **arguments)) == expected
        assert gen.generate(prompt, 60, num_return_sequences=3, **arguments)[0] == expected


@pytest.mark.parametrize("seed", [0, 2**32, 2**64, 10**40, np.uint64(2**64 - 1), np.int8(3)])
def test_29_seeds(numbers, seed):
    """Any whole number from 0 is a seed."""
    text = numbers.generate("one", 30, seed=seed)
    assert text == "".join(numbers.stream("one", 30, seed=int(seed)))


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (1.0, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_29_seeds_that_cannot_be(numbers, seed, error):
    """A seed of another kind is refused with its range, in the constructor too."""
    for call in (numbers.generate, numbers.stream, lambda seed: make(seed=seed)):
        with pytest.raises(error, match=r"`seed` must be .*Received: "):
            call(seed=seed)
    with pytest.raises(
        ValueError, match="`seed` must be at least 0 and at most 9223372036854775807"
    ):
        make(seed=2**64)


# Training


def weight_hash(gen):
    """Return the sha256 of all weights."""
    digest = hashlib.sha256()
    for name, tensor in gen.model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    "bad",
    [{name: value} for name in ("epochs", "batch_size", "seq_len") for value in (0, -1, 1.5, True)]
    + [{"epochs": None, "minutes": value} for value in (0, -1, NAN, INF, True, "1")]
    + [{"validation_split": value} for value in (-0.1, 1, NAN, True, None)],
    ids=str,
)
def test_30_training_that_cannot_be(gru, bad):
    """Refused before a weight is touched."""
    before = weight_hash(gru), gru.vocab, gru.history
    with pytest.raises((ValueError, TypeError), match=f"`{list(bad)[-1]}` must be .*Received: "):
        gru.fit(TEXT, **{**FIT, **bad})
    assert (weight_hash(gru), gru.vocab, gru.history) == before


@pytest.mark.parametrize("rate", [0, -1, NAN, INF, True, "fast"], ids=str)
def test_30_learning_rates_that_cannot_be(gru, rate):
    """Refused by ``compile``, after which the generator learns as before."""
    before = weight_hash(gru)
    with pytest.raises((ValueError, TypeError), match="`learning_rate` must be a number above 0"):
        gru.compile(learning_rate=rate)
    assert weight_hash(gru) == before


def options(owner):
    """Return the public methods of a class with an argument that is spelt wrong."""
    for name, method in inspect.getmembers(owner, callable):
        if name.startswith("_"):
            continue
        for argument in inspect.signature(method).parameters.values():
            if argument.default is not argument.empty and len(argument.name) > 2:
                yield name, argument.name[:-1]


@pytest.mark.parametrize(("method", "argument"), list(options(TextGenerator)))
def test_31_a_misspelt_keyword(method, argument):
    """Every public method with options names the one that was probably meant."""
    with pytest.raises(
        TypeError, match=rf"{method}\(\) has no argument '{argument}'\. Did you mean"
    ):
        getattr(make(), method)(**{argument: 1})


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: TextGenerator("lstm", hiden_size=3), "hidden_size"),
        (lambda: Vocab.from_text("abc", max_sise=3), "max_size"),
        (lambda: Vocab("abc").encode("abc", unknwon="skip"), "unknown"),
        (lambda: ContiguousBatcher(np.arange(9), batchsize=3), "batch_size"),
    ],
)
def test_31_a_misspelt_keyword_elsewhere(call, meant):
    """So do the classes beside the facade."""
    with pytest.raises(TypeError, match=rf"has no argument .*Did you mean '{meant}'\?"):
        call()


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        *((name, ()) for name in ("generate", "stream", "state", "summary", "embeddings")),
        *((name, ()) for name in ("freeze", "unfreeze")),
        *(("evaluate", ("a",)), ("surprisals", ("a",)), ("freeze_to", (1,)), ("save", ("model",))),
    ],
)
def test_32_before_fit(tmp_path, monkeypatch, method, arguments):
    """What needs a trained model says what to call first, and writes no file."""
    monkeypatch.chdir(tmp_path)
    message = r"has learned nothing yet: call fit\(text\) first, or use TextGenerator\.load\(path\)"
    with pytest.raises(NotFittedError, match=message) as info:
        getattr(make(), method)(*arguments)
    assert isinstance(info.value, TextRNNError)
    assert list(tmp_path.iterdir()) == []
