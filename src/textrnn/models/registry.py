"""The model families, and the table of their names."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch

from textrnn.checks import check_choice, check_keywords
from textrnn.generation.steppers import STEPPERS, Stepper
from textrnn.generation.steppers.recurrent import RecurrentStepper
from textrnn.models.arrays import state_arrays
from textrnn.models.base import LanguageModel
from textrnn.models.denormals import flush_denormals
from textrnn.models.ngram import NGramModel
from textrnn.models.recurrent import GRUModel, LSTMModel, RNNModel
from textrnn.models.torch_steppers import DeviceStepper, ModuleStepper
from textrnn.models.window import WindowMLPModel, WindowRNNModel

MODELS: dict[str, type[LanguageModel]] = {
    "ngram": NGramModel,
    "window_mlp": WindowMLPModel,
    "window_rnn": WindowRNNModel,
    "rnn": RNNModel,
    "gru": GRUModel,
    "lstm": LSTMModel,
}
"""What ``TextGenerator(model=...)`` takes, and the kind that stands in a saved file."""


def check_arguments(
    model: str | LanguageModel, model_args: Iterable[str], beside: Iterable[str]
) -> None:
    """Refuse a name that is not in ``MODELS``, and arguments that its class does not take.

    Args:
        model: a name, or an instance, which takes no arguments any more.
        model_args: the names of the arguments meant for the class.
        beside: the names that a message gives besides the class's own.

    Raises:
        TypeError, ValueError: with the nearest right name.
    """
    if isinstance(model, LanguageModel):
        check_keywords("TextGenerator(model=<an instance>)", model_args, beside)
        return
    check_choice("model", model, MODELS)
    _, *allowed = inspect.signature(MODELS[model]).parameters
    check_keywords(f'TextGenerator("{model}")', model_args, [*beside, *allowed])


def model_type_of(model: LanguageModel) -> str:
    """Return a model's name in ``MODELS``, or its class's name if it has none there.

    >>> model_type_of(GRUModel(65))
    'gru'
    """
    return next((k for k, cls in MODELS.items() if type(model) is cls), type(model).__name__)


@flush_denormals()  # PyTorch's own threads may begin here
def build(
    kind: str, vocab_size: int, model_args: dict[str, Any], seed: int | None
) -> LanguageModel:
    """Make a new model whose initial weights depend on nothing but the seed.

    Args:
        kind: a name in ``MODELS``.
        vocab_size: V.
        model_args: further arguments of the class.
        seed: of the initial weights; None: others every time. torch's global generator is left
            alone.
    """
    cls: Any = MODELS[kind]
    if cls is NGramModel:
        return NGramModel(vocab_size, **model_args)
    generator = torch.Generator()
    generator.manual_seed(generator.seed() if seed is None else seed)
    with torch.device("meta"):  # takes no memory, and no random numbers
        model: Any = cls(vocab_size, **model_args)
    model = model.to_empty(device="cpu")
    model.reset_parameters(generator)
    built: LanguageModel = model
    return built


def make_stepper(model: LanguageModel) -> Stepper | DeviceStepper | ModuleStepper:
    """Return what steps this model: NumPy for our families, its own module for any other.

    A recurrent model on CUDA writes many texts there.
    """
    if isinstance(model, NGramModel):
        return model.stepper
    kind = model_type_of(model)
    if kind not in STEPPERS:
        return ModuleStepper(model)
    stepper = STEPPERS[kind](model.config, state_arrays(model))
    device = next(model.parameters()).device
    if isinstance(stepper, RecurrentStepper) and device.type == "cuda":
        return DeviceStepper(stepper, device)
    return stepper
