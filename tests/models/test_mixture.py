"""Mixtures: a weighted sum of probabilities, with weights learned on text that was held out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from textrnn import LanguageModel, TextGenerator
from textrnn.evaluation import evaluate
from textrnn.models import GRUModel, LSTMModel, MixtureModel, NGramModel
from textrnn.models.arrays import state_arrays
from textrnn.models.registry import build
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.trainer import Trainer

SIZES = {"hidden_size": 16, "embedding_dim": 5, "order": 4}


def mixed(vocab_size, ids=None, **arguments):
    """Build a small mixture of a GRU and counts, with a fixed seed."""
    model = build("gru+ngram", vocab_size, {**SIZES, **arguments}, seed=0).eval()
    if ids is not None:
        model.count(ids)
    return model


def weigh(model, counts):
    """Give the counts one weight in all contexts."""
    model.weights.copy_(torch.tensor([1 - counts, counts]).expand_as(model.weights))


@pytest.mark.slow
@settings(deadline=None)
@given(
    text=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    weight=st.floats(0, 1),
    smoothing=st.sampled_from(["kneser_ney", "witten_bell"]),
)
def test_probabilities_sum_to_one(text, weight, smoothing):
    """Whatever the weights, the model's as the stepper's."""
    model = mixed(6, np.array(text), smoothing=smoothing)
    weigh(model, weight)
    logits, _ = model(torch.tensor([[*text, 5, 0]]))
    np.testing.assert_allclose(logits.detach().double().exp().sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_it_is_the_weighted_sum_of_its_parts(ids, vocab, x, weight):
    """With weight 0 or 1 it is one of them."""
    model = mixed(len(vocab), ids)
    weigh(model, weight)
    network, counts = (part(x)[0].softmax(-1) for part in model.models)
    assert_close(model(x)[0].exp(), (1 - weight) * network + weight * counts)


def test_in_training_it_is_its_network(ids, vocab, x):
    """The network is trained as it is alone, and knows nothing of the counts."""
    model = mixed(len(vocab), ids).train()
    assert torch.equal(model(x)[0], model.models[0](x)[0])
    assert list(model.layer_groups()) == list(model.models[0].layer_groups())


def test_two_networks_are_trained_together(vocab, x):
    """In training they are mixed with each other; each has groups of its own."""
    model = build("gru+rnn", len(vocab), {"hidden_size": 4}, seed=0).train()
    logits, _ = model(x)
    expected = sum(part(x)[0].softmax(-1) for part in model.models) / 2
    assert_close(logits.exp(), expected)
    assert {name.split(".")[0] for name in model.layer_groups()} == {"part0", "part1"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gru", "window_mlp"])
def test_the_network_begins_and_learns_as_alone(kind, text):
    """Counts beside it change nothing in it, where no text is held out."""
    gens = [
        TextGenerator(name, hidden_size=8, seed=3, device="cpu") for name in (kind, f"{kind}+ngram")
    ]
    for gen in gens:
        gen.fit(text, epochs=2, batch_size=8, seq_len=16, validation_split=0, verbose=0)
    alone, beside = gens[0].model, gens[1].model.models[0]
    assert_close(state_arrays(beside), state_arrays(alone), rtol=0, atol=0)
    assert gens[1].history.history["loss"] == gens[0].history.history["loss"]


def test_a_text_counts_once(ids, vocab):
    """A second fit of the same text, in any dtype, does not count it again; another one does."""
    model, once = mixed(len(vocab), ids), mixed(len(vocab), ids)
    model.count(ids.astype(np.int64))
    assert_close(state_arrays(model), state_arrays(once), rtol=0, atol=0)
    model.count(ids[::-1])
    assert len(model.counted) == 2
    assert int(model.models[1].counts.sum()) != int(once.models[1].counts.sum())


def noise_and_pattern(n, seed):
    """Return a text whose first half of symbols follow a rule, and whose others are random."""
    rng = np.random.default_rng(seed)
    pairs = rng.integers(4, size=n // 2)
    return np.stack([pairs, 4 + pairs], axis=1).ravel()


def test_of_a_long_text_the_end_is_counted(ids, vocab, monkeypatch):
    """So the counts of a large text take a bounded time."""
    monkeypatch.setattr("textrnn.models.mixture._MOST_COUNTED", 100)
    model = MixtureModel(len(vocab), parts=["ngram", "ngram"])
    model.count(ids)
    expected = NGramModel(len(vocab))
    expected.count(ids[-100:])
    for name, table in expected.state_dict().items():
        assert torch.equal(model.models[0].state_dict()[name], table), name


def test_with_little_time_the_end_is_counted(ids, vocab):
    """Counting a long text would take more than the time that was asked for."""
    model = MixtureModel(len(vocab), parts=[{"model": "gru", "hidden_size": 8}, "ngram"])
    Trainer(model).fit(ids, Plan(minutes=0.00005, batch_size=2, seq_len=8))
    expected = NGramModel(len(vocab))
    expected.count(ids[-300:])
    assert torch.equal(model.models[1].tokens, expected.tokens)


@pytest.mark.slow
def test_weights_are_learned_by_context():
    """Where counts know best they get nearly all, and the mixture is better than both parts."""
    text, held_out = noise_and_pattern(60_000, 0), noise_and_pattern(4_000, 1)
    model = mixed(8, text)
    before = evaluate(model, held_out)["loss"]
    model.calibrate(text, held_out)
    fresh = noise_and_pattern(4_000, 2)
    losses = [evaluate(part, fresh)["loss"] for part in model.models]
    assert evaluate(model, fresh)["loss"] < before
    assert evaluate(model, fresh)["loss"] < min(losses) + 0.01
    assert_close(model.weights.sum(1), torch.ones(len(model.weights)))
    assert float(model.weights.min()) > 0
    assert float(model.weights.max()) > 0.9


def test_counts_of_the_held_out_text_do_not_speak_for_it():
    """Where counts are of no use on new text, text that they have read does not hide it."""
    rng = np.random.default_rng(0)
    text = rng.integers(8, size=50_000)
    model = mixed(8, text, order=7)
    model.calibrate(text[:-2000], text[-2000:])
    assert float(model.weights[:, 1].mean()) < 0.5


@pytest.mark.parametrize(("tokens", "held_out"), [(39_999, 0), (40_000, 1000), (10**7, 20_000)])
def test_how_much_is_held_out(tokens, held_out):
    """Nothing of a small text, little of a large one; models that are no mixtures want none."""
    assert mixed(5).held_out(tokens) == held_out
    assert GRUModel(5).held_out(tokens) == 0


@pytest.mark.slow
def test_the_trainer_keeps_text_from_the_network_only():
    """The network reads less, the counts all; weights are learned before each validation."""
    ids = noise_and_pattern(44_000, 0)
    model = mixed(8)
    before, defaults = model.models[0].head.bias.clone(), model.weights.clone()
    steps = len(ids) - 1100 // 8 * 8
    trainer = Trainer(model, OptimizerConfig(learning_rate=1e-3), seed=0)
    history = trainer.fit(ids, Plan(epochs=1, batch_size=8, seq_len=512))
    assert len(trainer.state.batcher) == -(-(steps // 8 - 1) // 512)
    assert int(model.models[1].stepper.trie.counts[0]) == len(ids)
    assert not torch.equal(model.weights, defaults)
    assert len(history) == 1
    assert not torch.equal(before, model.models[0].head.bias)


def test_loaded_models_can_be_mixed(ids, vocab, x):
    """Parts may be models that there are; the config rebuilds them."""
    parts = LSTMModel(len(vocab), hidden_size=8), NGramModel(len(vocab), order=3)
    parts[1].count(ids)
    model = MixtureModel(len(vocab), parts=parts).eval()
    assert model.models[0] is parts[0]
    again = MixtureModel(**model.config)
    again.load_state_dict({**again.state_dict(), **parts[0].state_dict(prefix="parts.0.")})
    assert [part["model"] for part in model.config["parts"]] == ["lstm", "ngram"]
    assert torch.equal(again.eval().models[0](x)[0], parts[0].eval()(x)[0])


def test_a_mixture_extends_every_part(ids, vocab):
    """Its weights stay, and what was counted is known; so are the frozen parameters."""
    model, v = mixed(len(vocab), ids), len(vocab)
    model.models[0].head.bias.requires_grad_(False)
    weigh(model, 0.3)
    init_from = np.array([*range(v), 0, -1])
    new = model.extend(v + 2, init_from)
    for part, old in zip(new.models, model.models, strict=True):
        expected = state_arrays(old.extend(v + 2, init_from))
        assert_close(state_arrays(part), expected, rtol=0, atol=0)
    assert torch.equal(new.weights, model.weights)
    assert torch.equal(new.counted, model.counted)
    assert not new.models[0].head.bias.requires_grad
    assert new.config["vocab_size"] == v + 2
    assert not new.training


class Own(LanguageModel):
    """A class of one's own."""

    def forward(self, ids, state=None):
        """Score nothing."""
        return torch.zeros(*ids.shape, self.vocab_size), None

    def layer_groups(self):
        """Have none."""
        return {}


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"parts": ["lstm"]}, ValueError, r"at least two models. Received: \['lstm'\]"),
        ({"parts": ["lstm", "ngramm"]}, ValueError, "`model` must be one of.*'ngram'"),
        ({"parts": ["lstm", "mixture"]}, ValueError, "`model` must be one of"),
        ({"parts": ["ngram", Own(vocab_size=5)]}, TypeError, "built-in family.*Received: Own"),
        ({"hiden_size": 5}, TypeError, r"MixtureModel\(\) has no argument.*'hidden_size'"),
        ({"parts": ["ngram", {"model": "gru", "hidden_size": 0}]}, ValueError, "`hidden_size`"),
    ],
)
def test_what_cannot_be_mixed_is_refused(arguments, error, match):
    """One model is no mixture, and a part must be one that a file can name."""
    with pytest.raises(error, match=match):
        MixtureModel(5, **arguments)
