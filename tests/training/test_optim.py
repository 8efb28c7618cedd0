"""Learning rates of layer groups, and the optimiser made of them."""

import math

import pytest
import torch
from torch.testing import assert_close

from textrnn.models import GRUModel, LSTMModel, NGramModel, RNNModel
from textrnn.training.optim import OPTIMIZERS, OptimizerConfig, learning_rates, make_optimizer

GROUPS = ["embedding", "layer0", "layer1", "head"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (0.1, [0.1, 0.1, 0.1, 0.1]),
        (2, [2.0, 2.0, 2.0, 2.0]),
        (slice(0.001, 1.0), [0.001, 0.01, 0.1, 1.0]),
        (slice(0.3, 0.3), [0.3, 0.3, 0.3, 0.3]),
        (slice(0.8, 0.1), [0.8, 0.4, 0.2, 0.1]),
        (slice(0.5), [0.05, 0.05, 0.05, 0.5]),
        ([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]),
        ((0.1, 0.2, 0.3, 0.4), [0.1, 0.2, 0.3, 0.4]),
        ({"head": 4, "embedding": 1, "layer0": 2, "layer1": 3}, [1.0, 2.0, 3.0, 4.0]),
    ],
    ids=str,
)
def test_learning_rates_of_layer_groups(spec, expected):
    """One rate is for all groups, a slice goes up by ratio, a list and a dict are taken as is."""
    rates = learning_rates(spec, GROUPS)
    assert list(rates) == GROUPS
    assert list(rates.values()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("spec", "rate"), [(slice(0.1, 0.4), 0.1), (slice(0.4), 0.4), (0.3, 0.3), ([0.2], 0.2)], ids=str
)
def test_learning_rates_of_a_single_group(spec, rate):
    """A model of one part has one rate."""
    assert learning_rates(spec, ["table"]) == {"table": rate}


@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        (0, ValueError, "`learning_rate` must be a number above 0. Received: 0"),
        (-0.1, ValueError, "above 0. Received: -0.1"),
        (math.nan, ValueError, "above 0. Received: nan"),
        (math.inf, ValueError, "above 0. Received: inf"),
        (True, TypeError, "above 0. Received: True"),
        ("fast", TypeError, "above 0. Received: 'fast'"),
        (None, TypeError, "above 0. Received: None"),
        (slice(0, 0.1), ValueError, "above 0. Received: 0"),
        (slice(0.1, -1), ValueError, "above 0. Received: -1"),
        (slice(0.1, None), TypeError, "above 0. Received: None"),
        (slice(None), TypeError, "`learning_rate`.*Received: "),
        (slice("a"), TypeError, "`learning_rate`.*Received: "),
        ([0.1, 0.2], ValueError, "each of the 4 layer groups .embedding, .*head.*: .0.1, 0.2."),
        ([0.1, 0.2, 0.3, 0.0], ValueError, "above 0. Received: 0.0"),
        ({"head": 0.1}, ValueError, "missing: embedding, layer0, layer1. Received: {'head': 0.1}"),
        (
            {"embedding": 1, "layer0": 1, "layer1": 1, "haed": 1},
            ValueError,
            "does not have. Did you mean 'head'. Its groups are: embedding, layer0, layer1, head",
        ),
        (
            {"embedding": 1, "layer0": 1, "layer1": 1, "head": "x"},
            TypeError,
            "above 0. Received: 'x'",
        ),
    ],
    ids=str,
)
def test_learning_rates_that_do_not_fit_are_refused(spec, error, match):
    """The message says what is wrong, lists the groups, and ends with what was received."""
    with pytest.raises(error, match=match):
        learning_rates(spec, GROUPS)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"optimizer": "adanw"}, ValueError, "`optimizer` must be .*Did you mean 'adamw'"),
        ({"optimizer": None}, ValueError, "`optimizer` must be one of 'adamw', 'adam', 'sgd'"),
        ({"schedule": "onecycle"}, ValueError, "`schedule` must be .*Did you mean 'one_cycle'"),
        ({"schedule": 0.5}, ValueError, "`schedule` must be one of 'one_cycle', 'cosine'"),
        ({"weight_decay": -0.1}, ValueError, "`weight_decay` must be a number of at least 0"),
        ({"weight_decay": "no"}, TypeError, "`weight_decay` must be a number of at least 0"),
        ({"clip_norm": 0}, ValueError, "`clip_norm` must be a number above 0. Received: 0"),
        ({"clip_norm": math.nan}, ValueError, "`clip_norm` must be a number above 0"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": math.inf}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": True}, TypeError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": "fast"}, TypeError, "`learning_rate` must be a number above 0"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(arguments, error, match):
    """A setting is checked when it is said, not when it is used."""
    with pytest.raises(error, match=match):
        OptimizerConfig(**arguments)


