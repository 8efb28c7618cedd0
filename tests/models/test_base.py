"""The contract that every family keeps, and what is done with any model."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.models import LanguageModel, LSTMModel, MixtureModel, NGramModel
from textrnn.models.arrays import state_arrays
from textrnn.models.base import detach, evaluating, extend_tensor
from textrnn.models.registry import MODELS, build

RECURRENT = ["rnn", "gru", "lstm"]


class Bigram(LanguageModel):
    """A custom model: a table of logits."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, state=None):
        """Look up a row for each token."""
        return self.table(ids), None

    def layer_groups(self):
        """There is one."""
        return {"table": list(self.table.parameters())}


def test_every_family_is_tested(request):
    """The shared fixture ``model`` has a model of each family in ``MODELS``."""
    here = str(Path(__file__).parents[1] / "conftest.py")
    plugins = request.config.pluginmanager.get_plugins()
    conftest = next(p for p in plugins if getattr(p, "__file__", None) == here)
    assert {kind for kind, _ in conftest.SMALL.values()} == MODELS.keys()


@pytest.mark.parametrize(
    "cuts", [[17], [2, 3, 5, 31], list(range(1, 60))], ids=lambda cuts: f"{len(cuts)}"
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
    """A text scores the same alone as beside another, also when both continue."""
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


def test_some_texts_begin_anew(model, x):
    """They are read as if nothing stood before them, and the others as if nothing had happened."""
    state = model(x)[1]
    begun = model.restart(state, torch.tensor([False, True]))
    logits = model(x, begun)[0]
    assert_close(logits[0], model(x, state)[0][0], rtol=1e-5, atol=1e-5)
    assert_close(logits[1], model(x)[0][1], rtol=1e-5, atol=1e-5)
    assert model.restart(None, torch.tensor([True])) is None


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


def test_every_parameter_is_in_one_layer_group(model):
    """The layer groups hold each parameter exactly once, and nothing else."""
    grouped = [id(p) for group in model.layer_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_a_model_of_the_wrong_vocab_size_cannot_be_made(family):
    """``vocab_size`` is at least 1, in every family."""
    with pytest.raises(ValueError, match=r"`vocab_size` must be at least 1\. Received: 0"):
        MODELS[family](0)


def test_the_contract_cannot_be_left_half_done():
    """A model class without ``layer_groups`` cannot be made."""
    half = type("Half", (LanguageModel,), {"forward": lambda self, ids, state=None: None})
    with pytest.raises(TypeError, match=r"abstract.*layer_groups"):
        half(vocab_size=3)


def extended(model, extra):
    """Return the model with more tokens, each like the old token in ``extra``, -1 for none."""
    origins = np.array([*range(model.vocab_size), *extra])
    return model.extend(len(origins), origins)


def test_an_extended_model_knows_what_it_knew(model, x):
    """On the old symbols it gives the old scores, and the old states."""
    if isinstance(model, MixtureModel):
        pytest.skip("of a mixture every part does (test_mixture.py); their shares differ")
    v = model.vocab_size
    expected, state = model(x)
    logits, new_state = extended(model, [0, -1, -1])(x)
    assert logits.shape[-1] == v + 3
    if isinstance(model, NGramModel):  # new tokens take a share of what was never seen
        expected, logits = expected.softmax(-1), logits[..., :v].softmax(-1)
        assert_close(logits, expected, rtol=0.05, atol=0.01)
    else:
        assert_close(logits[..., :v], expected)
    assert_close(new_state, state)


def test_a_new_symbol_starts_as_its_relative(model, x):
    """It is scored like the symbol it is like, and read like it."""
    if isinstance(model, NGramModel | MixtureModel):
        pytest.skip("a counting model starts a new symbol from nothing")
    v = model.vocab_size
    new = extended(model, [3])
    logits, _ = new(x)
    assert_close(logits[..., v], logits[..., 3])
    other = torch.where(x == 3, v, x)
    assert bool((other != x).any())
    assert_close(new(other)[0], logits)


def test_a_new_symbol_without_a_relative_starts_as_the_mean(generator):
    """Row by row, in the embedding and in the head."""
    model = build("lstm", 5, {"embedding_dim": 3, "hidden_size": 4}, seed=0)
    new = extended(model, [-1])
    for name in ("embedding.weight", "head.weight", "head.bias"):
        assert_close(new.get_parameter(name)[5], model.get_parameter(name).mean(dim=0))


def test_extending_finds_the_axes_of_a_class_of_one_s_own():
    """Both axes of a table of bigrams are tokens."""
    new = extended(Bigram(4), [2])
    assert torch.equal(new.table.weight[:, 4], new.table.weight[:, 2])
    assert torch.equal(new.table.weight[4], new.table.weight[2])
    assert new.config == {"vocab_size": 5}


def test_extending_keeps_what_is_frozen_and_leaves_the_old_model_alone():
    """The flags of the parameters go along; nothing is shared."""
    model = build("gru", 5, {"hidden_size": 4}, seed=0).eval()
    model.embedding.weight.requires_grad_(False)
    before = copy.deepcopy(state_arrays(model))
    new = extended(model, [-1])
    assert [p.requires_grad for p in new.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    assert not new.training
    for p in new.parameters():
        p.data.zero_()
    assert_close(state_arrays(model), before, rtol=0, atol=0)


def test_extending_draws_no_random_numbers():
    """The global generator of torch stays as it is."""
    model, before = build("gru", 5, {"hidden_size": 4}, seed=0), torch.get_rng_state()
    extended(model, [-1])
    assert torch.equal(torch.get_rng_state(), before)


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
    """What is read after ``detach`` does not reach the tokens before it."""
    model = MODELS[kind](4, embedding_dim=2, hidden_size=3)
    state = model(torch.tensor([[0, 1]]))[1]
    model(torch.tensor([[2, 3]]), detach(state))[0].sum().backward()
    reached = model.embedding.weight.grad.abs().sum(dim=1) > 0
    assert reached.tolist() == [False, False, True, True]


class Mixture(LanguageModel):
    """The mean of an LSTM's probabilities and an n-gram's, with a bias of its own."""

    def __init__(self, vocab_size, embedding_dim=5):
        super().__init__(vocab_size=vocab_size, embedding_dim=embedding_dim)
        lstm = LSTMModel(vocab_size, embedding_dim=embedding_dim, hidden_size=8)
        self.parts = nn.ModuleDict({"lstm": lstm, "ngram": NGramModel(vocab_size, order=3)})
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, ids, state=None):
        """Add the probabilities."""
        one, other = state or (None, None)
        logits, one = self.parts["lstm"](ids, one)
        scores, other = self.parts["ngram"](ids, other)
        both = torch.stack([logits.log_softmax(-1), scores.log_softmax(-1)])
        return both.logsumexp(0) + self.bias, (one, other)

    def layer_groups(self):
        """Return the LSTM's, and the bias."""
        return {**self.parts["lstm"].layer_groups(), "bias": [self.bias]}

    def count(self, ids):
        """Hand the text to the n-gram."""
        self.parts["ngram"].count(ids)


def test_a_mixture_extends_part_by_part(ids, vocab):
    """Each model in it extends itself, wherever it stands; other tensors by their shape."""
    model, v = Mixture(len(vocab)).eval(), len(vocab)
    model.count(ids)
    model.parts["lstm"].head.bias.requires_grad_(False)
    init_from = np.array([*range(v), 0, -1])
    new = model.extend(v + 2, init_from)
    for name in ("lstm", "ngram"):
        part = model.parts[name].extend(v + 2, init_from)
        assert_close(new.parts[name].state_dict(), part.state_dict(), rtol=0, atol=0)
    assert new.bias.shape == (v + 2,)
    assert [n for n, p in new.named_parameters() if not p.requires_grad] == ["parts.lstm.head.bias"]
    logits, _ = new(torch.from_numpy(ids[None, :20].astype(np.int64)))
    assert logits.shape == (1, 20, v + 2)


def test_a_part_whose_width_changes_with_the_vocabulary_is_named():
    """Its class would build it with another width when the model is loaded."""
    match = r"'parts.lstm.embedding.weight'.*\(6, 5\).*\(6, 6\).*size.*Received: vocab_size=6"
    with pytest.raises(ValueError, match=match):
        Mixture(5, embedding_dim=None).extend(6, np.array([0, 1, 2, 3, 4, -1]))


@pytest.mark.parametrize(
    ("tensor", "shape", "init_from", "match"),
    [
        (torch.zeros(3, dtype=torch.int64), (4,), [0, 1, 2, -1], "integers have no mean"),
        (torch.zeros(6), (8,), [0, 1, 2, 0], "its axis 0 grows to 8"),
        (torch.zeros(3), (4, 4), [0, 1, 2, 0], r"its shape becomes \(4, 4\)"),
    ],
)
def test_a_tensor_that_cannot_be_extended_is_named(tensor, shape, init_from, match):
    """The message says why, and what the class can do."""
    with pytest.raises(ValueError, match=f"'table' has no entries.*{match}.*Override .*Received"):
        extend_tensor(tensor, shape, np.array(init_from), "table")


def test_integers_are_copied_where_every_token_has_a_relative():
    """No mean is needed then."""
    extended = extend_tensor(torch.tensor([5, 6, 7]), (4,), np.array([0, 1, 2, 1]))
    assert extended.tolist() == [5, 6, 7, 6]


def test_a_model_that_only_counts_has_no_gradient(model):
    """``learns_by_gradient`` is whether there are parameters; ``count`` is nothing by default."""
    counts = any(isinstance(part, NGramModel) for part in model.modules())
    assert model.learns_by_gradient == (not isinstance(model, NGramModel))
    before = copy.deepcopy(state_arrays(model))
    model.count(np.arange(9) % model.vocab_size)
    assert all(np.array_equal(before[k], v) for k, v in state_arrays(model).items()) != counts


def test_evaluating_puts_every_part_back_in_its_mode():
    """A part that was held in evaluation mode stays there; gradients are off inside only."""
    model = build("lstm", 5, {"hidden_size": 4}, seed=0)
    model.dropouts.eval()
    modes = [m.training for m in model.modules()]
    with evaluating(model):
        assert not any(m.training for m in model.modules())
        assert torch.is_inference_mode_enabled()
    assert [m.training for m in model.modules()] == modes
    assert not torch.is_inference_mode_enabled()
