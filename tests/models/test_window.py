"""The models that see the last w tokens: their arithmetic, and what they see."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.models.registry import build


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
