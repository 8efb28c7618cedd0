"""The contract that every family keeps, and each family's own arithmetic."""

import copy
import json
import math
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.errors import CorruptModelError
from textrnn.generation.steppers import STEPPERS
from textrnn.models import GRUModel, LSTMModel, NGramModel
from textrnn.models.arrays import from_arrays, load_arrays, state_arrays
from textrnn.models.base import LanguageModel, detach
from textrnn.models.layers import Dropout
from textrnn.models.registry import MODELS, build, make_stepper, model_type_of
from textrnn.models.torch_steppers import ModuleStepper

RECURRENT = ["rnn", "gru", "lstm"]
_RECURRENT = {
    "hidden_size": 4,
    "num_layers": 2,
    "dropout": 0.25,
    "output_dropout": 0.5,
    "embedding_dropout": 0.1,
    "weight_drop": 0.3,
    "input": "embedding",
    "tie_weights": False,
}
_WINDOW = {"embedding_dim": 3, "hidden_size": 4, "dropout": 0.25}


class Bigram(LanguageModel):
    """A model of a user's own: a table of logits."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, state=None):
        """Look up a row for each token."""
        return self.table(ids), None

    def layer_groups(self):
        """There is one."""
        return {"table": list(self.table.parameters())}


@pytest.fixture
def x(ids):
    """Two texts of 60 tokens: (2, 60) int64."""
    return torch.from_numpy(ids[:120].astype(np.int64)).view(2, 60)


def arrays_of(model):
    """Copy a model's tensors, to compare with later."""
    return {name: array.copy() for name, array in state_arrays(model).items()}


def assert_same_arrays(one, other):
    """Compare names, dtypes and values."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], strict=True, err_msg=name)


# The contract, over all families


def test_every_family_is_tested(request):
    """The shared fixture ``model`` has a model of each family in ``MODELS``."""
    here = str(Path(__file__).parents[1] / "conftest.py")
    plugins = request.config.pluginmanager.get_plugins()
    conftest = next(p for p in plugins if getattr(p, "__file__", None) == here)
    assert {kind for kind, _ in conftest.SMALL.values()} == MODELS.keys()


@pytest.mark.parametrize(
    "cuts", [[1], [17], [59], [2, 3, 5, 31], list(range(1, 60))], ids=lambda cuts: f"{len(cuts)}"
)
def test_any_cut_gives_the_logits_of_one_pass(model, x, cuts):
    """Reading a text in parts, token by token too, is reading it at once."""
    whole, last = model(x)
    state, parts = None, []
    for start, stop in zip([0, *cuts], [*cuts, 60], strict=True):
        logits, state = model(x[:, start:stop], state)
        parts.append(logits)
    assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-6)
    assert_close(state, last, rtol=1e-5, atol=1e-6)


def test_rows_know_nothing_of_each_other(model, x):
    """A text scores the same alone as beside another, also when both go on."""
    both, state = model(x[:, :30])
    both = torch.cat([both, model(x[:, 30:], state)[0]], dim=1)
    for row in range(2):
        alone, state = model(x[row : row + 1, :30])
        alone = torch.cat([alone, model(x[row : row + 1, 30:], state)[0]], dim=1)
        assert_close(alone[0], both[row], rtol=1e-5, atol=1e-6)


def test_a_state_can_be_used_twice(model, x):
    """Going on from a state does not change it."""
    _, state = model(x[:, :30])
    first, _ = model(x[:, 30:], state)
    model(x[:, :7], state)
    assert torch.equal(model(x[:, 30:], state)[0], first)


def test_config_rebuilds_the_class(model):
    """``type(m)(**m.config)`` has the same config and the same tensors but for their values."""
    config = json.loads(json.dumps(model.config))
    other = type(model)(**config)
    assert other.config == model.config
    assert other.vocab_size == model.vocab_size == config["vocab_size"]
    assert [name for name, _ in other.named_parameters()] == [
        name for name, _ in model.named_parameters()
    ]
    assert [p.shape for p in other.parameters()] == [p.shape for p in model.parameters()]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("ngram", {"order": 2, "smoothing": None}),
        ("gru", {"embedding_dim": 3, **_RECURRENT}),
        ("gru", {"embedding_dim": None, **_RECURRENT, "input": "onehot"}),
        ("lstm", {"embedding_dim": 4, **_RECURRENT, "tie_weights": True}),
        (
            "rnn",
            {
                "embedding_dim": 3,
                **_RECURRENT,
                "nonlinearity": "relu",
                "recurrent_init": "identity",
            },
        ),
        ("window_mlp", {"window": 2, **_WINDOW}),
        ("window_rnn", {"window": 2, "combine": "add", **_WINDOW}),
    ],
)
def test_config_is_what_the_model_was_built_with(kind, arguments):
    """Every argument stands in the config with the value that was given."""
    assert MODELS[kind](9, **arguments).config == {"vocab_size": 9, **arguments}


def test_every_parameter_is_in_one_layer_group(model):
    """The layer groups hold each parameter exactly once, and nothing else."""
    grouped = [id(p) for group in model.layer_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("kind", RECURRENT)
def test_layer_groups_go_from_input_to_output(kind):
    """A recurrent model's groups are its embedding, its layers in order, and its head."""
    model = MODELS[kind](7, hidden_size=4, num_layers=3)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {k: {names[id(p)] for p in ps} for k, ps in model.layer_groups().items()}
    assert list(groups) == ["embedding", "layer0", "layer1", "layer2", "head"]
    assert groups["embedding"] == {"embedding.weight"}
    assert groups["head"] == {"head.weight", "head.bias"}
    assert {name.rsplit(".", 1)[0] for name in groups["layer1"]} == {"layers.1"}


