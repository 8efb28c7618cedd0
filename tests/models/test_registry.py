"""The families: one table, and what is looked up in it."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.generation.steppers import STEPPERS
from textrnn.generator import TextGenerator
from textrnn.models import GRUModel, LanguageModel, LSTMModel
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import (
    FAMILIES,
    MODELS,
    build,
    check_arguments,
    family_of,
    make_stepper,
    model_class,
    model_type_of,
)
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
    """A custom class, without ``reset_parameters``: a table of logits, scaled."""

    def __init__(self, vocab_size, scale, *, bias=False):
        super().__init__(vocab_size=vocab_size, scale=scale, bias=bias)
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, state=None):
        """Look up a row for each token."""
        return self.table(ids) * self.config["scale"], None

    def layer_groups(self):
        """There is one."""
        return {"table": list(self.table.parameters())}


class MyLSTM(LSTMModel):
    """A subclass of a family's class, with a layer more."""

    def __init__(self, vocab_size, **options):
        super().__init__(vocab_size, **options)
        self.more = nn.Linear(vocab_size, vocab_size)


class Rest(Bigram):
    """Takes any argument."""

    def __init__(self, vocab_size, **options):
        super().__init__(vocab_size, scale=1.0)


class NoSize(Bigram):
    """Knows its vocabulary beforehand."""

    def __init__(self, width=4):
        super().__init__(vocab_size=width, scale=1.0)


def test_steppers_and_families_have_the_same_names():
    """The table that is there without torch names what the other one names."""
    assert FAMILIES.keys() == STEPPERS.keys() == MODELS.keys()
    assert all(name == family.name for name, family in FAMILIES.items())


def test_the_facade_s_docstring_names_every_family():
    """Nobody has to look for the names elsewhere."""
    assert [name for name in FAMILIES if f'``"{name}"``' not in TextGenerator.__doc__] == []


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


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "match"),
    [
        ("ngram", {"order": 0}, ValueError, "`order` must be at least 1"),
        ("ngram", {"order": 2.0}, TypeError, "`order` must be a whole number"),
        (
            "ngram",
            {"smoothing": "witten"},
            ValueError,
            "`smoothing`.*'kneser_ney', 'wi",
        ),
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


def test_the_same_seed_gives_the_same_weights(family):
    """``build`` depends on nothing but the seed."""
    arguments = {} if family == "ngram" else {"hidden_size": 8}
    torch.manual_seed(1)
    first = state_arrays(build(family, 11, arguments, seed=5))
    torch.manual_seed(2)
    assert_close(state_arrays(build(family, 11, arguments, seed=5)), first, rtol=0, atol=0)


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


@pytest.mark.parametrize(("cls", "arguments"), [(Bigram, {"scale": 2.0}), (MyLSTM, {})])
def test_a_class_of_one_s_own_is_built_from_the_seed(cls, arguments):
    """Without ``reset_parameters``, or with one that knows not all; global numbers stay."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, again, other = (build(cls, 7, arguments, seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert_close(one, again, rtol=0, atol=0)
    assert [name for name in one if "weight" in name and torch.equal(one[name], other[name])] == []
    drawn = build(cls, 7, arguments, None).state_dict(), build(cls, 7, arguments, None).state_dict()
    assert not torch.equal(*(next(iter(tensors.values())) for tensors in drawn))
    assert not any(tensor.is_meta for tensor in one.values())


def test_a_family_is_found_by_name_class_and_instance(family):
    """A subclass is another class; a name that nobody has is no family."""
    model = MODELS[family](5)
    assert family_of(family) is family_of(MODELS[family]) is family_of(model) is FAMILIES[family]
    assert family_of(MyLSTM) is family_of(MyLSTM(5)) is family_of("MyLSTM") is None
    assert model_class(family) is model_class(MODELS[family]) is MODELS[family]
    assert model_class(MyLSTM) is MyLSTM


@pytest.mark.parametrize("model", [nn.LSTM, nn.Linear(2, 2), 7, None, ["lstm"]])
def test_what_is_no_model_is_refused(model):
    """The message says what may be passed."""
    with pytest.raises(TypeError, match=r"a subclass of textrnn.LanguageModel.*Received: "):
        check_arguments(model, {}, ())


@pytest.mark.parametrize(
    ("model", "arguments", "match"),
    [
        ("lstm", ["hiden_size"], r'TextGenerator\("lstm"\) has no argument.*\'hidden_size\''),
        (
            GRUModel,
            ["hiden_size"],
            r"GRUModel\(\) has no argument.*'hidden_size'.*It takes: seed, emb",
        ),
        (Bigram, ["scale", "bais"], r"Bigram\(\) has no argument 'bais'.*Did you mean 'bias'"),
        (Bigram, [], r"Bigram\(\) needs the argument 'scale'.*Received: no arguments"),
        (NoSize, [], r"NoSize\(\) must take `vocab_size`.*Received: a class that takes width"),
        (Bigram(5, 2.0), ["scale"], r"<an instance>.*has no argument 'scale'"),
        (Rest(5), ["x"], r"<an instance>.*has no argument 'x'"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_refused(model, arguments, match):
    """Misspelt ones and missing ones, before any text is read."""
    with pytest.raises(TypeError, match=match):
        check_arguments(model, arguments, ("seed",))


@pytest.mark.parametrize(
    ("model", "arguments"),
    [("gru", ["hidden_size"]), (Bigram, ["scale"]), (Rest, ["x"]), (Bigram(5, 2.0), [])],
    ids=str,
)
def test_arguments_that_fit_are_taken(model, arguments):
    """By a name, a class, an instance; ``**options`` takes any."""
    check_arguments(model, arguments, ("seed",))


def test_a_name_that_is_unknown_is_refused():
    """With the nearest one that is known."""
    with pytest.raises(ValueError, match=r"`model` must be one of 'ngram'.*Did you mean 'lstm'"):
        model_class("ltsm")


def test_a_model_s_kind_is_its_name_in_the_table(model, kind):
    """``model_type_of`` is the inverse of ``MODELS``."""
    assert model_type_of(model) == kind
    assert model_type_of(copy.deepcopy(model)) == kind


def test_a_class_of_one_s_own_has_its_own_name():
    """A class that is not in the table, a subclass of one too, is not taken for one that is."""
    assert model_type_of(MyLSTM) == model_type_of(MyLSTM(5, hidden_size=2)) == "MyLSTM"


def test_our_families_are_stepped_without_torch(model, kind):
    """``make_stepper`` gives the NumPy stepper of a family, or the kernel's around it."""
    stepper = make_stepper(model)
    assert type(getattr(stepper, "reference", stepper)) is STEPPERS[kind]


@pytest.mark.parametrize("model", [Bigram(5, 2.0), MyLSTM(5, hidden_size=2)])
def test_other_classes_are_stepped_through_their_module(model):
    """A subclass of a family's class may compute something else."""
    assert type(make_stepper(model)) is ModuleStepper


def test_build_hands_the_arguments_on(kind, model):
    """``build`` makes the family's class with the vocabulary's size and the arguments."""
    arguments = {k: v for k, v in model.config.items() if k != "vocab_size"}
    built = build(kind, 23, arguments, seed=0)
    assert type(built) is MODELS[kind]
    assert built.config == {**model.config, "vocab_size": 23}
    assert built.training
    assert not any(tensor.is_meta for tensor in built.state_dict().values())
