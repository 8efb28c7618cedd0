"""The model families."""

from textrnn.models.base import LanguageModel
from textrnn.models.mixture import MixtureModel
from textrnn.models.ngram import NGramModel
from textrnn.models.recurrent import GRUModel, LSTMModel, RNNModel
from textrnn.models.registry import MODELS, build, check_arguments, make_stepper, model_type_of
from textrnn.models.window import WindowMLPModel, WindowRNNModel

__all__ = [
    "MODELS",
    "GRUModel",
    "LSTMModel",
    "LanguageModel",
    "MixtureModel",
    "NGramModel",
    "RNNModel",
    "WindowMLPModel",
    "WindowRNNModel",
    "build",
    "check_arguments",
    "make_stepper",
    "model_type_of",
]
