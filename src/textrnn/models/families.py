"""The families that a mixture may be made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from textrnn.models.base import LanguageModel
from textrnn.models.ngram import NGramModel
from textrnn.models.recurrent import GRUModel, LSTMModel, RNNModel
from textrnn.models.window import WindowMLPModel, WindowRNNModel


@dataclass(frozen=True)
class Family:
    """A family of models, and what the rest of the library needs to know about it.

    Attributes:
        name: in ``TextGenerator(model=...)`` and in saved files. ``STEPPERS``, which works without
            torch, has the family's stepper under the same name.
        model: the class.
        sized_by_text: whether ``fit`` chooses width and dropout from the text and the time; other
            families keep their class's defaults.
    """

    name: str
    model: type[LanguageModel]
    sized_by_text: bool = False


PARTS: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("ngram", NGramModel),
        Family("window_mlp", WindowMLPModel),
        Family("window_rnn", WindowRNNModel),
        Family("rnn", RNNModel, sized_by_text=True),
        Family("gru", GRUModel, sized_by_text=True),
        Family("lstm", LSTMModel, sized_by_text=True),
    )
}
"""The families whose models are no mixtures, by name."""
