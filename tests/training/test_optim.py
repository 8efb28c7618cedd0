"""Learning rates of layer groups, and the optimiser made of them."""

import json
import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from textrnn import TextGenerator
from textrnn.models import LSTMModel, NGramModel
from textrnn.training.optim import (
    OPTIMIZERS,
    OptimizerConfig,
    extend_moments,
    learning_rates,
    make_optimizer,
)
from textrnn.training.schedules import SCHEDULES, cosine

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
        ({"optimizer": None}, TypeError, "`optimizer` must be one of .*, a subclass of .*: None"),
        ({"optimizer": LSTMModel}, TypeError, "a subclass of torch.optim.Optimizer.*LSTMModel"),
        ({"optimizer": torch.optim.Optimizer}, TypeError, "must be one of 'adamw'.* a subclass"),
        (
            {"optimizer": torch.optim.SGD([torch.zeros(1)])},
            TypeError,
            r"pass torch.optim.SGD, or functools.partial.* Received: an instance of SGD",
        ),
        ({"weight_decay": -0.1}, ValueError, "`weight_decay` must be a number of at least 0"),
        ({"weight_decay": "no"}, TypeError, "`weight_decay` must be a number of at least 0"),
        ({"clip_norm": 0}, ValueError, "`clip_norm` must be a number above 0. Received: 0"),
        ({"clip_norm": math.nan}, ValueError, "`clip_norm` must be a number above 0"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": True}, TypeError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": "fast"}, TypeError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": [0.1, -0.2]}, ValueError, "above 0. Received: -0.2"),
        ({"learning_rate": slice(0.1, math.inf)}, ValueError, "above 0. Received: inf"),
        ({"learning_rate": {"head": 0}}, ValueError, "above 0. Received: 0"),
        ({"precision": "float64"}, ValueError, "`precision` must be one of"),
    ],
)
def test_values_out_of_range_are_refused_at_the_call(arguments, error, match):
    """A value is checked where it is given, not in the first step."""
    with pytest.raises(error, match=match):
        OptimizerConfig(**arguments)


def test_a_schedule_is_found_once():
    """By name or as a function; the training loop then calls the function itself."""
    assert OptimizerConfig(schedule="cosine").resolve_schedule() is SCHEDULES["cosine"]
    own = math.sqrt
    assert OptimizerConfig(schedule=own).resolve_schedule() is own


def test_a_config_is_text_that_is_the_same_in_every_process():
    """Classes and functions by qualified name, arguments of a partial too: nothing but JSON."""
    config = OptimizerConfig(
        optimizer=partial(torch.optim.SGD, momentum=0.9), schedule=partial(cosine, warm_up=0.1)
    )
    assert json.loads(json.dumps(config.to_config())) == {
        "optimizer": "torch.optim.sgd.SGD(momentum=0.9)",
        "learning_rate": "None",
        "weight_decay": "None",
        "clip_norm": "1.0",
        "schedule": "textrnn.training.schedules.cosine(warm_up=0.1)",
        "precision": "auto",
    }
    assert pickle.loads(pickle.dumps(config)).to_config() == config.to_config()
    own = OptimizerConfig(optimizer=lambda groups: torch.optim.SGD(groups)).to_config()
    assert own["optimizer"].endswith("in_every_process.<locals>.<lambda>")


@pytest.fixture
def model():
    """A recurrent model of two layers."""
    return LSTMModel(5, embedding_dim=3, hidden_size=4, num_layers=2)


def copy_of(model):
    """Return an equal model with tensors of its own."""
    twin = type(model)(**model.config)
    twin.load_state_dict(model.state_dict())
    return twin


