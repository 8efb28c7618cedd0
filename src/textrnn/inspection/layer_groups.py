"""Freezing of layer groups, so that ``fit`` changes only the others."""

from textrnn.checks import check_int
from textrnn.models.base import LanguageModel


def freeze_to(model: LanguageModel, n: int) -> None:
    """Freeze the layer groups before number ``n``, and unfreeze the others, as in fastai.

    Args:
        model: changed in place: the parameters' ``requires_grad``.
        n: the first group that learns, counted from 0 at the input; -1 is the last one.

    Raises:
        TypeError: ``n`` is not a whole number.
        ValueError: the model has no such group; a model that learns by counting has none.

    >>> from textrnn import GRUModel
    >>> model = GRUModel(5, hidden_size=8)
    >>> freeze_to(model, 1)
    >>> {name: group[0].requires_grad for name, group in model.layer_groups().items()}
    {'embedding': False, 'layer0': True, 'head': True}
    """
    groups = list(model.layer_groups().values())
    if not groups:
        raise ValueError(
            "This model has no layer groups to freeze: it learns by counting. "
            f"Received: {type(model).__name__}"
        )
    first = check_int("n", n, -len(groups), len(groups) - 1) % len(groups)
    for i, parameters in enumerate(groups):
        for p in parameters:
            p.requires_grad_(i >= first)
