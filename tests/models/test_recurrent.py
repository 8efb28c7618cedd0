"""RNN, GRU and LSTM: their arithmetic, their initial weights, their dropouts."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.models import GRUModel
from textrnn.models.layers import Dropout
from textrnn.models.registry import MODELS, build

RECURRENT = ["rnn", "gru", "lstm"]


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


def test_an_embedding_is_as_wide_as_the_vocabulary_but_at_most_64():
    """``embedding_dim=None`` is min(V, 64), and the config says which."""
    assert GRUModel(20, hidden_size=4).config["embedding_dim"] == 20
    assert GRUModel(200, hidden_size=4).config["embedding_dim"] == 64


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
    """The first layer's columns are the tokens' vectors."""
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
    args: dict[str, Any] = {"num_layers": 2, "hidden_size": 6, "weight_drop": 0.5}
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
    """A token is dropped wherever it is in a batch, or nowhere."""
    model = build("rnn", 40, {"hidden_size": 6, "embedding_dropout": 0.5, **arguments}, seed=0)
    model.embedding_dropout.generator = torch.Generator().manual_seed(3)
    inputs = []
    model.layers[0].register_forward_hook(lambda module, args, result: inputs.append(args[0]))
    ids = torch.arange(40).repeat(2, 2)  # each token twice in each of two rows
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
