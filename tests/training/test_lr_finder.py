"""The learning-rate finder: what it finds, and that it leaves everything as it was."""

import math
import random

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from textrnn import SuggestedLRs, TextGenerator
from textrnn.errors import DataError, NonFiniteError
from textrnn.models import LSTMModel, NGramModel
from textrnn.models.registry import build
from textrnn.training.lr_finder import lr_find
from textrnn.training.optim import OptimizerConfig
from textrnn.training.train_step import TrainStep

SIZES = {"batch_size": 8, "seq_len": 32}


@pytest.fixture
def found(ids):
    """The rates for a small LSTM."""
    model = build("lstm", int(ids.max()) + 1, {"hidden_size": 16}, seed=0)
    return lr_find(model, ids, seed=0, **SIZES)


def test_rates_go_up_by_ratio_until_it_diverges(found):
    """They begin at 1e-6, step by step the same ratio, and end before 1 if the loss explodes."""
    rates = np.array(found.learning_rates)
    assert rates[0] == pytest.approx(1e-6)
    np.testing.assert_allclose(rates[1:] / rates[:-1], 1e6 ** (1 / 99), rtol=1e-9)
    assert 2 <= len(rates) == len(found.losses) <= 100
    assert all(math.isfinite(loss) for loss in found.losses)
    assert all(loss <= 2 * min(found.losses[: i + 1]) for i, loss in enumerate(found.losses))


@pytest.mark.slow
def test_a_rate_that_is_suggested_learns(found, ids):
    """Trained with it, a model beats one that is trained with a hundredth of it."""
    losses = []
    for rate in (found.valley, found.valley / 100):
        gen = TextGenerator("lstm", hidden_size=16, seed=0, device="cpu")
        gen.compile(learning_rate=rate)
        history = gen.fit("".join(chr(97 + i) for i in ids), epochs=2, verbose=0, **SIZES)
        losses.append(history.history["val_loss"][-1])
    assert losses[0] < losses[1] - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("suggestion", ["valley", "steep", "minimum"])
def test_suggestions_lie_between_learning_nothing_and_diverging(found, suggestion):
    """For this model and text between 1e-4 and 0.3."""
    assert 1e-4 < getattr(found, suggestion) < 0.3


RATES = [10.0**k for k in range(-6, 1)]


