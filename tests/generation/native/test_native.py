"""The native kernel says what NumPy says, and is chosen, named and replaced as promised."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from textrnn import Sampler, TextGenerator, Vocab, load_sampler
from textrnn.generation.native.library import INSTRUCTIONS, load_kernel
from textrnn.generation.native.precision import accelerated
from textrnn.generation.native.stepper import NativeSession, NativeStepper
from textrnn.generation.steppers import STEPPERS
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import build, make_stepper

V = 11
SETTINGS = {
    "rnn": ("rnn", {"hidden_size": 17}),
    "rnn, 3 layers": ("rnn", {"hidden_size": 17, "num_layers": 3}),
    "rnn, relu": ("rnn", {"hidden_size": 17, "num_layers": 3, "nonlinearity": "relu"}),
    "rnn, one-hot": ("rnn", {"input": "onehot", "hidden_size": 17, "num_layers": 2}),
    "gru": ("gru", {"hidden_size": 1}),
    "gru, 3 layers": ("gru", {"embedding_dim": 5, "hidden_size": 64, "num_layers": 3}),
    "gru, tied": ("gru", {"tie_weights": True, "hidden_size": 17, "num_layers": 2}),
    "gru, one-hot": ("gru", {"input": "onehot", "hidden_size": 33}),
    "lstm": ("lstm", {"hidden_size": 17}),
    "lstm, 3 layers": ("lstm", {"embedding_dim": 5, "hidden_size": 64, "num_layers": 3}),
    "lstm, tied": ("lstm", {"tie_weights": True, "hidden_size": 17}),
    "lstm, one-hot": ("lstm", {"input": "onehot", "hidden_size": 150}),
}
"""Every family in each of its forms; widths that fill a vector, and that do not."""

kernel = load_kernel()
needs_kernel = pytest.mark.skipif(
    kernel is None, reason="the native kernel is not built here, or TEXTRNN_NATIVE is 0"
)
LEVELS = range(0 if kernel is None else kernel.level + 1)


@pytest.fixture
def tokens():
    """A text of 1,000 tokens in each of 3 columns: (1000, 3) int64, below V."""
    return np.random.default_rng(0).integers(V, size=(1000, 3))


def numpy_stepper(kind, model) -> Any:
    """Return the NumPy stepper of a model."""
    return STEPPERS[kind](model.config, state_arrays(model))


def reference(name):
    """Return the NumPy stepper of a model with biases that are not zero."""
    kind, arguments = SETTINGS[name]
    model = build(kind, V, arguments, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter_name, parameter in model.named_parameters():
        if "bias" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return numpy_stepper(kind, model)


def stepped(session, tokens):
    """Step through tokens (T, N); return the logits (T, N, V)."""
    return np.stack([session.step(column).copy() for column in tokens])


@needs_kernel
@pytest.mark.parametrize("level", LEVELS, ids=[INSTRUCTIONS[level] for level in LEVELS])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_kernel_equals_numpy(name, level, tokens):
    """Over 1,000 steps of 3 texts the logits agree to 1e-5 of the largest one there is."""
    stepper = reference(name)
    expected = stepped(stepper.start(3), tokens)
    found = stepped(NativeStepper(stepper, kernel, "float32", level).start(3), tokens)
    atol = 1e-5 * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol, strict=True)


@needs_kernel
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", SETTINGS)
def test_texts_do_not_disturb_each_other(name, precision, tokens):
    """Three texts side by side are, to the last bit, those texts one by one."""
    stepper = NativeStepper(reference(name), kernel, precision)
    together = stepped(stepper.start(3), tokens[:60])
    for n in range(3):
        alone = stepped(stepper.start(1), tokens[:60, n : n + 1])
        np.testing.assert_array_equal(alone[:, 0], together[:, n])


@needs_kernel
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("hidden_size", [96, 256, 500])
def test_wide_texts_do_not_disturb_each_other(hidden_size, precision, tokens):
    """Nor do those whose weights are more than one tile."""
    model = build("lstm", V, {"hidden_size": hidden_size, "num_layers": 2}, seed=0)
    stepper = NativeStepper(numpy_stepper("lstm", model), kernel, precision)
    together = stepped(stepper.start(3), tokens[:9])
    for n in range(3):
        alone = stepped(stepper.start(1), tokens[:9, n : n + 1])
        np.testing.assert_array_equal(alone[:, 0], together[:, n])


@needs_kernel
@pytest.mark.parametrize("name", SETTINGS)
def test_a_state_goes_from_numpy_to_the_kernel_and_back(name, tokens):
    """What one has read the other continues, for some of the texts; the state is a value."""
    stepper = reference(name)
    expected = stepped(stepper.start(3), tokens[:90])
    first = stepper.start(3)
    stepped(first, tokens[:30])
    second = NativeStepper(stepper, kernel).start(3, first.state([0, 1, 2]))
    np.testing.assert_allclose(stepped(second, tokens[30:60]), expected[30:60], rtol=0, atol=1e-5)
    state = second.state([2, 0])
    stepped(second, tokens[60:90])
    third = stepper.start(2, state)
    found = stepped(third, tokens[60:90][:, [2, 0]])
    np.testing.assert_allclose(found, expected[60:90][:, [2, 0]], rtol=0, atol=1e-5)


@needs_kernel
@pytest.mark.parametrize("level", LEVELS, ids=[INSTRUCTIONS[level] for level in LEVELS])
@pytest.mark.parametrize("hidden_size", [1, 3, 64, 130])
def test_whole_numbers_are_exact(hidden_size, level):
    """Where outputs and weights are whole numbers up to 127, int8 loses nothing."""
    arguments = {"hidden_size": hidden_size, "nonlinearity": "relu", "embedding_dim": 2}
    model = build("rnn", V, arguments, seed=0)
    stepper = numpy_stepper("rnn", model)
    rng = np.random.default_rng(0)
    for array in (stepper.table, stepper.layers[0][0]):
        array[:] = rng.integers(-127, 128, array.shape)
    stepper.table[:, 0] = stepper.layers[0][0][0] = 127  # so that a step is 1
    stepper.layers[0][1][:hidden_size] = 0
    for token in range(V):
        expected = stepper.start(1).step(np.array([token]))
        found = NativeStepper(stepper, kernel, "int8", level).start(1).step(np.array([token]))
        np.testing.assert_array_equal(found, expected)


@needs_kernel
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_numbers_that_are_none_reach_the_logits(kind, value, precision, tokens):
    """A weight that overflowed is seen, and nothing is read or written elsewhere."""
    model = build(kind, V, {"hidden_size": 17}, seed=0)
    stepper = numpy_stepper(kind, model)
    stepper.layers[0][1][-1] = value  # the bias of the last token
    logits = NativeStepper(stepper, kernel, precision).start(1).step(tokens[0, :1])
    assert not np.isfinite(logits[0, -1])


@needs_kernel
@pytest.mark.parametrize("odd", [-1, V, 2**40, -(2**63)])
def test_an_id_out_of_range_reads_the_nearest_row(odd):
    """As with NumPy's "clip": no id can read beyond the table."""
    stepper = reference("lstm")
    expected = stepper.start(1).step(np.array([odd]))
    found = NativeStepper(stepper, kernel).start(1).step(np.array([odd]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@needs_kernel
def test_threads_share_a_stepper():
    """Eight threads at once generate what one after the other does."""
    sampler = Sampler(Vocab("abcdefghijk"), accelerated(reference("lstm, 3 layers")))
    expected = [sampler.generate("a", 300, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: sampler.generate("a", 300, seed=seed), range(8)))
    assert found == expected


@needs_kernel
def test_it_is_chosen_where_it_can_be(tmp_path):
    """By a generator and by a loaded sampler; one product for many texts is left to BLAS."""
    gen = TextGenerator("gru", hidden_size=8, seed=0, device="cpu")
    gen.fit("abcd" * 300, epochs=1, verbose=0)
    gen.save(tmp_path / "m")
    sampler = load_sampler(tmp_path / "m")
    assert isinstance(sampler.stepper, NativeStepper)
    assert "native kernel" in repr(sampler)
    assert "float32" in repr(sampler)
    assert sampler.generate("a", 50, seed=1) == gen.generate("a", 50, seed=1)
    assert isinstance(sampler.stepper.start(64), NativeSession)
    assert not isinstance(sampler.stepper.start(64, batched=True), NativeSession)
    assert not isinstance(make_stepper(build("ngram", V, {}, seed=0)), NativeStepper)


CHOICE = """
from textrnn.cli import main
from textrnn.generation.native.library import backend_name
print(backend_name())
main(["--version"])
"""


@pytest.mark.slow
def test_the_environment_can_choose_numpy():
    """``TEXTRNN_NATIVE=0`` does, and ``textrnn --version`` says so."""
    out = subprocess.run(
        [sys.executable, "-c", CHOICE],
        env={**os.environ, "TEXTRNN_NATIVE": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.splitlines()[0] == "NumPy"
    assert out.rstrip().endswith("(NumPy)")
