"""The table of a model's parameters."""

import html
from xml.etree import ElementTree

import pytest

from textrnn.inspection.layer_groups import freeze_to
from textrnn.inspection.summary import Summary, TensorRow, summary
from textrnn.models import NGramModel, RNNModel
from textrnn.text.vocab import Vocab


@pytest.fixture
def model():
    """A small model of one layer."""
    return RNNModel(3, embedding_dim=2, hidden_size=40)


def test_a_summary_lists_every_tensor_and_the_total(model):
    """It prints as this table, and is shown so in a console, too."""
    table = summary(model, Vocab("abc"))
    assert (
        repr(table)
        == str(table)
        == "\n".join(
            [
                "Vocab(3 tokens, level='char'), on cpu",
                "RNNModel",
                "embedding   embedding.weight            (3, 2)                     6",
                "layer0      layers.0.weight_ih_l0       (40, 2)                   80",
                "layer0      layers.0.weight_hh_l0       (40, 40)               1,600",
                "layer0      layers.0.bias_ih_l0         (40,)                     40",
                "layer0      layers.0.bias_hh_l0         (40,)                     40",
                "head        head.weight                 (3, 40)                  120",
                "head        head.bias                   (3,)                       3",
                "total                                                          1,889",
            ]
        )
    )


def test_frozen_tensors_are_marked(model):
    """A line of a frozen one ends with that word, and no other does."""
    freeze_to(model, -1)
    table = summary(model, Vocab("abc"))
    _, _, *lines, _ = str(table).splitlines()
    assert [line.endswith("  frozen") for line in lines] == [row.frozen for row in table.rows]
    assert [row.frozen for row in table.rows] == [row.layer_group != "head" for row in table.rows]


def test_a_long_name_keeps_the_columns_apart():
    """Every column begins at the same place in each line."""
    names = ("a", "block.attention.a_very_long_name_of_a_tensor.weight")
    rows = tuple(TensorRow("head", name, (2, 3), 6, False) for name in names)
    _, _, *lines, total = str(Summary("title", "Model", rows)).splitlines()
    assert len({line.index("(2, 3)") for line in lines}) == 1
    assert len({len(line) for line in [*lines, total]}) == 1


def test_a_counting_model_has_no_tensors_that_learn():
    """Its total is 0."""
    table = summary(NGramModel(3, order=2), Vocab("abc"))
    assert (table.rows, table.total) == ((), 0)


def test_a_notebook_shows_a_table_in_which_everything_is_escaped(model):
    """The cells are those of the text; a name that looks like HTML stays text."""
    found = ElementTree.fromstring(summary(model, Vocab("abc"))._repr_html_())
    cells = [[cell.text or "" for cell in row] for row in found.iter("tr")]
    assert cells[1] == ["embedding", "embedding.weight", "(3, 2)", "6", ""]
    assert cells[-1] == ["total", "", "", "1,889", ""]
    name = "<script>alert('&')</script>"
    page = Summary(name, name, (TensorRow(name, name, (1,), 1, False),))._repr_html_()
    assert "<script>" not in page
    assert page.count(html.escape(name)) == 4