@pytest.mark.parametrize(
    ("losses", "valley", "steep", "minimum"),
    [
        # falls at the indices 1 2 3 4 5: two thirds of the way is index 3
        ([4.0, 4.1, 3.9, 3.0, 2.5, 2.4, 9.0], 1e-3, 1e-3, 1e-2),
        # one bump does not end the fall 0 1 3 4 5
        ([4.0, 3.5, 3.6, 3.0, 2.0, 1.9, 5.0], 1e-3, 1e-2, 1e-2),
        # a tenth of the lowest rate was not tried
        ([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 1e-6, 1e-5, 1e-6),
    ],
)
def test_suggestions_by_hand(losses, valley, steep, minimum):
    """Each is what its docstring says."""
    found = SuggestedLRs(RATES, losses)
    assert found.valley == pytest.approx(valley)
    assert found.steep == pytest.approx(steep)
    assert found.minimum == pytest.approx(minimum)


@pytest.mark.parametrize(
    ("losses", "fell"),
    [
        ([4.0, 4.1, 3.9, 3.0, 2.5, 2.4, 9.0], True),
        ([2.0, 2.2, 2.1, 1.95, 1.9, 2.0, 3.0], False),  # less than the noise up to 1e-4
        ([2.0, 2.2, 2.1, 1.95, 1.75, 2.0, 3.0], True),  # more than that noise
        ([2.0, 4.0, 3.0, 2.0, 1.75, 2.0, 3.0], True),  # more than a tenth
        ([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], False),
    ],
)
def test_whether_the_loss_fell(losses, fell):
    """It fell if it comes to lie clearly below the losses at rates that teach nothing."""
    assert SuggestedLRs(RATES, losses).fell == fell


@pytest.mark.slow
def test_a_trained_model_has_no_fall(text):
    """What has been learned well does not fall again, and a fresh model's loss does."""
    gen = TextGenerator("rnn", hidden_size=16, seed=0, device="cpu")
    assert gen.lr_find(text, **SIZES).fell
    gen.fit(text, epochs=20, verbose=0, **SIZES)
    assert not gen.lr_find(text, **SIZES).fell


def test_repr_is_one_line():
    """The suggestions and how many rates were tried; or that there is nothing to suggest."""
    assert repr(SuggestedLRs(RATES, [4.0, 3.5, 3.6, 3.0, 2.0, 1.9, 5.0])) == (
        "SuggestedLRs(valley=1.0e-03, steep=1.0e-02, minimum=1.0e-02, 7 rates tried)"
    )
    flat = SuggestedLRs(RATES, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    assert repr(flat) == "SuggestedLRs(no fall found, 7 rates tried)"


def test_the_model_is_left_as_it_is(ids):
    """Weights, mode, and every generator of random numbers."""
    model = build("lstm", int(ids.max()) + 1, {"hidden_size": 8, "dropout": 0.5}, seed=0).eval()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    chance = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    lr_find(model, ids, steps=20, **SIZES)
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == chance[1:]  # noqa: NPY002
    assert not model.training
    assert all(dropout.generator is None for dropout in model.dropouts)


def test_layer_groups_keep_their_ratios(ids, monkeypatch):
    """The last group goes through the rates; the others at their ratio to it."""
    seen, step = [], TrainStep.__call__

    def spy(self, *args):
        result = step(self, *args)
        seen.append({group["name"]: group["lr"] for group in self.optimizer.param_groups})
        return result

    monkeypatch.setattr(TrainStep, "__call__", spy)
    model = build("lstm", int(ids.max()) + 1, {"hidden_size": 8}, seed=0)
    settings = OptimizerConfig(learning_rate={"embedding": 1.0, "layer0": 2.0, "head": 4.0})
    found = lr_find(model, ids, settings, steps=10, **SIZES)
    for rates, rate in zip(seen, found.learning_rates, strict=False):
        assert list(rates.values()) == pytest.approx([rate / 4, rate / 2, rate])


@pytest.mark.slow
def test_the_generator_goes_on_as_if_nothing_had_been(text):
    """Before the first fit and between two, with new tokens in the text: bit-equal weights."""
    gens = [
        TextGenerator("lstm", hidden_size=8, dropout=0.5, seed=0, device="cpu") for _ in range(2)
    ]
    for looks, gen in enumerate(gens):
        for _ in range(2):
            if looks:
                found = gen.lr_find(text + "é", steps=12, **SIZES)
                assert len(found.losses) >= 2
            gen.fit(text, epochs=1, verbose=0, **SIZES)
    assert gens[0].vocab == gens[1].vocab
    one, other = (gen.model.state_dict() for gen in gens)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_unfitted_generator_stays_unfitted(text):
    """``lr_find`` builds a model for itself only."""
    gen = TextGenerator("rnn", hidden_size=8, seed=0, device="cpu")
    gen.lr_find(text, steps=5, **SIZES)
    assert (gen.model, gen.vocab) == (None, None)


def test_what_has_no_rate_is_refused(ids, text):
    """A counting model, too few steps, no text, and a model that is broken already."""
    with pytest.raises(ValueError, match=r"learns by counting.*Received: NGramModel"):
        lr_find(NGramModel(20, order=2), ids)
    model = LSTMModel(30, hidden_size=4)
    with pytest.raises(ValueError, match="`steps` must be at least 2"):
        lr_find(model, ids, steps=1)
    for size in ("batch_size", "seq_len"):
        with pytest.raises(ValueError, match=f"`{size}` must be at least 1"):
            TextGenerator().lr_find(text, **{size: 0})
    with pytest.raises(DataError, match="empty"):
        TextGenerator().lr_find("")
    torch.nn.init.constant_(model.head.bias, math.nan)
    with pytest.raises(NonFiniteError, match="even at the lowest learning rates"):
        lr_find(model, ids, **SIZES)


@pytest.mark.slow
def test_the_plot_shows_the_losses_and_the_suggestions(found):
    """On a logarithmic axis, with the three rates in the legend, each on the curve."""
    ax = found.plot(Figure().subplots())
    curve, *marks = ax.lines
    assert ax.get_xscale() == "log"
    np.testing.assert_allclose(curve.get_xdata(), found.learning_rates)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    suggestions = [found.valley, found.steep, found.minimum]
    names = ["valley", "steep", "a tenth of the minimum"]
    assert labels == [f"{n} {rate:.1e}" for n, rate in zip(names, suggestions, strict=True)]
    assert [mark.get_xdata()[0] for mark in marks] == suggestions
    assert all(min(found.losses) <= mark.get_ydata()[0] <= max(found.losses) for mark in marks)


def test_a_plot_without_a_fall_says_so():
    """In its title; nothing is marked."""
    ax = SuggestedLRs(RATES, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).plot(Figure().subplots())
    assert ax.get_title().startswith("no fall found")
    assert (len(ax.lines), ax.get_legend()) == (1, None)
