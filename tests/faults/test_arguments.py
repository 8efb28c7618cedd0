"""Rows 30 to 32 of the fault table: arguments that are not what was meant."""

import hashlib
import inspect

import numpy as np
import pytest

from tests.faults.inputs import FIT, INF, NAN, TEXT, make
from textrnn import ContiguousBatcher, TextGenerator, Vocab
from textrnn.errors import NotFittedError, TextRNNError

pytestmark = pytest.mark.faults


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
def test_31_a_misspelled_keyword(method, argument):
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
def test_31_a_misspelled_keyword_elsewhere(call, meant):
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
