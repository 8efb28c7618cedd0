"""The NumPy steppers say what the torch modules say, one token at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.quick import quick
from textrnn.errors import CorruptModelError
from textrnn.files.model_file import Reader
from textrnn.generation.native.precision import accelerated
from textrnn.generation.steppers import STEPPERS, old_ngram
from textrnn.generation.steppers.trie import Level, Trie
from textrnn.models import NGramModel
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import MODELS, build
from textrnn.models.torch_steppers import DeviceSession, DeviceStepper, ModuleStepper

V = 11
RECURRENT = ("rnn", "gru", "lstm")
CPU = torch.device("cpu")
SETTINGS = {
    "rnn": ("rnn", {"hidden_size": 17}),
    "rnn, 3 layers": ("rnn", {"hidden_size": 17, "num_layers": 3}),
    "rnn, relu": ("rnn", {"hidden_size": 17, "num_layers": 3, "nonlinearity": "relu"}),
    "rnn, identity": (
        "rnn",
        {"hidden_size": 17, "nonlinearity": "relu", "recurrent_init": "identity"},
    ),
    "gru": ("gru", {"hidden_size": 17}),
    "gru, 3 layers": ("gru", {"embedding_dim": 5, "hidden_size": 17, "num_layers": 3}),
    "lstm": ("lstm", {"hidden_size": 17}),
    "lstm, 3 layers": ("lstm", {"embedding_dim": 5, "hidden_size": 17, "num_layers": 3}),
    "rnn, one-hot": ("rnn", {"input": "onehot", "hidden_size": 17, "num_layers": 2}),
    "gru, tied": ("gru", {"tie_weights": True, "hidden_size": 17, "num_layers": 2}),
    "lstm, tied": ("lstm", {"tie_weights": True, "hidden_size": 17}),
    "lstm, one-hot": ("lstm", {"input": "onehot", "hidden_size": 17}),
    "lstm, drops": ("lstm", {"hidden_size": 17, "weight_drop": 0.5, "embedding_dropout": 0.5}),
    "window_mlp": ("window_mlp", {"window": 4, "hidden_size": 17}),
    "window_mlp of 1": ("window_mlp", {"window": 1, "embedding_dim": 3, "hidden_size": 17}),
    "window_rnn, concat": ("window_rnn", {"window": 8, "combine": "concat", "hidden_size": 17}),
    "window_rnn, add": ("window_rnn", {"window": 3, "combine": "add", "hidden_size": 17}),
    "window_rnn of 1": ("window_rnn", {"window": 1, "combine": "concat", "hidden_size": 17}),
    "lstm, dropout": ("lstm", {"hidden_size": 17, "dropout": 0.5}),
    "mixture": ("mixture", {"hidden_size": 17, "order": 4}),
    "mixture of four": (
        "mixture",
        {"parts": ["window_mlp", "gru", "ngram", {"model": "ngram", "order": 2}], "hidden_size": 9},
    ),
    "ngram": ("ngram", {"order": 1}),
    "ngram, order 4": ("ngram", {"order": 4}),
    "ngram, no smoothing": ("ngram", {"order": 3, "smoothing": None}),
}
"""Each family in each of its forms."""


@pytest.fixture
def tokens():
    """A text of 1,000 tokens in each of 7 columns: (1000, 7) int64, below V."""
    return np.random.default_rng(0).integers(V, size=(1000, 7))


@pytest.fixture(params=quick(SETTINGS, "lstm", "gru, tied", "window_rnn, concat", "ngram, order 4"))
def made(request, tokens):
    """A model in evaluation mode, with biases that are not zero, and its stepper."""
    kind, arguments = SETTINGS[request.param]
    model = build(kind, V, arguments, seed=0).eval()
    model.count(tokens[:, 0])
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model, STEPPERS[kind](model.config, state_arrays(model))


def stepped(stepper, tokens):
    """Step through tokens (T, N) and give the logits (T, N, V) and the last state."""
    logits, state = [], None
    for column in tokens:
        row, state = stepper.step(column, state)
        logits.append(row)
    return np.stack(logits), state


def test_every_family_has_a_stepper():
    """``STEPPERS`` and ``MODELS`` have the same names."""
    assert STEPPERS.keys() == MODELS.keys()
    assert {kind for kind, _ in SETTINGS.values()} == MODELS.keys()


@pytest.mark.slow
@torch.no_grad()
def test_a_stepper_equals_its_torch_module(made, tokens):
    """Over 1,000 steps of 7 texts the logits agree to 1e-5 of the largest one there is."""
    model, stepper = made
    expected = model(torch.from_numpy(tokens.T.copy()))[0].numpy().swapaxes(0, 1)
    found, _ = stepped(stepper, tokens)
    finite = np.abs(expected[np.isfinite(expected)])
    # a relu network that begins as the identity adds up: its logits reach hundreds
    atol = 1e-5 * max(1.0, float(finite.max()))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol, strict=True)


def test_streams_do_not_disturb_each_other(made, tokens):
    """Seven texts side by side are, to the last bit, those texts one by one."""
    _, stepper = made
    batched, _ = stepped(stepper, tokens[:60])
    for n in range(7):
        alone, _ = stepped(stepper, tokens[:60, n : n + 1])
        np.testing.assert_array_equal(alone[:, 0], batched[:, n])


def test_a_product_for_all_is_nearly_that_of_each(made, tokens):
    """Stepped batched, 7 texts agree with those stepped one by one but for rounding."""
    _, stepper = made
    alone, _ = stepped(stepper, tokens[:60])
    state = None
    for column, expected in zip(tokens[:60], alone, strict=True):
        logits, state = stepper.step(column, state, batched=True)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("hidden_size", [96, 256, 512])
def test_wide_streams_do_not_disturb_each_other(kind, hidden_size, tokens):
    """Nor do those as wide as models are, where kernels for vectors and for matrices differ."""
    model = build(kind, V, {"hidden_size": hidden_size, "num_layers": 2}, seed=0)
    stepper = STEPPERS[kind](model.config, state_arrays(model))
    batched, _ = stepped(stepper, tokens[:20])
    for n in range(7):
        alone, _ = stepped(stepper, tokens[:20, n : n + 1])
        np.testing.assert_array_equal(alone[:, 0], batched[:, n])


def test_a_state_is_not_changed_in_place(made, tokens):
    """Stepping on leaves the state as it was, so it can be used again."""
    _, stepper = made
    _, state = stepped(stepper, tokens[:20])
    before = [array.copy() for array in state]
    first, after = stepper.step(tokens[20], state)
    stepper.step(tokens[21], after)
    for array, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(stepper.step(tokens[20], state)[0], first)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32])
def test_tokens_may_have_any_integer_type(made, tokens, dtype):
    """A text in the small integers of ``Vocab.encode`` is the same text."""
    _, stepper = made
    expected, _ = stepped(stepper, tokens[:9])
    np.testing.assert_array_equal(stepped(stepper, tokens[:9].astype(dtype))[0], expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", quick(MODELS))
def test_the_module_stepper_equals_the_others(kind, training, tokens):
    """Stepping through the torch module gives the same, without dropout, and keeps its mode."""
    arguments = {"order": 3} if kind == "ngram" else {"hidden_size": 17, "dropout": 0.5}
    model = build(kind, V, arguments, seed=0).train(training)
    model.count(tokens[:, 0])
    by_module, _ = stepped(ModuleStepper(model), tokens[:50])
    by_numpy, _ = stepped(STEPPERS[kind](model.config, state_arrays(model)), tokens[:50])
    np.testing.assert_allclose(by_module, by_numpy, rtol=1e-5, atol=1e-5, strict=True)
    assert [m.training for m in model.modules()] == [training] * len(list(model.modules()))


def test_the_module_stepper_keeps_the_mode_after_an_error(tokens):
    """A token that the model does not know leaves it in training."""
    model = build("lstm", V, {"hidden_size": 3}, seed=0).train()
    with pytest.raises(IndexError, match="out of range"):
        ModuleStepper(model).step(np.array([V]))
    assert model.training


def test_a_session_is_the_steps_one_after_the_other(made, tokens):
    """In memory of its own, and its state at any point is a value that later steps leave alone."""
    _, stepper = made
    expected, _ = stepped(stepper, tokens[:60])
    session = stepper.start(7)
    for column, logits in zip(tokens[:30], expected, strict=False):
        np.testing.assert_array_equal(session.step(column), logits, strict=True)
    some = session.state([4, 0])
    for column, logits in zip(tokens[30:60], expected[30:], strict=True):
        np.testing.assert_array_equal(session.step(column), logits, strict=True)
    branch = stepper.start(2, some)
    for column, logits in zip(tokens[30:60], expected[30:], strict=True):
        np.testing.assert_array_equal(branch.step(column[[4, 0]]), logits[[4, 0]], strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name][0] in RECURRENT])
def test_many_texts_on_a_device_are_those_of_numpy(name):
    """The device, which is the CPU here, gives the same but for rounding."""
    kind, arguments = SETTINGS[name]
    model = build(kind, V, arguments, seed=0)
    stepper = STEPPERS[kind](model.config, state_arrays(model))
    here = stepper.start(64, batched=True)
    there = DeviceStepper(stepper, CPU).start(64, batched=True)
    assert isinstance(there, DeviceSession)
    columns = np.random.default_rng(0).integers(0, V, (60, 64))
    for column in columns[:30]:
        np.testing.assert_allclose(there.step(column), here.step(column), rtol=1e-5, atol=1e-5)
    state = there.state(list(range(64)))
    assert all(isinstance(part, np.ndarray) for part in state)
    again = DeviceStepper(stepper, CPU).start(64, state, batched=True)
    for column in columns[30:]:
        np.testing.assert_allclose(again.step(column), here.step(column), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("texts", "batched"), [(63, True), (64, False)])
def test_what_is_not_worth_a_device_stays_here(texts, batched):
    """Few texts, and those with a seed, which must be the same alone and among others."""
    model = build("gru", V, {"hidden_size": 5}, seed=0)
    stepper = STEPPERS["gru"](model.config, state_arrays(model))
    session = DeviceStepper(stepper, CPU).start(texts, batched=batched)
    column = np.arange(texts) % V
    expected, _ = accelerated(stepper).step(column, batched=batched)
    np.testing.assert_array_equal(session.step(column), expected)
    assert not isinstance(session, DeviceSession)


# Tensors that do not fit

SMALL = {"ngram": {"order": 3}, **{kind: {"hidden_size": 4} for kind in ("rnn", "gru", "lstm")}}
NAMES = [(kind, n) for kind, args in SMALL.items() for n in build(kind, V, args, 0).state_dict()]


def small(kind, tokens):
    """Return the config and the tensors of a small model."""
    model = build(kind, V, SMALL[kind], seed=0)
    model.count(tokens[:, 0])
    return model.config, state_arrays(model)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_missing_tensor_is_refused(kind, name, tokens):
    """The message names the tensor and the shape it should have."""
    config, tensors = small(kind, tokens)
    del tensors[name]
    with pytest.raises(CorruptModelError, match=f"'{name}' must have.*Received: None"):
        STEPPERS[kind](config, tensors)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_tensor_of_another_shape_is_refused(kind, name, tokens):
    """The message names the tensor, the shape it should have and the shape it has."""
    config, tensors = small(kind, tokens)
    shape = tensors[name].shape
    fixed = kind != "ngram" or name in ("sizes", "min_counts")
    expected = str(shape) if fixed else "one-dimensional"
    tensors[name] = tensors[name][None]
    with pytest.raises(CorruptModelError, match=f"'{name}' must have") as info:
        STEPPERS[kind](config, tensors)
    assert f"Expected: {expected}. Received: {(1, *shape)}" in str(info.value)


@pytest.mark.parametrize("key", ["vocab_size", "embedding_dim", "hidden_size"])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_config_of_another_size_is_refused(kind, key, tokens):
    """Sizes of the config and shapes of the tensors must agree."""
    config, tensors = small(kind, tokens)
    with pytest.raises(CorruptModelError, match="the shape that its config implies"):
        STEPPERS[kind]({**config, key: config[key] + 1}, tensors)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("tokens", lambda a: np.where(a == 3, V, a).astype(np.uint8)),
        ("tokens", lambda a: a[:-1]),
        ("tokens", lambda a: np.concatenate([a[:1], a[2:3], a[1:2], a[3:]])),
        ("tokens", lambda a: np.concatenate([a[:1], a[:1], a[:1], a[3:]])),
        ("tokens", lambda a: a[:0]),
        ("counts", lambda a: np.where(a == 1, 0, a).astype(np.uint8)),
        ("counts", lambda a: a[:-1]),
        ("counts", lambda a: np.where(a == 1, 255, a).astype(np.uint8)),
        ("large_counts", lambda a: -a),
        ("large_counts", lambda a: np.concatenate([a, a])),
        ("branches", lambda a: a[:-1]),
        ("branches", lambda a: a[::-1].copy()),
        ("branches", lambda a: np.concatenate([a[:-1], a[-1:] + 1])),
        ("branches", lambda a: np.concatenate([a[:-1], [V + 1]]).astype(np.uint8)),
        ("large_branches", lambda a: np.array([300])),
        ("sizes", lambda a: a[::-1].copy()),
        ("sizes", lambda a: -a),
        ("sizes", lambda a: a + 2**62),
        ("min_counts", lambda a: a - 1),
        ("min_counts", lambda a: a + 2),
    ],
)
def test_damaged_tables_are_refused(table, change, tokens):
    """Tables that are not sorted, not complete or point outside are not read."""
    config, tensors = small("ngram", tokens)
    tensors[table] = change(tensors[table])
    with pytest.raises(CorruptModelError, match="tables of n-grams contradict each other"):
        STEPPERS["ngram"](config, tensors)


def test_an_ngram_without_its_suffix_is_refused(tokens):
    """Every context has a shorter one to fall back to."""
    config, _ = small("ngram", tokens)
    none = np.zeros(0, dtype=np.int64)
    levels = [Level(none, none, none) for _ in range(3)]
    levels[0] = Level(np.zeros(1, np.int64), np.array([1]), np.array([2]))
    levels[1] = Level(np.zeros(1, np.int64), np.array([2]), np.array([2]))
    tensors = Trie.from_levels(levels, V, np.ones(3, dtype=np.uint8)).to_tensors()
    with pytest.raises(CorruptModelError, match="tables of n-grams contradict each other"):
        STEPPERS["ngram"](config, tensors)


OLD = Path(__file__).parents[1] / "data" / "0.1.0-ngram.safetensors"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("starts", lambda a: a[:-1]),
        ("starts", lambda a: a + 1),
        ("starts", lambda a: np.concatenate([a[:1] + 1, a[1:]])),
        ("starts", lambda a: np.concatenate([a[:1], a[2:3], a[1:2], a[3:]])),
        ("starts", lambda a: np.concatenate([a[:1], a[:1], a[2:]])),
        ("starts", lambda a: np.concatenate([a[:-1], a[-1:] + 1])),
        # differences that overflow look as if they grew
        ("starts", lambda a: np.concatenate([a[:1], [2**63 - 1, -(2**63), -1], a[4:]])),
        ("contexts", lambda a: a[::-1]),
        ("contexts", lambda a: np.concatenate([a[:1], a[:1], a[2:]])),
        ("contexts", lambda a: a[:-1]),
        ("contexts", lambda a: a + 2**40),
        ("tokens", lambda a: np.where(a == 3, 15, a)),
        ("tokens", lambda a: np.where(a == 3, -1, a)),
        ("tokens", lambda a: a[:-1]),
        ("tokens", lambda a: a[::-1]),
        ("counts", lambda a: np.where(a == a.max(), 0, a)),
        ("counts", lambda a: -a),
        ("counts", lambda a: a[:-1]),
    ],
)
def test_damaged_tables_of_old_files_are_refused(table, change):
    """Those that textrnn 0.1.0 wrote are checked as well before they are read."""
    with OLD.open("rb") as file:
        reader = Reader(file, OLD)
        config, tensors = reader.header["model"], reader.tensors()
    old_ngram.upgrade(config, tensors)
    tensors[f"levels.1.{table}"] = change(tensors[f"levels.1.{table}"])
    with pytest.raises(CorruptModelError, match=r"contradict each other"):
        STEPPERS["ngram"](config, old_ngram.upgrade(config, tensors))


# Counting


def test_nothing_counted_is_uniform():
    """Without counts every token is as likely as every other, whatever came before."""
    model = NGramModel(V, order=3)
    found, _ = stepped(
        STEPPERS["ngram"](model.config, state_arrays(model)), np.array([[0, 5], [3, 3]])
    )
    np.testing.assert_array_equal(found, np.full((2, 2, V), -np.log(V), dtype=np.float32))


@pytest.mark.parametrize("node", [-1, 10**6])
def test_a_state_that_is_no_context_is_refused(tokens, node):
    """A state of another model may name a context that this one has not."""
    config, tensors = small("ngram", tokens)
    stepper = STEPPERS["ngram"](config, tensors)
    stepper.check_state((np.array([0]),))
    with pytest.raises(ValueError, match=rf"another model.* below \d+. Received: {node}"):
        stepper.check_state((np.array([node]),))
