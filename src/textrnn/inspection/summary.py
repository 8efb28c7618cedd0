"""A table of a model's parameters, for a terminal and for a notebook."""

from dataclasses import dataclass
from typing import NamedTuple

from textrnn.history import html_table
from textrnn.models.base import LanguageModel


class TensorRow(NamedTuple):
    """One tensor of a model.

    Attributes:
        layer_group: the layer group that the tensor belongs to.
        name: its name in ``model.state_dict()``.
        shape: its shape.
        parameters: how many numbers it holds.
        frozen: whether it is frozen, so that ``fit`` does not change it.
    """

    layer_group: str
    name: str
    shape: tuple[int, ...]
    parameters: int
    frozen: bool


@dataclass(frozen=True, repr=False)
class Summary:
    """A table of a model's parameters. ``print`` shows it as text, a notebook as an HTML table.

    Attributes:
        title: the vocabulary and the device.
        model: the name of the model's class.
        rows: one row for each tensor, from input to output.

    >>> row = TensorRow("head", "head.weight", (3, 40), 120, False)
    >>> print(Summary("Vocab(3 tokens)", "RNNModel", (row,)))
    Vocab(3 tokens)
    RNNModel
    head        head.weight                 (3, 40)                  120
    total                                                            120
    """

    title: str
    model: str
    rows: tuple[TensorRow, ...]

    @property
    def total(self) -> int:
        """The number of parameters."""
        return sum(row.parameters for row in self.rows)

    def __str__(self) -> str:
        names = max([28, *(len(row.name) + 1 for row in self.rows)])
        lines = [
            f"{row.layer_group:<12}{row.name:<{names}}{row.shape!s:<16}{row.parameters:>12,}"
            + ("  frozen" if row.frozen else "")
            for row in self.rows
        ]
        return "\n".join(
            [self.title, self.model, *lines, f"{'total':<{names + 28}}{self.total:>12,}"]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table as HTML, for Jupyter."""
        rows = [
            (row.layer_group, row.name, row.shape, f"{row.parameters:,}", "frozen" * row.frozen)
            for row in self.rows
        ]
        return html_table(
            f"{self.model}: {self.title}",
            ("layer group", "tensor", "shape", "parameters", ""),
            [*rows, ("total", "", "", f"{self.total:,}", "")],
        )


def summary(model: LanguageModel, vocab: object) -> Summary:
    """Return a table of a model's layer groups: tensors, shapes, numbers of parameters.

    Args:
        model: the model.
        vocab: its vocabulary, for the title.

    >>> from textrnn import RNNModel, Vocab
    >>> summary(RNNModel(3, embedding_dim=2, hidden_size=40), Vocab("abc")).total
    1889
    """
    device = next((p.device for p in model.parameters()), "cpu")
    names = {id(p): name for name, p in model.named_parameters()}
    rows = [
        TensorRow(group, names[id(p)], tuple(p.shape), p.numel(), not p.requires_grad)
        for group, parameters in model.layer_groups().items()
        for p in parameters
    ]
    return Summary(f"{vocab}, on {device}", type(model).__name__, tuple(rows))