def test_settings_take_what_is_in_range():
    """No clipping, no decay, and a schedule of one's own are fine."""
    settings = OptimizerConfig(
        clip_norm=None, weight_decay=0, schedule=lambda progress: progress**2
    )
    assert settings.factor(0.5) == 0.25
    assert OptimizerConfig(schedule="cosine").factor(0.5) == 0.5


@pytest.fixture(params=[RNNModel, GRUModel, LSTMModel])
def model(request):
    """A recurrent model of two layers."""
    return request.param(5, embedding_dim=3, hidden_size=4, num_layers=2)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_parameter_is_optimised_once(model, optimizer):
    """The optimiser's groups hold each of the model's parameters exactly once."""
    groups = make_optimizer(model, OptimizerConfig(optimizer=optimizer)).param_groups
    found = sorted(id(p) for group in groups for p in group["params"])
    assert found == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize(("optimizer", "decay"), [("adamw", 0.01), ("adam", 0.0), ("sgd", 0.0)])
def test_decay_by_default(model, optimizer, decay):
    """AdamW's is decoupled from the gradient and on; where it is a part of it, there is none."""
    groups = make_optimizer(model, OptimizerConfig(optimizer=optimizer)).param_groups
    assert {group["weight_decay"] for group in groups} == {0.0, decay}


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_only_matrices_decay(model, optimizer):
    """Embeddings and weights are pulled towards zero, biases are not."""
    settings = OptimizerConfig(optimizer=optimizer, weight_decay=0.125)
    decays = {
        id(p): group["weight_decay"]
        for group in make_optimizer(model, settings).param_groups
        for p in group["params"]
    }
    for name, p in model.named_parameters():
        assert decays[id(p)] == (0.0 if "bias" in name else 0.125), name


def test_each_layer_group_has_its_rate(model):
    """Every parameter steps with the rate of its layer group, and remembers it as the peak."""
    spec = {"embedding": 0.1, "layer0": 0.2, "layer1": 0.3, "head": 0.4}
    found = {name: set() for name in spec}
    for group in make_optimizer(model, OptimizerConfig(learning_rate=spec)).param_groups:
        members = {id(p) for p in model.layer_groups()[group["name"]]}
        assert {id(p) for p in group["params"]} <= members
        found[group["name"]] |= {group["lr"], group["peak"]}
    assert found == {name: {rate} for name, rate in spec.items()}


def test_rates_that_do_not_fit_the_model_are_refused(model):
    """The number of layer groups is the model's."""
    with pytest.raises(ValueError, match="4 layer groups"):
        make_optimizer(model, OptimizerConfig(learning_rate=[0.1, 0.2, 0.3]))


def test_a_step_of_sgd_is_the_formula(model):
    """A matrix p becomes p - lr (g + decay p), a bias p - lr g, with its group's rate lr."""
    settings = OptimizerConfig(optimizer="sgd", learning_rate=slice(0.1, 0.8), weight_decay=0.5)
    optimizer = make_optimizer(model, settings)
    model(torch.tensor([[0, 1, 2, 3]]))[0].square().sum().backward()
    rates = learning_rates(settings.learning_rate, GROUPS)
    expected = {
        id(p): p.detach() - rates[name] * (p.grad + (0.5 * p.detach() if p.ndim > 1 else 0))
        for name, parameters in model.layer_groups().items()
        for p in parameters
    }
    optimizer.step()
    for p in model.parameters():
        assert_close(p.detach(), expected[id(p)])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("adamw", lambda ps: torch.optim.AdamW(ps, lr=0.01, betas=(0.9, 0.99), weight_decay=0)),
        ("adam", lambda ps: torch.optim.Adam(ps, lr=0.01, betas=(0.9, 0.999))),
    ],
)
def test_adam_is_torch_s(model, name, reference):
    """Three steps are those of torch's optimiser on all parameters at once."""
    twin = type(model)(**model.config)
    twin.load_state_dict(model.state_dict())
    settings = OptimizerConfig(optimizer=name, learning_rate=0.01, weight_decay=0)
    pairs = [(model, make_optimizer(model, settings)), (twin, reference(twin.parameters()))]
    for _ in range(3):
        for module, optimizer in pairs:
            optimizer.zero_grad()
            module(torch.tensor([[0, 1, 2, 3]]))[0].square().sum().backward()
            optimizer.step()
    assert_close(model.state_dict(), twin.state_dict())


def test_a_counting_model_has_nothing_to_optimise():
    """Its learning rates are none at all."""
    assert learning_rates(0.1, list(NGramModel(3).layer_groups())) == {}
