"""Custom model classes at the facade: built, checked, trained, saved, loaded, extended."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn import LanguageModel, LSTMModel, NGramModel, TextGenerator

FIT = {"epochs": 1, "batch_size": 8, "seq_len": 16, "verbose": 0}


class Bigram(LanguageModel):
    """A table of logits, without ``reset_parameters``."""

    def __init__(self, vocab_size, scale):
        super().__init__(vocab_size=vocab_size, scale=scale)
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, state=None):
        """Look up a row for each token."""
        return self.table(ids) * self.config["scale"], None

    def layer_groups(self):
        """There is one."""
        return {"table": list(self.table.parameters())}


class Mixture(LanguageModel):
    """The sum of an LSTM's probabilities and an n-gram's."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)
        self.lstm = LSTMModel(vocab_size, embedding_dim=4, hidden_size=8)
        self.ngram = NGramModel(vocab_size, order=3)

    def forward(self, ids, state=None):
        """Add the probabilities."""
        one, other = state or (None, None)
        logits, one = self.lstm(ids, one)
        scores, other = self.ngram(ids, other)
        both = torch.stack([logits.log_softmax(-1), scores.log_softmax(-1)])
        return both.logsumexp(0), (one, other)

    def layer_groups(self):
        """Return the LSTM's; the n-gram has none."""
        return self.lstm.layer_groups()

    def count(self, ids):
        """Let the n-gram count the text."""
        self.ngram.count(ids)


class Forgetful(Bigram):
    """Returns logits for the last token only."""

    def forward(self, ids, state=None):
        """Forget the time axis."""
        return super().forward(ids)[0][:, -1], None


def test_a_class_is_built_from_its_arguments_and_the_seed(text):
    """The same seed gives the same model, and the class gets the vocabulary's size."""
    one, other = (TextGenerator(Bigram, scale=2.0, seed=3) for _ in range(2))
    for gen in (one, other):
        gen.fit(text, **FIT)
    assert one.model.config == {"vocab_size": len(one.vocab), "scale": 2.0}
    assert_close(one.model.state_dict(), other.model.state_dict(), rtol=0, atol=0)


def test_a_class_that_breaks_the_contract_is_not_trained(text):
    """The first ``fit`` says which part it is, and the generator is as it was."""
    gen = TextGenerator(Forgetful, scale=1.0)
    with pytest.raises(ValueError, match=r"logits must be \(B, T, V\) = .*a row for every token"):
        gen.fit(text, **FIT)
    assert (gen.model, gen.vocab) == (None, None)


def test_a_mixture_counts_is_saved_and_extends(tmp_path, text):
    """What its parts do by themselves, it does as a whole."""
    gen = TextGenerator(Mixture, seed=0)
    gen.fit(text, validation_split=0, **FIT)
    counted = NGramModel(len(gen.vocab), order=3)
    counted.count(gen.vocab.encode(text))
    assert_close(gen.model.ngram.state_dict(), counted.state_dict(), rtol=0, atol=0)
    gen.save(tmp_path / "model.safetensors")
    loaded = TextGenerator.load(tmp_path / "model.safetensors", "cpu", model_class=Mixture)
    assert loaded.generate("one", 30, seed=1) == gen.generate("one", 30, seed=1)
    before = np.array(loaded.vocab.encode("one two"))
    loaded.fit(text + "ÄÖÜ", **FIT)
    assert loaded.model.vocab_size == len(loaded.vocab) == len(gen.vocab) + 3
    assert loaded.vocab.decode(before) == "one two"