def step_both(*pairs):
    """Take three steps with each model and its optimiser."""
    for _ in range(3):
        for model, optimizer in pairs:
            optimizer.zero_grad()
            model(torch.tensor([[0, 1, 2, 3]]))[0].square().sum().backward()
            optimizer.step()


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_parameter_is_optimised_once(model, optimizer):
    """The optimiser's groups hold each of the model's parameters exactly once."""
    groups = make_optimizer(model, OptimizerConfig(optimizer=optimizer)).param_groups
    found = sorted(id(p) for group in groups for p in group["params"])
    assert found == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize(
    ("optimizer", "decay"),
    [
        ("adamw", 0.01),
        ("adam", 0.0),
        ("sgd", 0.0),
        (torch.optim.AdamW, 0.01),
        (torch.optim.RMSprop, 0.0),
        (partial(torch.optim.AdamW, weight_decay=0.25), 0.25),
    ],
)
def test_decay_by_default(model, optimizer, decay):
    """Matrices have the optimiser's own default, biases none."""
    groups = make_optimizer(model, OptimizerConfig(optimizer=optimizer)).param_groups
    assert {group["weight_decay"] for group in groups} == {0.0, decay}


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.RMSprop, torch.optim.Adafactor])
def test_only_matrices_decay(model, optimizer):
    """Embeddings and weights are pulled towards zero, biases are not."""
    config = OptimizerConfig(optimizer=optimizer, weight_decay=0.125)
    decays = {
        id(p): group["weight_decay"]
        for group in make_optimizer(model, config).param_groups
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


OWN = {
    "class": torch.optim.RMSprop,
    "partial": partial(torch.optim.SGD, momentum=0.5, nesterov=True),
    "function": lambda groups: torch.optim.Adam(groups, betas=(0.5, 0.75)),
}


@pytest.mark.parametrize("make", OWN.values(), ids=OWN)
def test_an_optimiser_of_your_own_steps_as_torch_s(model, make):
    """Three steps are those of the optimiser that it makes of all parameters at once."""
    twin = copy_of(model)
    ours = make_optimizer(model, OptimizerConfig(optimizer=make, learning_rate=0.01))
    reference = make([{"params": list(twin.parameters()), "lr": 0.01}])
    assert type(ours) is type(reference)
    step_both((model, ours), (twin, reference))
    assert_close(model.state_dict(), twin.state_dict())


def test_an_optimiser_without_weight_decay(model):
    """Rprop has none: its groups get no such entry, and asking for one is an error."""
    config = OptimizerConfig(optimizer=torch.optim.Rprop, weight_decay=0)
    groups = make_optimizer(model, config).param_groups
    assert not any("weight_decay" in group for group in groups)
    with pytest.raises(ValueError, match=r"`weight_decay` must be None or 0 for Rprop.*: 0.1"):
        make_optimizer(model, OptimizerConfig(optimizer=torch.optim.Rprop, weight_decay=0.1))


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda groups: None, "None"),
        (lambda groups: groups, "\\[{'params'"),
        (
            lambda groups: torch.optim.SGD([p for g in groups for p in g["params"]]),
            "SGD with other parameter groups",
        ),
        (lambda groups: torch.optim.SGD(groups[1:]), "SGD with other parameter groups"),
    ],
)
def test_a_function_that_makes_no_such_optimiser_is_refused(model, make, received):
    """Every layer group must be in it, with its name and peak."""
    with pytest.raises(TypeError, match=f"parameter groups it is called with.*{received}"):
        make_optimizer(model, OptimizerConfig(optimizer=make))


def test_rates_that_do_not_fit_the_model_are_refused(model):
    """The number of layer groups is the model's."""
    with pytest.raises(ValueError, match="4 layer groups"):
        make_optimizer(model, OptimizerConfig(learning_rate=[0.1, 0.2, 0.3]))


def test_a_step_of_sgd_is_the_formula(model):
    """A matrix p becomes p - lr (g + decay p), a bias p - lr g, with its group's rate lr."""
    config = OptimizerConfig(optimizer="sgd", learning_rate=slice(0.1, 0.8), weight_decay=0.5)
    optimizer = make_optimizer(model, config)
    model(torch.tensor([[0, 1, 2, 3]]))[0].square().sum().backward()
    rates = learning_rates(config.learning_rate, GROUPS)
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
    twin = copy_of(model)
    config = OptimizerConfig(optimizer=name, learning_rate=0.01, weight_decay=0)
    step_both((model, make_optimizer(model, config)), (twin, reference(twin.parameters())))
    assert_close(model.state_dict(), twin.state_dict())


def test_a_counting_model_has_nothing_to_optimise():
    """Its learning rates are none at all."""
    assert learning_rates(0.1, list(NGramModel(3).layer_groups())) == {}


def test_moments_of_known_tokens_are_kept_when_the_vocabulary_grows():
    """New rows get those they start from, or the mean; numbers and other tensors stay."""
    moments = {"step": torch.tensor(3.0), "calls": 3, "square": torch.tensor([[1.0], [3.0]])}
    old, new = torch.Size((2, 1)), torch.Size((4, 1))
    extended = extend_moments(moments, old, new, np.array([0, 1, -1, 1]))
    assert extended.pop("square").tolist() == [[1.0], [3.0], [2.0], [3.0]]
    assert extended == {"step": torch.tensor(3.0), "calls": 3}


@pytest.mark.parametrize("shape", [(2, 1), (1, 3), (3,)])
def test_moments_of_another_shape_start_afresh_where_the_parameter_grows(shape):
    """Which of their axes is that of the vocabulary cannot be told."""
    moments = {"step": torch.tensor(3.0), "rows": torch.ones(shape)}
    old = torch.Size((2, 3))
    assert extend_moments(moments, old, torch.Size((4, 3)), np.array([0, 1, -1, -1])) == {}
    assert extend_moments(moments, old, old, np.array([0, 1])) == moments


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [torch.optim.RMSprop, torch.optim.Adafactor])
def test_an_optimiser_of_your_own_meets_new_tokens(text, optimizer):
    """A second fit on a text with another character lowers the loss further."""
    sizes = {"epochs": 1, "batch_size": 4, "seq_len": 16, "verbose": 0}
    gen = TextGenerator("rnn", hidden_size=8, seed=0, device="cpu")
    gen.compile(optimizer=optimizer, learning_rate=1e-2)
    first = gen.fit(text, **sizes).history["loss"]
    second = gen.fit(text + "é", **sizes).history["loss"]
    assert second[0] < first[0]
