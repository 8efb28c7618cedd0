"""A model of the user's own in a generator."""

import pytest

from tests.generator.helpers import FIT, SEED, Bigram, same, weights
from textrnn import TextGenerator, load_sampler
from textrnn.errors import (
    NotFittedError,
    UnsupportedFormatError,
)
from textrnn.models import LSTMModel

# A custom model


def test_a_model_of_ones_own(tmp_path, text):
    """It is fitted, writes, is saved, and is loaded with its class."""
    model = Bigram(len(set(text)), scale=2.0)
    gen = TextGenerator(model, device="cpu")
    losses = gen.fit(text, **{**FIT, "epochs": 4}).history["val_loss"]
    gen.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu", model_class=Bigram)
    assert gen.model is model
    assert losses[-1] < losses[0]
    assert loaded.model.config == {"vocab_size": len(set(text)), "scale": 2.0}
    assert same(weights(loaded), weights(gen))
    assert loaded.generate("one", 40, **SEED) == gen.generate("one", 40, **SEED)
    assert "".join(gen.stream("one", 40, **SEED)) == gen.generate("one", 40, **SEED)


@pytest.mark.parametrize("load", [TextGenerator.load, load_sampler])
def test_a_model_of_ones_own_needs_its_class(tmp_path, text, load):
    """Without the class the file is refused, with a word about ``model_class``."""
    gen = TextGenerator(Bigram(len(set(text))), device="cpu")
    gen.fit(text, **FIT)
    gen.save(tmp_path / "model")
    with pytest.raises(UnsupportedFormatError, match=r"'Bigram'.*model_class"):
        load(tmp_path / "model")


def test_a_model_for_another_vocabulary(text):
    """A model whose vocab_size is not the text's is refused, and nothing has happened."""
    model = LSTMModel(5, hidden_size=4)
    gen = TextGenerator(model, device="cpu")
    with pytest.raises(ValueError, match=f"number of tokens in the vocabulary, {len(set(text))}"):
        gen.fit(text, **FIT)
    assert gen.vocab is None
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        gen.generate()
