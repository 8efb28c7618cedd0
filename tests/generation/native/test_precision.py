"""int8 is used where it is fast and hardly changes the probabilities."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from textrnn import Sampler, TextGenerator, Vocab, load_sampler
from textrnn.generation.native.library import load_kernel
from textrnn.generation.native.precision import accelerated, divergence
from textrnn.generation.native.stepper import NativeStepper
from textrnn.generation.steppers import STEPPERS
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import build, make_stepper

kernel = load_kernel()
needs_kernel = pytest.mark.skipif(
    kernel is None, reason="the native kernel is not built here, or TEXTRNN_NATIVE is 0"
)
FORMS = {
    "rnn": ("rnn", {}),
    "rnn, relu": ("rnn", {"nonlinearity": "relu", "num_layers": 2}),
    "gru": ("gru", {}),
    "gru, 3 layers": ("gru", {"num_layers": 3}),
    "gru, one-hot": ("gru", {"input": "onehot"}),
    "lstm": ("lstm", {}),
    "lstm, 2 layers": ("lstm", {"num_layers": 2}),
    "lstm, tied": ("lstm", {"tie_weights": True, "num_layers": 2}),
}


@pytest.fixture(params=FORMS)
def trained(request, text):
    """A small generator of each form, trained."""
    kind, arguments = FORMS[request.param]
    gen = TextGenerator(kind, hidden_size=48, seed=0, device="cpu", **arguments)
    gen.fit(text, epochs=3, verbose=0)
    return gen


def loss(sampler, ids):
    """Return the loss of ids in nats per token."""
    session, total = sampler.stepper.start(1), 0.0
    for now, following in pairwise(ids):
        scores = session.step(np.array([now]))[0].astype(np.float64)
        total += np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[following]
    return total / (len(ids) - 1)


@needs_kernel
@pytest.mark.slow
def test_the_loss_hardly_differs(trained, text, tmp_path):
    """On a text, rounded weights lose at most 0.001 nats per token, in every form."""
    trained.save(tmp_path / "m")
    exact = load_sampler(tmp_path / "m")
    rounded = load_sampler(tmp_path / "m", precision="int8")
    assert "int8" in repr(rounded)
    ids = exact.vocab.encode(text[:3000])
    assert loss(rounded, ids) == pytest.approx(loss(exact, ids), rel=0, abs=0.001)
    chosen = "int8" if kernel is not None and kernel.level else "float32"
    assert chosen in repr(load_sampler(tmp_path / "m", precision="auto"))


@needs_kernel
def test_floats_stay_where_rounding_would_change_the_text():
    """Beside an output that is far larger than the others, and of no use, they round to 0."""
    model = build("rnn", 11, {"hidden_size": 33, "nonlinearity": "relu"}, seed=0)
    stepper: Any = STEPPERS["rnn"](model.config, state_arrays(model))
    weight = stepper.layers[0][0]
    stepper.table[:, 0], weight[0] = 1e4, 0
    exact, rounded = (NativeStepper(stepper, kernel, name) for name in ("float32", "int8"))
    assert divergence(exact, rounded) > 0.001
    assert "float32" in accelerated(stepper, "auto").backend
    weight[:] = np.nan
    assert "float32" in accelerated(stepper, "auto").backend


@needs_kernel
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_seed_gives_one_text_in_int8(kind):
    """Alone, in a batch, streamed, from a state."""
    vocab = Vocab("abcdefghijk")
    model = build(kind, len(vocab), {"hidden_size": 70, "num_layers": 2}, seed=0)
    stepper = STEPPERS[kind](model.config, state_arrays(model))
    sampler = Sampler(vocab, accelerated(stepper, "int8"))
    texts = sampler.generate("abc", 40, num_return_sequences=5, seed=1)
    assert sampler.generate("abc", 40, seed=1) == texts[0]
    assert "".join(sampler.stream("abc", 40, seed=1)) == texts[0]
    state = sampler.state("abc")
    assert sampler.generate(state=state, max_new_tokens=40, seed=1) == texts[0][3:]


def test_what_cannot_be_int8_says_so(tmp_path):
    """Counts have no weights; a misspelt precision is none."""
    gen = TextGenerator("ngram", order=3)
    gen.fit("abcd" * 100, verbose=0)
    gen.save(tmp_path / "m")
    with pytest.raises(ValueError, match="needs an RNN, GRU or LSTM and the native kernel"):
        load_sampler(tmp_path / "m", precision="int8")
    with pytest.raises(ValueError, match=r"`precision` must be one of .* Received: 'int4'"):
        load_sampler(tmp_path / "m", precision="int4")
    auto = load_sampler(tmp_path / "m", precision="auto")
    assert type(auto.stepper) is type(make_stepper(gen.model))
