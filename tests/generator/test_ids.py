"""Ids where texts are taken: arrays, tensors and memory maps, with the tokenizer that made them."""

import numpy as np
import pytest
import torch

from textrnn import DataError, TextGenerator, UnknownTokenError, Vocab


@pytest.fixture
def mapped(tmp_path, ids):
    """The ids of ``text`` as a memory map that cannot be written."""
    ids.tofile(tmp_path / "ids.bin")
    return np.memmap(tmp_path / "ids.bin", dtype=ids.dtype, mode="r")


def fitted(source, vocab=None):
    """Train a small generator for one epoch."""
    gen = TextGenerator("gru", hidden_size=8, seed=0, device="cpu", vocab=vocab)
    gen.fit(source, epochs=1, verbose=0)
    return gen


def same(one, other):
    """Whether two generators have the same weights."""
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["array", "tensor", "memory map"])
def test_ids_are_the_text_that_they_encode(text, vocab, ids, mapped, form):
    """Training on them, evaluation and surprisals give what the text gives."""
    given = {"array": ids, "tensor": torch.from_numpy(ids).long(), "memory map": mapped}[form]
    from_text, from_ids = fitted(text), fitted(given, vocab)
    assert same(from_text, from_ids)
    assert from_ids.evaluate(given) == from_text.evaluate(text)
    assert from_ids.surprisals(given) == from_text.surprisals(text)
    assert from_ids.lr_find(given, steps=3).learning_rates[0] == 1e-6


def test_ids_for_validation(ids, vocab):
    """They may be handed over, too."""
    gen = TextGenerator("ngram", order=3, vocab=vocab, device="cpu")
    history = gen.fit(ids[:1000], validation_data=ids[1000:], verbose=0)
    assert history.history["val_loss"][0] > 0


def test_ids_without_their_tokenizer_mean_nothing(ids):
    """The error says what is missing; so does one about ids that it does not have."""
    with pytest.raises(DataError, match=r"pass TextGenerator\(vocab=\.\.\.\), or the text"):
        fitted(ids)
    with pytest.raises(UnknownTokenError, match="ids from 0 to 1"):
        fitted(ids, Vocab("ab"))
