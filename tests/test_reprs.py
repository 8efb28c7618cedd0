"""What an object shows of itself at a prompt: one short line that says what it is."""

from pathlib import Path

import numpy as np
import pytest

from textrnn import (
    BackupAndRestore,
    ContiguousBatcher,
    EarlyStopping,
    ModelCheckpoint,
    SampleText,
    TextGenerator,
    Trainer,
)
from textrnn.models.registry import build


@pytest.fixture
def fitted(text):
    """A small generator after one epoch."""
    gen = TextGenerator("gru", hidden_size=8, seed=0, device="cpu")
    gen.fit(text, epochs=1, verbose=0)
    return gen


def test_a_generator_says_what_it_has_learned(fitted, tmp_path):
    """Its class, size, vocabulary and history, before and after a file."""
    assert repr(TextGenerator()) == "TextGenerator(not fitted)"
    shown = repr(fitted)
    assert shown.startswith("TextGenerator(GRUModel, ")
    assert f"parameters on cpu, Vocab({len(fitted.vocab)} tokens, level='char')" in shown
    assert "History(1 epoch" in shown
    fitted.save(tmp_path / "m")
    assert repr(TextGenerator.load(tmp_path / "m", device="cpu")) == shown


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (EarlyStopping(patience=3), "EarlyStopping(patience=3"),
        (ModelCheckpoint(Path("m")), "ModelCheckpoint("),
        (SampleText("The "), "SampleText(prompt='The ', max_new_tokens=200"),
        (BackupAndRestore("b", 5), "BackupAndRestore(path="),
        (Trainer(build("rnn", 5, {}, 0)), "Trainer(RNNModel, OptimizerConfig("),
        (
            ContiguousBatcher(np.arange(100), batch_size=3, seq_len=5),
            "ContiguousBatcher(100 ids, batch_size=3, seq_len=5, 7 batches)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parts_name_their_settings(thing, shown):
    """No address in memory, no array of numbers."""
    assert repr(thing).startswith(shown)
    assert " at 0x" not in repr(thing)
    assert len(repr(thing)) < 300
