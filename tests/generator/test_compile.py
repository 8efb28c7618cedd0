"""What compile takes, and what it does to training."""

import math

import pytest
import torch

from tests.generator.helpers import FIT, Optimisers, make

# compile


def test_compile_reaches_the_optimiser(text):
    """Every setting arrives: the kind, a rate for each group, decay, clipping, schedule."""
    gen, made = make("lstm"), Optimisers(torch.optim.SGD)
    rates = {"embedding": 0.5, "layer0": 0.25, "head": 0.125}
    gen.compile(
        optimizer=made.make,
        learning_rate=rates,
        weight_decay=0.25,
        clip_norm=1e-9,
        schedule=lambda progress: 0.5,
    )
    initial = make("lstm")
    initial.compile(optimizer="sgd", learning_rate=1e-30)
    initial.fit(text, **FIT)
    history = gen.fit(text, **{**FIT, "epochs": 1}).history
    steps = math.ceil((int(len(text) * 0.9) - 1) // 8 / 32)
    last_rates = {group["name"]: group["lr"] for group in made[0].param_groups}
    assert last_rates == {name: rate / 2 for name, rate in rates.items()}
    assert history["learning_rate"] == [0.125 / 2]
    assert gen.learning_rate == 0.125
    # With gradients clipped to nothing, what is left is the decay of the matrices.
    shrunk = (1 - 0.125 / 2 * 0.25) ** steps
    torch.testing.assert_close(gen.model.head.weight, initial.model.head.weight * shrunk)
    torch.testing.assert_close(gen.model.head.bias, initial.model.head.bias)


def test_learning_rate_can_be_set_between_fits(fitted, text):
    """Setting ``learning_rate`` holds for the next ``fit``; ``compile`` begins anew."""
    fitted.learning_rate = 0.125
    assert fitted.learning_rate == 0.125
    fitted.fit(text, **FIT)
    assert fitted.learning_rate == 0.125
    fitted.compile(learning_rate=0.5)
    fitted.fit(text, **FIT)
    assert fitted.learning_rate == 0.5


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"optimizer": "adamww"}, ValueError, r"`optimizer` must be.*Did you mean 'adamw'\?"),
        ({"schedule": "one_cicle"}, ValueError, r"`schedule` must be.*Did you mean 'one_cycle'\?"),
        ({"weight_decay": -0.1}, ValueError, "`weight_decay` must be a number of at least 0"),
        ({"clip_norm": 0}, ValueError, "`clip_norm` must be a number above 0"),
        ({"learning_rate": 0}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": float("nan")}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": True}, TypeError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": "fast"}, TypeError, "`learning_rate` must be a number above 0"),
    ],
)
def test_compile_refuses(settings, error, message):
    """A setting out of its range is refused at once, and the one before stays."""
    gen = make()
    gen.compile(optimizer="sgd")
    with pytest.raises(error, match=message):
        gen.compile(**settings)
    assert gen._setup.config.optimizer == "sgd"


@pytest.mark.parametrize("rates", [{"heat": 0.1}, [0.1, 0.2], slice(None), slice(0.1, -0.1)])
def test_rates_that_do_not_fit_the_model(text, rates):
    """They are refused by name, in ``compile`` or in ``fit``, which leaves nothing half-done."""
    gen = make()

    def compile_and_fit():
        gen.compile(learning_rate=rates)
        gen.fit(text, **FIT)

    with pytest.raises((ValueError, TypeError), match="`learning_rate`"):
        compile_and_fit()
    assert (gen.vocab, gen.model) == (None, None)