def test_a_model_of_the_wrong_vocab_size_cannot_be_made(family):
    """``vocab_size`` is at least 1, in every family."""
    with pytest.raises(ValueError, match=r"`vocab_size` must be at least 1\. Received: 0"):
        MODELS[family](0)


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "match"),
    [
        ("ngram", {"order": 0}, ValueError, "`order` must be at least 1"),
        ("ngram", {"order": 2.0}, TypeError, "`order` must be a whole number"),
        ("ngram", {"smoothing": "witten"}, ValueError, "`smoothing`.*'witten_bell', None"),
        ("rnn", {"nonlinearity": "sigmoid"}, ValueError, "`nonlinearity`.*'tanh', 'relu'"),
        ("rnn", {"recurrent_init": "eye"}, ValueError, "`recurrent_init`.*'identity'"),
        ("gru", {"hidden_size": 0}, ValueError, "`hidden_size` must be at least 1"),
        ("gru", {"embedding_dim": -1}, ValueError, "`embedding_dim` must be at least 1"),
        ("lstm", {"num_layers": 0}, ValueError, "`num_layers` must be at least 1"),
        ("lstm", {"num_layers": True}, TypeError, "`num_layers` must be a whole number"),
        ("lstm", {"dropout": 1.0}, ValueError, r"`dropout` must be a number in \[0, 1\)"),
        ("lstm", {"weight_drop": 1.0}, ValueError, r"`weight_drop` must be a number in \[0, 1\)"),
        ("gru", {"embedding_dropout": 2}, ValueError, r"`embedding_dropout` must be a number in"),
        ("gru", {"input": "one_hot"}, ValueError, "`input`.*Did you mean 'onehot'"),
        ("rnn", {"input": "onehot", "embedding_dim": 4}, ValueError, "has no embedding"),
        ("rnn", {"input": "onehot", "tie_weights": True}, ValueError, "has no embedding"),
        ("rnn", {"tie_weights": True, "embedding_dim": 4}, ValueError, "as wide as the state"),
        ("rnn", {"tie_weights": "yes"}, ValueError, "`tie_weights` must be one of False, True"),
        ("window_mlp", {"window": 0}, ValueError, "`window` must be at least 1"),
        ("window_mlp", {"embedding_dim": 0}, ValueError, "`embedding_dim` must be at least 1"),
        ("window_rnn", {"window": 2.5}, TypeError, "`window` must be a whole number"),
        ("window_rnn", {"combine": "sum"}, ValueError, "`combine`.*'add', 'concat'"),
        ("window_rnn", {"hidden_size": 0}, ValueError, "`hidden_size` must be at least 1"),
        ("lstm", {"dropout": -0.1}, ValueError, r"`dropout` must be a number in \[0, 1\)"),
    ],
)
def test_arguments_out_of_range_are_refused(kind, arguments, error, match):
    """A constructor says which argument is wrong, and what it may be."""
    with pytest.raises(error, match=match):
        MODELS[kind](5, **arguments)


def test_an_embedding_is_as_wide_as_the_vocabulary_but_at_most_64():
    """``embedding_dim=None`` is min(V, 64), and the config says which."""
    assert GRUModel(20, hidden_size=4).config["embedding_dim"] == 20
    assert GRUModel(200, hidden_size=4).config["embedding_dim"] == 64


# The recurrent families


def rnn_tanh(x, h, _, w, u, b, c):
    """Elman 1990."""
    h = torch.tanh(x @ w.T + b + h @ u.T + c)
    return h, h


def rnn_relu(x, h, _, w, u, b, c):
    """Le, Jaitly and Hinton 2015."""
    h = torch.relu(x @ w.T + b + h @ u.T + c)
    return h, h


def gru(x, h, _, w, u, b, c):
    """Cho et al. 2014, the reset gate after the product as in cuDNN."""
    x_r, x_z, x_n = (x @ w.T + b).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ u.T + c).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    h = (1 - z) * torch.tanh(x_n + r * h_n) + z * h
    return h, h


