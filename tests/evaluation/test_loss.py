"""One way of counting the loss, whatever the model and however the text is cut."""

import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from textrnn.datasets import load_human_numbers
from textrnn.errors import DataError
from textrnn.evaluation import evaluate, metrics, surprisals
from textrnn.models import GRUModel, LanguageModel, LSTMModel, NGramModel, RNNModel
from textrnn.models.registry import build
from textrnn.text.vocab import Vocab
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.trainer import Trainer


class Echo(LanguageModel):
    """Expects the token that stands 256 before the newest; at the start of a text, token 0."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)

    def forward(self, ids, state=None):
        """Keep the last 256 tokens as the state."""
        state = ids.new_zeros(len(ids), 256) if state is None else state
        text = torch.cat([state, ids], dim=1)
        return 9.0 * F.one_hot(text[:, : ids.shape[1]], self.vocab_size), text[:, -256:]

    def layer_groups(self):
        """Nothing is learned."""
        return {}


@torch.no_grad()
def one_pass(model, ids):
    """Score a text at once, as the contract and PyTorch define it: (N - 1,) nats."""
    text = torch.from_numpy(ids.astype(np.int64))
    logits, _ = model(text[None, :-1])
    return F.cross_entropy(logits[0], text[1:], reduction="none").numpy()


@torch.no_grad()
def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(model, ids):
    """Where nothing is preferred, the perplexity is V, and a token costs log2 V bits."""
    for parameter in model.parameters():
        parameter.zero_()
    for module in model.modules():
        if isinstance(module, NGramModel):  # one that has counted nothing
            module.reset_parameters()
    v = model.vocab_size
    result = evaluate(model, ids)
    expected = {"loss": math.log(v), "bits_per_char": math.log2(v), "perplexity": v}
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seq_len", [1, 7, 64, 1000, 10**6])
def test_the_loss_does_not_depend_on_seq_len(model, ids, seq_len):
    """However many tokens are read at a time, the loss is that of one pass."""
    expected = one_pass(model, ids).mean(dtype=np.float64)
    assert evaluate(model, ids, seq_len=seq_len)["loss"] == pytest.approx(expected, rel=1e-6)


def test_every_token_but_the_first_counts_once(model, ids):
    """The surprisals are those of one pass, and their mean is the loss."""
    found = surprisals(model, ids)
    np.testing.assert_allclose(found, one_pass(model, ids), rtol=1e-5, atol=1e-5, strict=True)
    loss = evaluate(model, ids)["loss"]
    assert found.mean(dtype=np.float64) == pytest.approx(loss, rel=1e-6)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.one_of(st.integers(2, 9000), st.sampled_from([4096, 4097, 6144, 6145, 131_073, 140_000])))
def test_every_token_is_scored_in_its_place(length):
    """A model of order 1 gives each token its own frequency, wherever a text is cut into parts."""
    ids = np.random.default_rng(length).choice(4, length, p=[0.1, 0.2, 0.3, 0.4])
    model = NGramModel(4, order=1, smoothing=None)
    model.count(ids)
    counts = Counter(ids.tolist())
    expected = np.array([-math.log(counts[k] / length) if k in counts else 0 for k in range(4)])
    found = surprisals(model, ids)
    np.testing.assert_allclose(found, expected[ids[1:]], rtol=1e-5, atol=1e-6)
    assert evaluate(model, ids)["loss"] == pytest.approx(expected[ids[1:]].mean(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("length", [4096, 4097, 10_000, 135_000])
@pytest.mark.parametrize("seq_len", [None, 300])
def test_reading_in_parts_is_exact_for_ngrams(length, seq_len):
    """A long text scores token by token as in one pass, from two parts to sixty-four."""
    ids = np.random.default_rng(0).choice(6, length, p=np.arange(1, 7) / 21)
    model = NGramModel(6, order=5)
    model.count(ids[:3000])
    expected = one_pass(model, ids)
    np.testing.assert_array_equal(surprisals(model, ids), expected)
    loss = expected.mean(dtype=np.float64)
    assert evaluate(model, ids, seq_len=seq_len)["loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("length", [4097, 20_000])
def test_a_part_is_read_for_256_tokens_before_it_counts(length):
    """So a model that looks back 256 tokens, and no further, scores as in one pass."""
    ids = np.random.default_rng(1).integers(5, size=length)
    np.testing.assert_allclose(surprisals(Echo(5), ids), one_pass(Echo(5), ids), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [RNNModel, GRUModel, LSTMModel])
def test_reading_in_parts_is_close_for_recurrent_models(cls):
    """After a little training the loss of a long text is that of one pass, to 1e-4 nats."""
    text = load_human_numbers(1, 400)
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text)
    model = cls(len(vocab), hidden_size=24)
    model.reset_parameters(torch.Generator().manual_seed(0))
    Trainer(model, OptimizerConfig(learning_rate=0.02), seed=0).fit(
        ids, Plan(epochs=3, batch_size=16, seq_len=32)
    )
    expected = one_pass(model, ids).mean(dtype=np.float64)
    assert expected < 2  # it has learned something
    assert evaluate(model, ids)["loss"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("question", [evaluate, surprisals])
def test_the_mode_is_put_back(question, training, ids, vocab):
    """Scores are made without dropout, and afterwards the model is in the mode it was in."""
    model = LSTMModel(len(vocab), hidden_size=8, dropout=0.5)
    expected = question(model.eval(), ids)
    np.testing.assert_equal(question(model.train(training), ids), expected)
    assert [m.training for m in model.modules()] == [training] * len(list(model.modules()))
    assert not torch.is_inference_mode_enabled()


def test_the_mode_is_put_back_after_an_error(ids, vocab):
    """A token that the model does not know leaves it in training."""
    model = LSTMModel(len(vocab) - 1, hidden_size=8).train()
    with pytest.raises(DataError, match="tokens of the model's vocabulary"):
        evaluate(model, ids)
    assert model.training


@pytest.mark.parametrize("question", [evaluate, surprisals])
@pytest.mark.parametrize(
    ("ids", "match"),
    [
        ([[0, 1], [1, 0]], r"integers of shape \(N,\).*Received: int64 of shape \(2, 2\)"),
        ([0.0, 1.0, 2.0], r"integers of shape \(N,\).*Received: float64 of shape \(3,\)"),
        ("abc", r"integers of shape \(N,\).*Received: <U3 of shape \(\)"),
        ([True, False], r"integers of shape \(N,\).*Received: bool of shape \(2,\)"),
        ([0, 1, 5, 2], r"in \[0, 5\): encode the text.*Received: 5"),
        ([0, -1, 4], r"in \[0, 5\).*Received: -1"),
        (np.array([0, 7, 2], dtype=np.uint64), r"in \[0, 5\).*Received: 7"),
    ],
)
def test_ids_of_another_vocabulary_or_shape_are_refused(question, ids, match):
    """A model that counts and one with one-hot input say so, too, and not with an IndexError."""
    for model in (NGramModel(5), LSTMModel(5, input="onehot", hidden_size=2)):
        with pytest.raises(DataError, match=match):
            question(model, ids)


def test_ids_may_be_a_list_a_tensor_or_a_memory_map(tmp_path, ids, vocab):
    """Whatever holds the integers, the result is the same."""
    model = build("gru", len(vocab), {"hidden_size": 8}, seed=0)
    path = tmp_path / "ids.npy"
    np.save(path, ids)
    expected = evaluate(model, ids)
    for same in (ids.tolist(), torch.from_numpy(ids), np.load(path, mmap_mode="r")):
        assert evaluate(model, same) == expected


def test_a_memory_map_is_read_in_pieces(tmp_path):
    """A text of a million tokens is scored without ever being in memory as a whole."""
    path = tmp_path / "ids.bin"
    np.memmap(path, dtype=np.uint16, mode="w+", shape=(1 << 20,)).flush()
    model = NGramModel(2, order=1)
    ids = np.memmap(path, dtype=np.uint16, mode="r")
    tracemalloc.start()
    evaluate(model, ids)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < ids.nbytes


@torch.no_grad()
def test_accuracy_is_the_share_of_likeliest_tokens(model, ids):
    """Of a whole text, the first token left out; ties go to the lower id, as greedy choice does."""
    text = torch.from_numpy(ids.astype(np.int64))
    expected = float((model(text[None, :-1])[0][0].argmax(-1) == text[1:]).double().mean())
    assert evaluate(model, ids)["accuracy"] == pytest.approx(expected, abs=1e-12)


def test_accuracy_counts_no_warm_up():
    """A text that is read in parts has as many tokens to get right as one that is not."""
    ids = np.arange(20_000) % 5
    model = NGramModel(5, order=2)
    assert evaluate(model, ids)["accuracy"] == np.mean(ids[1:] == 0)
    model.count(ids)
    assert evaluate(model, ids)["accuracy"] == 1


def test_a_model_can_be_trained_after_it_was_evaluated(ids, vocab):
    """Evaluation leaves nothing behind that stops gradients."""
    model = RNNModel(len(vocab), hidden_size=8)
    evaluate(model, ids)
    model(torch.from_numpy(ids[None, :20].astype(np.int64)))[0].sum().backward()
    assert all(isinstance(p.grad, torch.Tensor) for p in model.parameters())


@pytest.mark.parametrize("question", [evaluate, surprisals])
@pytest.mark.parametrize("length", [0, 1])
def test_a_text_without_a_token_to_predict_is_refused(question, length):
    """The message says how many tokens there are."""
    with pytest.raises(DataError, match=f"at least two tokens. Received: {length}"):
        question(NGramModel(3), np.zeros(length, dtype=np.uint8))


def test_two_tokens_are_enough(model, ids):
    """The shortest text has one token to predict."""
    np.testing.assert_allclose(surprisals(model, ids[:2]), one_pass(model, ids[:2]), rtol=1e-5)


def test_bits_per_char_count_characters(model, ids):
    """Tokens of 2.5 characters spread their bits over as many."""
    plain, spread = evaluate(model, ids), evaluate(model, ids, chars_per_token=2.5)
    assert spread.pop("bits_per_char") == pytest.approx(plain.pop("bits_per_char") / 2.5)
    assert spread == plain


@pytest.mark.parametrize(
    ("loss", "chars_per_token", "bits", "perplexity"),
    [
        (0.0, 1.0, 0.0, 1.0),
        (math.log(2), 1.0, 1.0, 2.0),
        (math.log(32), 5.0, 1.0, 32.0),
        (1000.0, 1.0, 1442.695040888963, math.inf),
        (math.inf, 1.0, math.inf, math.inf),
    ],
)
def test_metrics_are_a_loss_in_three_units(loss, chars_per_token, bits, perplexity):
    """Nats per token, bits per character, and perplexity, which may be infinite."""
    expected = {"loss": loss, "bits_per_char": bits, "perplexity": perplexity}
    assert metrics(loss, chars_per_token) == pytest.approx(expected, rel=1e-12)


def test_a_loss_that_is_no_number_stays_one():
    """NaN is not taken for a small or a large loss."""
    assert {name: math.isnan(value) for name, value in metrics(math.nan).items()} == {
        "loss": True,
        "bits_per_char": True,
        "perplexity": True,
    }


@pytest.mark.parametrize("seq_len", [0, -5])
def test_a_seq_len_below_one_is_refused(ids, vocab, seq_len):
    """Reading no tokens at a time is no way to score a text."""
    with pytest.raises(ValueError, match="`seq_len` must be at least 1"):
        evaluate(NGramModel(len(vocab)), ids, seq_len=seq_len)
