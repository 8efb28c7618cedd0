"""What a generator tells about itself."""

import numpy as np
import pytest

from tests.generator.helpers import FIT, make, trained
from tests.quick import quick
from textrnn.models.registry import MODELS

# Looking at the model


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "word"])
def test_score_is_evaluate_token_by_token(family, text, level):
    """The surprisals are those that ``evaluate`` averages, after a line break."""
    gen = make(family, level=level)
    gen.fit(text, **{**FIT, "batch_size": 2, "seq_len": 16})
    scored = gen.surprisals("twenty one\nthirty")
    tokens, surprisals = zip(*scored, strict=True)
    if level == "char":
        assert "".join(tokens) == "twenty one\nthirty"
    else:
        assert tokens == ("twenty", "one", "\n", "thirty")
    expected = gen.evaluate("\ntwenty one\nthirty")["loss"]
    np.testing.assert_allclose(np.mean(surprisals), expected, rtol=1e-5)
    assert min(surprisals) >= 0


@pytest.mark.parametrize("family", quick(MODELS))
def test_summary_adds_up(family):
    """The table's parameter counts are the tensors' sizes, and its total is their sum."""
    gen = trained(family)
    first, name, *rows, total = str(gen.summary()).splitlines()
    groups = gen.layer_groups
    numbers = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert first == f"{gen.vocab}, on cpu"
    assert name == type(gen.model).__name__
    assert numbers == [p.numel() for parameters in groups.values() for p in parameters]
    assert [row.split()[0] for row in rows] == [g for g in groups for _ in groups[g]]
    assert total.split() == ["total", f"{sum(p.numel() for p in gen.model.parameters()):,}"]