def lstm(x, h, cell, w, u, b, c):
    """Hochreiter and Schmidhuber 1997, Gers et al. 2000."""
    i, f, g, o = (x @ w.T + b + h @ u.T + c).chunk(4, dim=-1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


@pytest.mark.parametrize(
    ("kind", "options", "cell"),
    [
        ("rnn", {}, rnn_tanh),
        ("rnn", {"nonlinearity": "relu"}, rnn_relu),
        ("gru", {}, gru),
        ("lstm", {}, lstm),
    ],
)
def test_recurrent_models_equal_the_recurrence_written_out(kind, options, cell, generator):
    """Two layers of each cell are what the papers' formulas give, with random biases too."""
    model = MODELS[kind](9, embedding_dim=3, hidden_size=6, num_layers=2, **options)
    weights = {k: torch.randn(w.shape, generator=generator) for k, w in model.state_dict().items()}
    model.load_state_dict(weights)
    ids = torch.randint(9, (2, 12), generator=generator)
    expected = []
    h = [[torch.zeros(2, 6)] * 2, [torch.zeros(2, 6)] * 2]
    for column in ids.T:
        x = weights["embedding.weight"][column]
        for i in range(2):
            w, u, b, c = (
                weights[f"layers.{i}.{name}_l0"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h[i] = cell(x, *h[i], w, u, b, c)
            x = h[i][0]
        expected.append(x @ weights["head.weight"].T + weights["head.bias"])
    assert_close(model(ids)[0], torch.stack(expected, dim=1), rtol=1e-5, atol=1e-5)


def test_the_same_seed_gives_the_same_weights(family):
    """``build`` depends on nothing but the seed."""
    arguments = {} if family == "ngram" else {"hidden_size": 8}
    torch.manual_seed(1)
    first = arrays_of(build(family, 11, arguments, seed=5))
    torch.manual_seed(2)
    assert_same_arrays(arrays_of(build(family, 11, arguments, seed=5)), first)


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("seed", [6, None])
def test_other_seeds_give_other_weights(kind, seed):
    """Another seed changes every random tensor, and None is another seed every time."""
    one, other = (
        build(kind, 11, {"hidden_size": 8}, seed=s).state_dict()
        for s in (5 if seed else None, seed)
    )
    random = [name for name in one if "weight" in name]
    assert len(random) == 4
    assert not any(torch.equal(one[name], other[name]) for name in random)


@pytest.mark.parametrize("seed", [0, None])
def test_building_leaves_the_global_randomness_alone(family, seed):
    """``build`` draws nothing from torch's global generator."""
    arguments = {} if family == "ngram" else {"hidden_size": 8}
    before = torch.get_rng_state()
    build(family, 11, arguments, seed)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_weights_start_orthogonal(kind):
    """Each gate's block of each layer satisfies W W^T = 1."""
    model = build(kind, 7, {"hidden_size": 20, "num_layers": 2}, seed=0)
    for layer in model.layers:
        for gate in layer.weight_hh_l0.detach().split(20):
            assert_close(gate @ gate.T, torch.eye(20), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", RECURRENT)
def test_input_weights_start_glorot_uniform(kind):
    """Each gate fills the interval +-sqrt(6 / (in + out)) and does not leave it."""
    model = build(kind, 50, {"embedding_dim": 30, "hidden_size": 40, "num_layers": 2}, seed=0)
    for layer in model.layers:
        for gate in layer.weight_ih_l0.detach().split(40):
            bound = math.sqrt(6 / (gate.shape[0] + gate.shape[1]))
            assert 0.99 * bound < float(gate.abs().max()) <= bound
    assert 0.99 < float(model.head.weight.detach().abs().max()) / math.sqrt(6 / 90) <= 1


@pytest.mark.parametrize("kind", RECURRENT)
def test_biases_start_at_zero(kind):
    """Every bias is 0, a forget gate's too."""
    model = build(kind, 7, {"hidden_size": 3, "num_layers": 2}, seed=0)
    biases = [p for name, p in model.named_parameters() if "bias" in name]
    assert len(biases) == 5
    assert all(torch.equal(bias, torch.zeros_like(bias)) for bias in biases)


@pytest.mark.parametrize(
    ("kind", "arguments", "std"),
    [("lstm", {}, 1.0), ("window_mlp", {}, 1.0), ("gru", {"tie_weights": True}, 0.1)],
)
def test_embeddings_start_with_variance_1_unless_they_are_the_head_too(kind, arguments, std):
    """Over 200 x 64 numbers, within five standard errors; a tied embedding has less."""
    model = build(kind, 200, {"hidden_size": 64, **arguments}, seed=0)
    vectors = model.embedding.weight.detach()
    assert float(vectors.std()) == pytest.approx(std, rel=5 / math.sqrt(2 * vectors.numel()))


def test_an_identity_network_starts_with_the_identity():
    """``recurrent_init="identity"`` makes every layer remember its state as it is."""
    args = {"hidden_size": 5, "num_layers": 2, "recurrent_init": "identity"}
    model = build("rnn", 7, args, seed=0)
    assert torch.equal(model.layers[0].weight_hh_l0, torch.eye(5))
    assert torch.equal(model.layers[1].weight_hh_l0, torch.eye(5))


def test_one_hot_input_is_an_embedding_by_the_identity(generator):
    """The first layer's columns are the symbols' vectors."""
    one_hot = build("lstm", 7, {"input": "onehot", "hidden_size": 5}, seed=0)
    other = build("lstm", 7, {"embedding_dim": 7, "hidden_size": 5}, seed=0)
    other.load_state_dict({**one_hot.state_dict(), "embedding.weight": torch.eye(7)})
    ids = torch.randint(7, (2, 9), generator=generator)
    assert_close(one_hot(ids)[0], other(ids)[0])
    assert list(one_hot.layer_groups()) == ["layer0", "head"]


def test_a_tied_head_is_the_embedding(generator):
    """The logits are products with the embedding's rows; there is no other matrix for them."""
    model = build("rnn", 7, {"tie_weights": True, "hidden_size": 5}, seed=0)
    nn.init.normal_(model.head.bias, generator=generator)
    h = []
    model.layers[0].register_forward_hook(lambda module, args, result: h.append(result[0]))
    logits, _ = model(torch.randint(7, (2, 9), generator=generator))
    expected = h[0].transpose(0, 1) @ model.embedding.weight.T + model.head.bias
    assert_close(logits, expected)
    assert [name for name in model.state_dict() if "head" in name] == ["head.bias"]
    assert model.config["embedding_dim"] == 5


# The window models


def window_logits(model, window):
    """Score one window of vectors (w, E) by the formulas of the docstrings."""
    c, p = model.config, dict(model.named_parameters())

    def linear(name, x):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    if "combine" not in c:
        return linear("head", torch.relu(linear("hidden", window.flatten())))
    h = torch.zeros(c["hidden_size"])
    for x in window:
        if c["combine"] == "add":
            h = torch.tanh(linear("recurrent", h + torch.relu(linear("input", x))))
        else:
            h = torch.tanh(linear("recurrent", torch.relu(linear("input", torch.cat([h, x])))))
    return linear("head", h)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("window_mlp", {}), ("window_rnn", {"combine": "add"}), ("window_rnn", {"combine": "concat"})],
)
def test_window_models_equal_their_formulas(kind, arguments, generator):
    """Every position of a text is the formula on its window; before the text are zeros."""
    model = build(kind, 9, {"window": 3, "embedding_dim": 4, "hidden_size": 6, **arguments}, seed=0)
    for name, parameter in model.named_parameters():
        if "bias" in name:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    ids = torch.randint(9, (2, 8), generator=generator)
    vectors = torch.cat([torch.zeros(2, 2, 4), model.embedding(ids)], dim=1)
    expected = torch.stack(
        [torch.stack([window_logits(model, row[t : t + 3]) for t in range(8)]) for row in vectors]
    )
    assert_close(model(ids)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["window_mlp", "window_rnn"])
def test_a_window_model_sees_the_window_and_nothing_before(kind, generator):
    """Changing the oldest token of a window changes its score, changing one before does not."""
    model = build(kind, 9, {"window": 3, "hidden_size": 6}, seed=0)
    ids = torch.randint(8, (1, 6), generator=generator)
    scores = model(ids)[0][0, 5]
    for at, changes in ((2, False), (3, True), (5, True)):
        other = ids.clone()
        other[0, at] += 1
        assert torch.equal(model(other)[0][0, 5], scores) != changes


@pytest.mark.parametrize("kind", ["window_mlp", "window_rnn"])
def test_a_window_can_be_given_as_the_state(kind, generator):
    """A window's first w-1 ids are the state before its last."""
    model = build(kind, 9, {"window": 4, "hidden_size": 6}, seed=0)
    ids = torch.randint(9, (5, 4), generator=generator)
    assert_close(model(ids[:, -1:], ids[:, :-1])[0][:, 0], model(ids)[0][:, -1])


# Dropout


def test_a_mask_is_shared_by_what_it_is_spread_over(generator):
    """A feature is dropped at every step or at none, scaled by 1 / (1 - p) if it is kept."""
    layer = Dropout("dropout", 0.25)
    layer.generator = generator
    y = layer(torch.ones(5, 3, 40), mask=(3, 40))
    assert torch.equal(y, y[:1].expand_as(y))
    assert_close(y.unique(), torch.tensor([0, 1 / 0.75]))
    assert not torch.equal(y[0, 0], y[0, 1])  # each row has a mask of its own


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(p, generator):
    """Over 90,000 features the mean stays the same, within five standard errors."""
    layer = Dropout("dropout", p)
    layer.generator = generator
    error = math.sqrt(p / (1 - p) / 90_000)
    assert float(layer(torch.ones(1, 300, 300)).mean()) == pytest.approx(1, abs=5 * error)


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_dropout_does_nothing_when_off(p, training, generator):
    """In evaluation, and with p = 0, it gives its input back."""
    x = torch.randn(4, 2, 3, generator=generator)
    assert torch.equal(Dropout("dropout", p).train(training)(x), x)


def test_dropout_draws_from_its_generator():
    """The same generator gives the same masks, and the global one is not touched."""
    layer, x, masks = Dropout("dropout", 0.5), torch.ones(2, 3, 50), []
    before = torch.get_rng_state()
    for _ in range(2):
        layer.generator = torch.Generator().manual_seed(3)
        masks.append((layer(x), layer(x)))
    assert torch.equal(torch.get_rng_state(), before)
    assert_close(masks[0], masks[1], rtol=0, atol=0)
    assert not torch.equal(masks[0][0], masks[0][1])


@pytest.mark.parametrize("kind", RECURRENT)
def test_dropout_acts_in_training_only(kind, x, vocab):
    """In evaluation a model with dropout is the one without; in training it is not."""
    args = {"hidden_size": 16, "num_layers": 2}
    plain = build(kind, len(vocab), args, seed=0).eval()
    dropping = build(kind, len(vocab), {**args, "dropout": 0.5}, seed=0)
    assert not torch.allclose(dropping.train()(x)[0], plain(x)[0])
    assert torch.equal(dropping.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize("kind", [*RECURRENT, "rnn, relu"])
def test_weight_drop_drops_recurrent_weights(kind, generator):
    """In training a model runs with part of its U at zero, the rest doubled, and only of its U."""
    args = {"num_layers": 2, "hidden_size": 6, "weight_drop": 0.5}
    args |= {"nonlinearity": "relu"} if "relu" in kind else {}
    model = build(kind.split(",")[0], 9, args, seed=0)
    ids = torch.randint(9, (3, 5), generator=generator)
    model.weight_drop.generator = torch.Generator().manual_seed(3)
    logits, state = model(ids)
    again, _ = model(ids, state)
    layer = Dropout("weight_drop", 0.5)  # the same masks
    layer.generator = torch.Generator().manual_seed(3)
    twin = copy.deepcopy(model).eval()
    for expected, carried in ((logits, None), (again, state)):
        for cell, source in zip(twin.layers, model.layers, strict=True):
            cell.weight_hh_l0.data = layer(source.weight_hh_l0.detach())
        assert_close(twin(ids, carried)[0], expected)
        assert 0.2 < float((twin.layers[1].weight_hh_l0 == 0).float().mean()) < 0.8


@pytest.mark.parametrize("kind", RECURRENT)
def test_gradients_reach_every_weight_through_a_weight_drop(kind, generator):
    """What is dropped gets none, what is kept does."""
    model = build(kind, 9, {"hidden_size": 6, "weight_drop": 0.5}, seed=0)
    model.weight_drop.generator = torch.Generator().manual_seed(3)
    model(torch.randint(9, (3, 5), generator=generator))[0].square().sum().backward()
    layer = Dropout("weight_drop", 0.5)
    layer.generator = torch.Generator().manual_seed(3)
    kept = layer(torch.ones_like(model.layers[0].weight_hh_l0)) != 0
    assert torch.equal(model.layers[0].weight_hh_l0.grad != 0, kept)
    assert all(bool((p.grad != 0).any()) for p in model.parameters())


@pytest.mark.parametrize("arguments", [{}, {"input": "onehot"}])
def test_embedding_dropout_drops_whole_symbols(arguments, generator):
    """A symbol is missing wherever it stands in a batch, or nowhere."""
    model = build("rnn", 40, {"hidden_size": 6, "embedding_dropout": 0.5, **arguments}, seed=0)
    model.embedding_dropout.generator = torch.Generator().manual_seed(3)
    inputs = []
    model.layers[0].register_forward_hook(lambda module, args, result: inputs.append(args[0]))
    ids = torch.arange(40).repeat(2, 2)  # each symbol twice in each of two rows
    model(ids)
    missing = (inputs[0] == 0).all(dim=2).t()  # (B, T)
    assert torch.equal(missing, missing[:1, :40].repeat(2, 2))
    assert 10 <= int(missing[0, :40].sum()) <= 30


def test_output_dropout_is_of_the_last_layer_only(generator):
    """It defaults to ``dropout``; 0 leaves what goes to the head whole."""
    args = {"hidden_size": 30, "num_layers": 2, "dropout": 0.5}
    whole = build("gru", 9, {**args, "output_dropout": 0.0}, seed=0)
    both = build("gru", 9, args, seed=0)
    assert both.config["output_dropout"] == 0.5
    ids = torch.randint(9, (3, 5), generator=generator)
    for model, share in ((whole, 0.0), (both, 0.5)):
        inputs = []
        model.head.register_forward_pre_hook(
            lambda module, args, inputs=inputs: inputs.append(args)
        )
        model(ids)
        zeros = float((inputs[0][0] == 0).float().mean())
        assert zeros == pytest.approx(share, abs=share / 2)


# Larger vocabularies


def grown(model, extra):
    """Return the model with more symbols, each like the old symbol in ``extra``, -1 for none."""
    origins = np.array([*range(model.vocab_size), *extra])
    return model.extend(len(origins), origins)


def test_a_grown_model_knows_what_it_knew(model, x):
    """On the old symbols it gives the old scores, and the old states."""
    v = model.vocab_size
    expected, state = model(x)
    logits, new_state = grown(model, [0, -1, -1])(x)
    assert logits.shape[-1] == v + 3
    if isinstance(model, NGramModel):  # new symbols take a share of what was never seen
        expected, logits = expected.softmax(-1), logits[..., :v].softmax(-1)
        assert_close(logits, expected, rtol=0.05, atol=0.01)
    else:
        assert_close(logits[..., :v], expected)
    assert_close(new_state, state)


def test_a_new_symbol_starts_as_its_relative(model, x):
    """It is scored like the symbol it is like, and read like it."""
    if isinstance(model, NGramModel):
        pytest.skip("a counting model starts a new symbol from nothing")
    v = model.vocab_size
    new = grown(model, [3])
    logits, _ = new(x)
    assert_close(logits[..., v], logits[..., 3])
    other = torch.where(x == 3, v, x)
    assert bool((other != x).any())
    assert_close(new(other)[0], logits)


def test_a_new_symbol_without_a_relative_starts_as_the_mean(generator):
    """Row by row, in the embedding and in the head."""
    model = build("lstm", 5, {"embedding_dim": 3, "hidden_size": 4}, seed=0)
    new = grown(model, [-1])
    for name in ("embedding.weight", "head.weight", "head.bias"):
        assert_close(new.get_parameter(name)[5], model.get_parameter(name).mean(dim=0))


def test_growing_finds_the_axes_of_a_user_s_model():
    """Both axes of a table of bigrams are symbols."""
    new = grown(Bigram(4), [2])
    assert torch.equal(new.table.weight[:, 4], new.table.weight[:, 2])
    assert torch.equal(new.table.weight[4], new.table.weight[2])
    assert new.config == {"vocab_size": 5}


def test_growing_keeps_what_is_frozen_and_leaves_the_old_model_alone():
    """The flags of the parameters go along; nothing is shared."""
    model = build("gru", 5, {"hidden_size": 4}, seed=0).eval()
    model.embedding.weight.requires_grad_(False)
    before = arrays_of(model)
    new = grown(model, [-1])
    assert [p.requires_grad for p in new.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    assert not new.training
    for p in new.parameters():
        p.data.zero_()
    assert_same_arrays(arrays_of(model), before)


def test_growing_draws_no_random_numbers():
    """The global generator of torch stays as it is."""
    model, before = build("gru", 5, {"hidden_size": 4}, seed=0), torch.get_rng_state()
    grown(model, [-1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
def test_a_grown_counting_model_has_counted_the_same(smoothing):
    """Its tables are those of a larger model that counted the text in its ids, and it counts on."""
    ids = np.random.default_rng(0).integers(5, size=200)
    new_ids = np.array([0, 1, 2, 3, 6])  # the last symbol moves behind two new ones
    model = NGramModel(5, order=3, smoothing=smoothing)
    expected = NGramModel(7, order=3, smoothing=smoothing)
    model.count(ids)
    expected.count(new_ids[ids])
    new = model.extend(7, np.array([0, 1, 2, 3, -1, 0, 4]))
    assert_same_arrays(arrays_of(new), arrays_of(expected))
    for counting in (new, expected):
        counting.count(np.array([4, 5, 0, 4, 5]))
    assert_same_arrays(arrays_of(new), arrays_of(expected))
    text = torch.arange(7)[None]
    assert torch.equal(new(text)[0], expected(text)[0])


# Counting


def counts_by_hand(*texts, order):
    """Count what followed every context of up to order - 1 tokens, in each of the texts."""
    counts = defaultdict(Counter)
    for text in texts:
        for i, token in enumerate(text):
            for k in range(min(i + 1, order)):
                counts[tuple(text[i - k : i])][token] += 1
    return counts


def witten_bell(counts, context, token, vocab_size):
    """Mix the counts after a context with those after one shorter, down to uniform."""
    lower = witten_bell(counts, context[1:], token, vocab_size) if context else 1 / vocab_size
    seen = counts.get(context, Counter())
    if not seen:
        return lower
    return (seen[token] + len(seen) * lower) / (seen.total() + len(seen))


def maximum_likelihood(counts, context, token, vocab_size):
    """Take the frequencies after the longest context that was seen."""
    seen = counts.get(context, Counter())
    if seen:
        return seen[token] / seen.total()
    return maximum_likelihood(counts, context[1:], token, vocab_size) if context else 1 / vocab_size


BY_HAND = {"witten_bell": witten_bell, None: maximum_likelihood}


def probabilities_by_hand(counts, text, *, order, vocab_size, smoothing="witten_bell"):
    """Return the distribution after each prefix of a text: (T, V)."""
    return [
        [
            BY_HAND[smoothing](
                counts, tuple(text[max(0, t + 2 - order) : t + 1]), token, vocab_size
            )
            for token in range(vocab_size)
        ]
        for t in range(len(text))
    ]


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 300])
def test_ngrams_equal_counts_by_hand(order, smoothing, length):
    """Every probability after every prefix of a new text is what counting by hand gives."""
    rng = np.random.default_rng(0)
    train = rng.choice(5, length, p=[0.4, 0.3, 0.2, 0.1, 0]).tolist()  # token 4 is never seen
    text = rng.integers(5, size=80).tolist()
    model = NGramModel(5, order=order, smoothing=smoothing)
    model.count(np.array(train, dtype=np.uint8))
    expected = probabilities_by_hand(
        counts_by_hand(train, order=order), text, order=order, vocab_size=5, smoothing=smoothing
    )
    found = model(torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5, 9])
@pytest.mark.parametrize("length", range(10))
def test_a_text_shorter_than_the_order_can_be_counted(order, length):
    """Contexts that the text is too short for are not there, and that is all."""
    train = [0, 1, 2, 0, 1, 1, 2, 2, 0][:length]
    model = NGramModel(3, order=order)
    model.count(np.array(train, dtype=np.int64))
    text = [0, 1, 2, 0, 1]
    expected = probabilities_by_hand(
        counts_by_hand(train, order=order), text, order=order, vocab_size=3
    )
    found = model(torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("lengths", [(200, 150), (150, 0), (0, 150), (1, 200), (200, 2)])
def test_counting_two_texts_merges_their_counts(lengths):
    """Texts counted one after the other give the sum of their counts, in either order."""
    rng = np.random.default_rng(1)
    one = rng.integers(0, 4, lengths[0]).tolist()
    other = rng.integers(2, 6, lengths[1]).tolist()
    models = []
    for texts in ((one, other), (other, one)):
        models.append(NGramModel(6, order=3))
        for text in texts:
            models[-1].count(np.array(text, dtype=np.int64))
    assert_same_arrays(state_arrays(models[0]), state_arrays(models[1]))
    text = rng.integers(6, size=50).tolist()
    merged = counts_by_hand(one, other, order=3)
    expected = probabilities_by_hand(merged, text, order=3, vocab_size=6)
    found = models[0](torch.tensor([text]))[0][0].double().exp()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", ["witten_bell", None])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_lower_order_is_a_model_of_that_order(ids, vocab, order, smoothing):
    """``truncated`` holds the tables that counting with the lower order gives."""
    high, low = (NGramModel(len(vocab), order=n, smoothing=smoothing) for n in (4, order))
    high.count(ids)
    low.count(ids)
    lowered = high.truncated(order)
    assert lowered.config == low.config
    assert_same_arrays(state_arrays(lowered), state_arrays(low))
    x = torch.from_numpy(ids[None, 100:200].astype(np.int64))
    assert torch.equal(lowered(x)[0], low(x)[0])


def test_counting_with_a_lower_order_leaves_the_original_alone(ids, vocab):
    """What a lowered model counts afterwards is not the original's."""
    model = NGramModel(len(vocab), order=3)
    model.count(ids)
    before = arrays_of(model)
    model.truncated(2).count(ids[::-1])
    assert_same_arrays(state_arrays(model), before)


@pytest.mark.parametrize("order", [0, 5])
def test_an_order_that_was_not_counted_is_refused(order):
    """``truncated`` takes orders from 1 to the model's own."""
    with pytest.raises(ValueError, match="`order` must be at least 1 and at most 4"):
        NGramModel(3, order=4).truncated(order)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_a_large_vocabulary_does_not_overflow(dtype):
    """Order 6 over 70,000 symbols keeps apart the 40,000 contexts of a text."""
    rng = np.random.default_rng(2)
    train = rng.integers(69_000, 70_000, 40_000)
    model = NGramModel(70_000, order=6)
    model.count(train.astype(dtype))
    counts = counts_by_hand(train.tolist(), order=6)
    text = train[30_000:30_010]
    tokens = [0, *text.tolist(), *train[:20].tolist(), 69_999]
    logits = model(torch.from_numpy(text[None]))[0][0]
    expected = [
        [
            witten_bell(counts, tuple(text[max(0, t - 4) : t + 1].tolist()), k, 70_000)
            for k in tokens
        ]
        for t in range(len(text))
    ]
    np.testing.assert_allclose(logits[:, tokens].double().exp(), expected, rtol=1e-5)


def test_ngrams_look_no_further_back_than_their_order(ids, vocab):
    """Two texts that share their last n-1 tokens have the same future."""
    model = NGramModel(len(vocab), order=4)
    model.count(ids)
    one = torch.from_numpy(ids[None, :50].astype(np.int64))
    other = one.clone()
    other[:, :47] = 0
    assert torch.equal(model(one)[0][:, -1], model(other)[0][:, -1])
    other[:, 47] = 0
    assert not torch.equal(model(one)[0][:, -1], model(other)[0][:, -1])


# What is done with any model: detach, restore, rebuild, model_type_of, build


def test_detach_cuts_every_tensor_from_its_graph():
    """Values stay, gradients end, and the nesting is kept."""
    weight = torch.ones(2, requires_grad=True)
    h, c = weight * 3, weight * 4
    assert h.requires_grad
    found = detach(((h, c), None, h))
    assert_close(found, ((h.detach(), c.detach()), None, h.detach()), rtol=0, atol=0)
    assert not any(tensor.requires_grad for tensor in (*found[0], found[2]))


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_detached_state_stops_gradients(kind):
    """What is read after ``detach`` does not reach the symbols before it."""
    model = MODELS[kind](4, embedding_dim=2, hidden_size=3)
    state = model(torch.tensor([[0, 1]]))[1]
    model(torch.tensor([[2, 3]]), detach(state))[0].sum().backward()
    reached = model.embedding.weight.grad.abs().sum(dim=1) > 0
    assert reached.tolist() == [False, False, True, True]


def test_restoring_gives_the_same_model(model, x):
    """A model built from class, config and tensors scores as the first one, and can be trained."""
    other = from_arrays(type(model), model.config, arrays_of(model))
    assert torch.equal(other(x)[0], model(x)[0])
    assert_same_arrays(state_arrays(other), state_arrays(model))
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
    before = arrays_of(model)
    other = {name: array + 1 for name, array in before.items()}
    arrays, name = damage(other, fault)
    with pytest.raises(CorruptModelError, match=match) as info:
        load_arrays(model, arrays)
    assert repr(name) in str(info.value)
    assert_same_arrays(state_arrays(model), before)


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_refused(kind, value):
    """One NaN or infinity is enough, and the model is what it was."""
    model = MODELS[kind](4, hidden_size=3)
    before = arrays_of(model)
    arrays = {name: array + 1 for name, array in before.items()}
    arrays["layers.0.bias_hh_l0"][2] = value
    with pytest.raises(CorruptModelError, match=r"'layers.0.bias_hh_l0' holds.*infinite or NaN"):
        load_arrays(model, arrays)
    assert_same_arrays(state_arrays(model), before)


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


def test_a_model_s_kind_is_its_name_in_the_table(model, kind):
    """``model_type_of`` is the inverse of ``MODELS``."""
    assert model_type_of(model) == kind
    assert model_type_of(copy.deepcopy(model)) == kind


def test_a_user_s_class_has_its_own_name():
    """A class that is not in the table, a subclass of one too, is not taken for one that is."""
    own = type("MyLSTM", (LSTMModel,), {})
    assert model_type_of(own(5, hidden_size=2)) == "MyLSTM"
    assert model_type_of(Bigram(5)) == "Bigram"


def test_our_families_are_stepped_without_torch(model, kind):
    """``make_stepper`` gives the NumPy stepper of a family, and the module for other classes."""
    assert type(make_stepper(model)) is STEPPERS[kind]
    assert type(make_stepper(Bigram(5))) is ModuleStepper


def test_build_hands_the_arguments_on(kind, model):
    """``build`` makes the family's class with the vocabulary's size and the arguments."""
    arguments = {k: v for k, v in model.config.items() if k != "vocab_size"}
    built = build(kind, 23, arguments, seed=0)
    assert type(built) is MODELS[kind]
    assert built.config == {**model.config, "vocab_size": 23}
    assert built.training
    assert not any(tensor.is_meta for tensor in built.state_dict().values())


def test_the_contract_cannot_be_left_half_done():
    """A model class without ``layer_groups`` cannot be made."""
    half = type("Half", (LanguageModel,), {"forward": lambda self, ids, state=None: None})
    with pytest.raises(TypeError, match=r"abstract.*layer_groups"):
        half(vocab_size=3)


def test_loading_imports_no_more_than_torch():
    """Some of torch imports hundreds of modules when it is first used, which takes seconds."""
    golden = Path(__file__).parents[1] / "data" / "0.1.0-lstm.safetensors"
    code = "import sys; from textrnn import TextGenerator; TextGenerator.load(sys.argv[1], 'cpu')"
    code += "; print('sympy' in sys.modules)"
    run = [sys.executable, "-c", code, str(golden)]
    result = subprocess.run(run, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
