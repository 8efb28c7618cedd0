"""A model as arrays, and back."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.errors import CorruptModelError
from textrnn.models import LanguageModel, LSTMModel, NGramModel
from textrnn.models.arrays import from_arrays, load_arrays, state_arrays
from textrnn.models.registry import MODELS, build


def test_restoring_gives_the_same_model(model, x):
    """A model built from class, config and tensors scores as the first one, and can be trained."""
    other = from_arrays(type(model), model.config, state_arrays(model)).eval()
    assert torch.equal(other(x)[0], model(x)[0])
    assert_close(state_arrays(other), state_arrays(model), rtol=0, atol=0)
    assert [p.requires_grad for p in other.parameters()] == [True] * len(list(model.parameters()))


def damage(arrays, fault):
    """Return arrays with a fault, and the name that a message must have."""
    arrays = dict(arrays)
    name = list(arrays)[-2]
    if fault == "missing":
        del arrays[name]
    elif fault == "extra":
        name = "../../etc/passwd"
        arrays[name] = np.zeros(3, dtype=np.float32)
    elif fault == "shape":
        arrays[name] = arrays[name][None]
    elif fault == "length":
        arrays[name] = arrays[name][:-1]
    elif fault == "dtype":
        arrays[name] = arrays[name].astype(np.float64)
    return arrays, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ("missing", "is missing in the file"),
        ("extra", "does not belong in the file"),
        ("shape", "must have shape"),
        ("length", "must have shape"),
        ("dtype", "float64"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(model, fault, match):
    """The message names the tensor, and the model is what it was."""
    before = copy.deepcopy(state_arrays(model))
    other = {name: array + 1 for name, array in before.items()}
    arrays, name = damage(other, fault)
    with pytest.raises(CorruptModelError, match=match) as info:
        load_arrays(model, arrays)
    assert repr(name) in str(info.value)
    assert_close(state_arrays(model), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_refused(kind, value):
    """One NaN or infinity is enough, and the model is what it was."""
    model = MODELS[kind](4, hidden_size=3)
    before = copy.deepcopy(state_arrays(model))
    arrays = {name: array + 1 for name, array in before.items()}
    arrays["layers.0.bias_hh_l0"][2] = value
    with pytest.raises(CorruptModelError, match=r"'layers.0.bias_hh_l0' holds.*infinite or NaN"):
        load_arrays(model, arrays)
    assert_close(state_arrays(model), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"banana": 1},
        {"vocab_size": 0},
        {"vocab_size": "9"},
        {"vocab_size": None},
        {"hidden_size": -4},
        {"hidden_size": 10**15},
        {"hidden_size": 10**30},
        {"num_layers": 1.5},
        {"dropout": "high"},
    ],
    ids=str,
)
def test_a_config_that_builds_nothing_is_refused(change):
    """The message has the class, the reason and the config, in one line."""
    model = LSTMModel(9, hidden_size=4)
    with pytest.raises(CorruptModelError, match=r"LSTMModel cannot be built .*Received: \{'vocab"):
        from_arrays(LSTMModel, model.config | change, state_arrays(model))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ngram", {"order": 2}),
        ("ngram", {"order": 4}),
        ("lstm", {"num_layers": 2}),
        ("lstm", {"hidden_size": 5}),
        ("lstm", {"hidden_size": 10**5}),
        ("lstm", {"vocab_size": 10}),
    ],
    ids=str,
)
def test_a_config_that_the_tensors_contradict_is_refused(kind, change):
    """A config of other sizes is refused before anything of those sizes is made."""
    model = build(kind, 9, {"order": 3} if kind == "ngram" else {"hidden_size": 4}, seed=0)
    with pytest.raises(CorruptModelError, match="The tensor '"):
        from_arrays(type(model), model.config | change, state_arrays(model))


@pytest.mark.slow
def test_loading_imports_no_more_than_torch():
    """Some of torch imports hundreds of modules when it is first used, which takes seconds."""
    golden = Path(__file__).parents[1] / "data" / "0.1.0-lstm.safetensors"
    code = "import sys; from textrnn import TextGenerator; TextGenerator.load(sys.argv[1], 'cpu')"
    code += "; print('sympy' in sys.modules)"
    run = [sys.executable, "-c", code, str(golden)]
    result = subprocess.run(run, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


class Tied(LanguageModel):
    """Shares its embedding with its head as PyTorch people do, and has a mask that is not saved."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)
        self.embedding = nn.Embedding(vocab_size, 3)
        self.head = nn.Linear(3, vocab_size)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.tril(torch.ones(9, 9)), persistent=False)
        self.scale = torch.tensor(2.0)

    def forward(self, ids, state=None):
        """Look at the token itself."""
        return self.head(self.embedding(ids) * self.scale * self.mask[0, 0]), None

    def layer_groups(self):
        """There is one."""
        return {"all": list(self.parameters())}


def test_what_a_class_shares_stays_shared():
    """A tied weight is one parameter after loading, and what is not in the file is there too."""
    model, random = Tied(5), torch.get_rng_state()
    other = from_arrays(Tied, model.config, copy.deepcopy(state_arrays(model)))
    assert other.head.weight is other.embedding.weight
    assert len(list(other.parameters())) == len(list(model.parameters())) == 2
    ids = torch.arange(5)[None]
    assert torch.equal(other(ids)[0], model(ids)[0])
    assert torch.equal(torch.get_rng_state(), random)


def test_loading_takes_time_in_proportion_to_the_tables(ids, vocab):
    """Twice the order makes about twice as many calls, not four times as many."""
    calls = []
    for order in (100, 200):
        model = NGramModel(len(vocab), order=order)
        model.count(ids[:300])
        arrays = state_arrays(model)
        calls.append(0)
        sys.setprofile(lambda *_: calls.append(calls.pop() + 1))
        try:
            other = from_arrays(NGramModel, model.config, arrays)
        finally:
            sys.setprofile(None)
        assert_close(state_arrays(other), arrays, rtol=0, atol=0)
    assert calls[1] < 2.5 * calls[0]
