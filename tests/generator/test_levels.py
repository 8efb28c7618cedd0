"""Every level holds the laws: from a text to a file, and from a file to text."""

import numpy as np
import pytest

from textrnn import TextGenerator, load_sampler
from textrnn.text.levels import LEVELS

TEXTS = {
    "prose": "The cat sat.  Don't the cats, naïve?\n" * 40,
    "hindi": "हिन्दी भाषा, यह मेरी भाषा है।\n" * 40,
    "chinese": "春眠不觉晓。处处闻啼鸟。\n夜来风雨声。花落知多少。\n" * 40,
    "chords": "C:maj7 F#:min7 | B:7 E:maj\tp60:v100\n" * 40,
}


@pytest.fixture(params=[(level, name) for level in LEVELS for name in TEXTS], ids="-".join)
def trained(request):
    """A small generator of each level for each text, and the text."""
    level, name = request.param
    gen = TextGenerator("ngram", level=level, order=3, seed=0)
    gen.fit(TEXTS[name], verbose=0)
    return gen, TEXTS[name]


@pytest.mark.slow
def test_what_is_written_streams_and_comes_back_from_a_file(trained, tmp_path):
    """Pieces make the text; a file gives the same, with torch or without; no half characters."""
    gen, text = trained
    prompt = text.partition("\n")[0]
    expected = gen.generate(prompt, 40, seed=1)
    assert "".join(gen.stream(prompt, 40, seed=1)) == expected
    gen.save(tmp_path / "m")
    for loaded in (load_sampler(tmp_path / "m"), TextGenerator.load(tmp_path / "m")):
        assert loaded.vocab == gen.vocab
        np.testing.assert_array_equal(loaded.vocab.encode(text), gen.vocab.encode(text))
        assert loaded.generate(prompt, 40, seed=1) == expected
        assert "".join(loaded.stream(prompt, 40, seed=1)) == expected


@pytest.mark.slow
def test_what_is_measured_is_of_the_text(trained):
    """Surprisals name the tokens of the text, and bits per character are over its characters."""
    gen, text = trained
    nats = gen.surprisals(text)
    assert [token for token, _ in nats] == [gen.vocab.itos[i] for i in gen.vocab.encode(text)]
    found = gen.evaluate(text)
    expected = found["loss"] / np.log(2) * len(nats) / len(text)
    assert found["bits_per_char"] == pytest.approx(expected)


@pytest.mark.slow
def test_a_second_text_is_learnt_too(trained):
    """Its tokens are added, where a level does not know them by itself; texts still come back."""
    gen, text = trained
    other, before = "ὁ λόγος ἦν, 道可道。 x:1 x:1\n" * 40, len(gen.vocab)
    gen.fit(other, verbose=0)
    assert (len(gen.vocab) == before) is LEVELS[gen.level].complete
    for known in (text, other):
        assert gen.vocab.decode(gen.vocab.encode(known)) == known


@pytest.mark.parametrize("level", LEVELS)
def test_documents_of_every_level(level):
    """They begin and end, whatever a token is."""
    gen = TextGenerator("ngram", level=level, order=4, seed=0)
    gen.fit(["春眠 不觉晓", "C:maj7 E", "don't"] * 40, verbose=0)
    texts = gen.generate("", 40, num_return_sequences=20, seed=0)
    assert {"春眠 不觉晓", "C:maj7 E", "don't"} & set(texts)
    assert gen.vocab.eot_id is not None
