"""Token files: ids on disk, mapped into memory."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from textrnn import TextGenerator, load_sampler
from textrnn.cli import main
from textrnn.errors import DataError, VocabError
from textrnn.text import reading
from textrnn.text.corpus import read_corpus
from textrnn.text.levels import LEVELS
from textrnn.text.pieces import Pieces, blocks, release
from textrnn.text.token_file import open_tokens, write_tokens
from textrnn.text.vocab import Vocab

TEXT = "To be, or not to be: that is the 😀\n" * 200 + "rare words here\n"


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_a_corpus_of_a_token_file_is_that_of_its_text(tmp_path, monkeypatch, level):
    """The same ids, mapped and not copied, the same vocabulary and units."""
    monkeypatch.setattr(reading, "_PIECE", 7)
    source, path = tmp_path / "text.txt", tmp_path / "text.bin"
    source.write_text(TEXT, encoding="utf-8")
    assert main(["tokenize", str(source), "-o", str(path), "--level", level]) == 0
    corpus, of_text = read_corpus(path, "char"), read_corpus(TEXT, level)
    assert isinstance(corpus.ids, np.memmap)
    np.testing.assert_array_equal(corpus.ids, of_text.ids)
    np.testing.assert_array_equal(corpus.valid_ids, of_text.valid_ids)
    assert corpus.vocab == of_text.vocab
    assert corpus.chars_per_token == of_text.chars_per_token
    assert corpus.spelling == pytest.approx(of_text.spelling)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "dtype"), [(256, "uint8"), (257, "uint16"), (1 << 16, "uint16"), (70_000, "int32")]
)
def test_the_numbers_are_as_small_as_can_be(tmp_path, size, dtype):
    """One, two or four bytes, by the size of the vocabulary."""
    vocab = Vocab(map(chr, range(0x100, 0x100 + size)))
    text = chr(0x100 + size - 1) + chr(0x100)
    tokens = write_tokens(tmp_path / "t.bin", Pieces.of(text), vocab)
    assert tokens.ids.dtype == dtype
    assert tokens.ids.tolist() == [size - 1, 0]
    assert open_tokens(tmp_path / "t.bin").ids.tolist() == [size - 1, 0]


def test_a_model_is_trained_and_evaluated_with_token_files(tmp_path, capsys):
    """As with the text itself; a saved model makes token files with its own vocabulary."""
    source, path, model = (tmp_path / name for name in ("text.txt", "text.bin", "model"))
    source.write_text(TEXT, encoding="utf-8")
    main(["tokenize", str(source), "-o", str(path), "--level", "word"])
    train = ["--model", "lstm", "--hidden-size", "8", "--epochs", "2", "--seed", "0"]
    assert main(["train", str(path), "-o", str(model), *train]) == 0
    gen = TextGenerator("lstm", level="word", hidden_size=8, seed=0)
    gen.fit(source, epochs=2, verbose=0)
    assert load_sampler(model).vocab == gen.vocab
    of_file = TextGenerator.load(model, device="cpu").history.history["val_loss"]
    assert of_file == pytest.approx(gen.history.history["val_loss"], rel=1e-5)
    other = tmp_path / "other.bin"
    assert main(["tokenize", str(source), "-o", str(other), "--from", str(model)]) == 0
    assert gen.evaluate(other) == pytest.approx(gen.evaluate(source))
    assert gen.surprisals(other) == gen.surprisals(source)


def test_numbers_of_two_bytes_without_json_are_read_with_a_tokenizer(tmp_path):
    """As nanoGPT writes them."""
    path = tmp_path / "train.bin"
    np.array([0, 1, 2, 1] * 9, dtype="<u2").tofile(path)
    corpus = read_corpus(path, "char", Vocab("abc"), validation_split=0)
    assert corpus.ids.tolist() == [0, 1, 2, 1] * 9
    with pytest.raises(DataError, match=r"Pass TextGenerator\(vocab=.*Received: .*train.bin"):
        read_corpus(path, "char")


def damage(path, change):
    """Change the JSON beside a token file."""
    beside = Path(f"{path}.json")
    facts = json.loads(beside.read_text(encoding="utf-8"))
    change(facts)
    beside.write_text(json.dumps(facts), encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
        (lambda path: path.write_bytes(b"\x01" + path.read_bytes()[1:]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: Path(f"{path}.json").write_text("{"), "JSON .* cannot be used"),
        (lambda path: damage(path, lambda facts: facts.pop("dtype")), "JSON .* cannot be used"),
        (lambda path: damage(path, lambda f: f.update(dtype=[])), "JSON .* cannot be used"),
        (lambda path: damage(path, lambda f: f.update(length=3)), "is damaged"),
    ],
)
def test_damage_is_found(tmp_path, harm, message):
    """In the numbers and in the JSON."""
    path = tmp_path / "text.bin"
    write_tokens(path, Pieces.of("abba"), Vocab("ab"))
    harm(path)
    with pytest.raises(DataError, match=f"{message}.*Received: "):
        open_tokens(path)


def test_a_token_file_of_another_vocabulary_is_refused(tmp_path):
    """Its numbers would mean other tokens."""
    path = tmp_path / "text.bin"
    write_tokens(path, Pieces.of("abba"), Vocab("ab"))
    assert open_tokens(path, Vocab("ab")).ids.tolist() == [0, 1, 1, 0]
    with pytest.raises(VocabError, match=r"another vocabulary .* --from MODEL.*Received: "):
        open_tokens(path, Vocab("ba"))


def test_only_token_files_are_replaced(tmp_path, capsys):
    """The numbers of another program are not, and a text is never."""
    source, path = tmp_path / "text.txt", tmp_path / "text.bin"
    source.write_text("abba", encoding="utf-8")
    for _ in range(2):
        assert main(["tokenize", str(source), "-o", str(path)]) == 0
    assert "4 tokens of 2 different ones" in capsys.readouterr().out
    assert main(["tokenize", str(source), "-o", str(source)]) == 1
    assert "ends in '.bin'" in capsys.readouterr().err
    Path(f"{path}.json").unlink()
    assert main(["tokenize", str(source), "-o", str(path)]) == 1
    assert "is no token file of textrnn and is not replaced" in capsys.readouterr().err
    assert source.read_text(encoding="utf-8") == "abba"


def resident(ids):
    """Return how many kB of a memory map are in memory, as Linux counts them."""
    entries = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(ids.filename))[1:]
    return sum(int(re.search(r"Rss: +(\d+) kB", entry)[1]) for entry in entries)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="smaps is Linux's")
def test_what_was_read_of_a_token_file_does_not_stay_in_memory(tmp_path):
    """Neither after a scan of all ids nor after a part of them was read."""
    path = tmp_path / "text.bin"
    ids = write_tokens(path, Pieces.of("ab" * (1 << 19)), Vocab("ab")).ids
    assert ids.sum() == 1 << 19
    assert resident(ids) >= 1 << 10
    assert sum(int(part.sum()) for part in blocks(ids[5:])) == (1 << 19) - 2
    assert resident(ids) < 100
    writable = np.memmap(path, mode="c")
    writable[0] = 1
    release(writable)
    assert writable[0] == 1


def test_a_cache_is_used_until_text_level_or_vocabulary_change(tmp_path):
    """Then it is made anew, and so it is once it is damaged."""
    source, cache = tmp_path / "text.txt", tmp_path / "cache.bin"

    def read(text, level="char", vocab=None, grow=False):
        source.write_text(text, encoding="utf-8")
        corpus = read_corpus(source, level, vocab, grow, validation_split=0, cache=cache)
        of_text = read_corpus(text, level, vocab, grow, validation_split=0)
        assert corpus.vocab == of_text.vocab
        np.testing.assert_array_equal(corpus.ids, of_text.ids)
        return corpus.vocab, cache.stat().st_mtime_ns

    vocab, made = read("abba ab")
    assert read("abba ab") == (vocab, made)
    assert read("abba ab", vocab=vocab) == (vocab, made)
    assert read("abba ab", vocab=vocab, grow=True) == (vocab, made)
    harmed = bytearray(cache.read_bytes())
    harmed[0] ^= 1
    cache.write_bytes(harmed)
    for change in (
        {"text": "abba ab"},
        {"text": "abba abba ba"},
        {"text": "abba abba ba", "level": "word"},
        {"text": "abba abba ba", "vocab": Vocab("ba ")},
        {"text": "abba abba bac", "vocab": Vocab("ba "), "grow": True},
    ):
        _, again = read(**change)
        assert again != made
        assert read(**change)[1] == again
        made = again


def test_a_cache_is_for_one_file(tmp_path):
    """A text in memory needs none; another file is not replaced; validation may be any text."""
    source = tmp_path / "text.txt"
    source.write_text("abba ab" * 9, encoding="utf-8")
    with pytest.raises(DataError, match=r"`cache` keeps the ids of one file.*Received: 'abba"):
        read_corpus("abba ab" * 9, "char", cache=tmp_path / "cache.bin")
    with pytest.raises(ValueError, match=r"ends in '\.bin'.*Received: "):
        read_corpus(source, "char", cache=source)
    gen = TextGenerator("ngram", order=2)
    gen.fit(source, validation_data="ab ba", cache=str(tmp_path / "cache.bin"), verbose=0)
    assert (tmp_path / "cache.bin").stat().st_size == 63
    assert gen.evaluate("ab ba")["loss"] == pytest.approx(gen.history.history["val_loss"][0])
