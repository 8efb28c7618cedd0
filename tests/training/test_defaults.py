"""What is chosen where the user chose nothing: it always works, and it says what it was."""

import warnings

import numpy as np
import pytest
import torch

from textrnn.models.registry import MODELS
from textrnn.text.batching import ContiguousBatcher
from textrnn.text.corpus import Corpus
from textrnn.training import defaults
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan

TOKENS = (1, 300, 299_999, 300_000, 2_999_999, 3_000_000, 10**10)


@pytest.mark.parametrize("vocab_size", [1, 65, 1000, 20_001])
@pytest.mark.parametrize("budget", [1, 10**6, 10**7, 3 * 10**7, 10**9])
@pytest.mark.parametrize("family", ["lstm", "rnn", "window_mlp"])
def test_chosen_models_can_be_built(family, budget, vocab_size):
    """For a text and a training of any length the chosen sizes make a model."""
    chosen = defaults.choose_model_args(family, {}, 10**6, budget, vocab_size)
    with torch.device("meta"):  # takes no memory
        model = MODELS[family](vocab_size, **chosen)
    assert model.config.items() >= chosen.items()
    assert model.config["embedding_dim"] <= vocab_size


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("reading", TOKENS)
def test_chosen_training_is_valid(reading, device):
    """What is chosen for a training of any length is what batcher and settings accept."""
    chosen = defaults.choose_batch(reading, reading, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short text makes smaller batches
        sizes = {name: chosen[name] for name in ("batch_size", "seq_len")}
        batcher = ContiguousBatcher(np.zeros(min(reading + 1, 10**5), dtype=np.uint8), **sizes)
    assert 1 <= batcher.batch_size <= chosen["batch_size"]
    assert OptimizerConfig(learning_rate=chosen["learning_rate"]).learning_rate < 0.1
    assert set(chosen) == {"batch_size", "seq_len", "learning_rate"}


def test_a_longer_training_carries_a_larger_model():
    """The width never falls with the tokens that are read, and it does change."""
    widths = [
        defaults.choose_model_args("lstm", {}, 10**6, reading, 65)["hidden_size"]
        for reading in TOKENS
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_more_passes_need_more_dropout():
    """Dropout never falls with the number of passes, and it does change."""
    dropouts = [
        defaults.choose_model_args("gru", {}, 10**5, n * 10**5, 65)["dropout"]
        for n in (1, 5, 10, 50)
    ]
    assert dropouts == sorted(dropouts)
    assert dropouts[0] < dropouts[-1]


def test_rare_symbols_are_learnt_by_heart_soon():
    """Words need in a few passes what characters need in dozens."""
    words, characters = (
        defaults.choose_model_args("lstm", {}, 10**6, 8 * 10**6, v) for v in (9000, 65)
    )
    assert words["dropout"] > characters["dropout"]
    assert words["weight_drop"] > characters["weight_drop"] == 0


def test_with_time_left_words_get_a_wide_model_that_reads_less():
    """A second reading teaches less than width does; with epochs the user decides how often."""
    args = "lstm", {}, 350_000, 2_700_000, 9000
    timed, counted = (defaults.choose_model_args(*args, timed=t) for t in (True, False))
    assert timed["hidden_size"] > counted["hidden_size"]
    assert timed["dropout"] < counted["dropout"]


@pytest.mark.parametrize(
    ("tokens", "width"), [(100_000, 384), (1_000_000, 512), (5_000_000, 384)], ids=str
)
def test_rather_wider_than_reading_the_text_by_heart(tokens, width):
    """What is read a few times, or a hundred times anyway, has the width for so much reading."""
    chosen = defaults.choose_model_args("lstm", {}, tokens, 38_000_000, 65, timed=True)
    assert chosen["hidden_size"] == width
    assert defaults.choose_model_args("lstm", {}, tokens, 38_000_000, 65)["hidden_size"] == 384


def test_a_wide_model_gets_a_lower_rate():
    """On a CPU, where the width is chosen by the time there is."""
    rates = [
        defaults.choose_batch(10**6, 10**7, "cpu", h)["learning_rate"] for h in (128, 256, 512)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]


def test_what_will_be_read_is_passes_or_time():
    """Passes are counted; a time is taken at the speed that was measured, less for many tokens."""
    assert defaults.estimate_tokens(1000, 7, None, 0.0, 65) == 7000
    assert defaults.estimate_tokens(1000, None, 0.5, 2000.0, 65) == 48_000
    assert 0 < defaults.estimate_tokens(1000, None, 0.5, 2000.0, 20_000) < 10_000


def test_in_a_time_a_wide_model_makes_fewer_passes():
    """So it needs less dropout than one that makes all of them."""
    args = "lstm", {}, 10**7, 16 * 10**7, 65
    timed, counted = (defaults.choose_model_args(*args, timed=t)["dropout"] for t in (True, False))
    assert timed < counted


@pytest.mark.parametrize(
    "given", [{}, {"hidden_size": 7}, {"embedding_dim": 9}, {"input": "onehot"}]
)
def test_many_symbols_share_their_vectors_with_the_output(given):
    """Unless the user chose what they are; what was chosen by hand stays."""
    few, many = (defaults.choose_model_args("lstm", given, 10**6, 10**6, v) for v in (1000, 1001))
    assert "tie_weights" not in few
    assert many.get("tie_weights", False) == (given in ({}, {"hidden_size": 7}))
    assert many.items() >= given.items()
    assert MODELS["lstm"](1001, **many).config.items() >= many.items()


def test_a_gpu_gets_more_rows_than_a_cpu():
    """On a GPU more tokens are read in a step than on a CPU."""
    cpu, gpu = (defaults.choose_batch(10**6, 10**8, device) for device in ("cpu", "cuda"))
    assert gpu["batch_size"] * gpu["seq_len"] > cpu["batch_size"] * cpu["seq_len"]


def test_headline_of_a_neural_model():
    """It names the model's config, the text's sizes, the parameters, and how it learns."""
    model = MODELS["rnn"](5, hidden_size=8, embedding_dim=3)
    parameters = 5 * 3 + 8 * 3 + 8 * 8 + 8 + 8 + 8 * 5 + 5
    plan = Plan(epochs=1, batch_size=4, seq_len=16, learning_rate=0.003, precision="bfloat16")
    corpus = Corpus(np.zeros(12345, dtype=np.uint8), np.zeros(678, dtype=np.uint8))
    assert defaults.headline(model, corpus, plan) == (
        "RNNModel(vocab_size=5, embedding_dim=3, hidden_size=8, num_layers=1, "
        "input=embedding, nonlinearity=tanh, recurrent_init=orthogonal): 12,345 tokens to train "
        f"on, 678 to validate on; {parameters} parameters on cpu, learning_rate=0.003, "
        "batch_size=4, seq_len=16, precision=bfloat16"
    )


def test_headline_of_a_counting_model():
    """A model that counts has no parameters, no learning rate and no batches to speak of."""
    corpus = Corpus(np.zeros(100, dtype=np.uint8))
    line = defaults.headline(MODELS["ngram"](5, order=2), corpus, Plan(epochs=1))
    assert line == (
        "NGramModel(vocab_size=5, order=2, smoothing=kneser_ney): 100 tokens to train on, "
        "0 to validate on"
    )


@pytest.mark.parametrize(
    ("epochs", "vocab_size", "width"),
    [(5, 2800, 256), (6, 2800, 384), (15, 2800, 512), (7, 20_000, 512), (5, 20_000, 384)],
)
def test_a_large_vocabulary_gets_the_widest_model_that_reads_three_times(epochs, vocab_size, width):
    """``epochs`` are those of width 256; head and embeddings count in what a wider one costs."""
    chosen = defaults.choose_model_args("lstm", {}, 40_000, epochs * 40_000, vocab_size, timed=True)
    assert (chosen["hidden_size"], chosen["tie_weights"]) == (width, True)
