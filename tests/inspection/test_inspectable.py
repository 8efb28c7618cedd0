"""The methods of a generator that look inside its model."""

import pytest

from textrnn import TextGenerator
from textrnn.errors import NotFittedError


@pytest.mark.parametrize(
    "use",
    [
        lambda gen: gen.freeze(),
        lambda gen: gen.unfreeze(),
        lambda gen: gen.embeddings(),
        lambda gen: gen.plot_embeddings(),
        lambda gen: gen.summary(),
        lambda gen: gen.surprisals("a"),
        lambda gen: gen.layer_groups,
    ],
)
def test_before_fit_each_asks_for_a_fit(use):
    """There is nothing to look at."""
    with pytest.raises(NotFittedError, match="call fit"):
        use(TextGenerator())
