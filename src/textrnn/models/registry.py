"""The model families: one table, which every list of their names reads."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from textrnn.checks import check_choice, check_keywords
from textrnn.generation.native.precision import accelerated
from textrnn.generation.native.stepper import NativeStepper
from textrnn.generation.steppers import STEPPERS, Stepper
from textrnn.generation.steppers.mixture import MixtureStepper
from textrnn.generation.steppers.recurrent import RecurrentStepper
from textrnn.models.arrays import state_arrays
from textrnn.models.base import LanguageModel, device_of
from textrnn.models.denormals import flush_denormals
from textrnn.models.families import PARTS, Family
from textrnn.models.mixture import MixtureModel
from textrnn.models.torch_steppers import DeviceStepper, ModuleStepper

ModelSpec = str | type[LanguageModel]
"""A name in ``FAMILIES``, several joined by "+" for a mixture, or a class."""


FAMILIES: Mapping[str, Family] = {**PARTS, "mixture": Family("mixture", MixtureModel)}
"""The families, by name."""

MODELS: Mapping[str, type[LanguageModel]] = {f.name: f.model for f in FAMILIES.values()}
"""The class of each family, by name. Pass your own class itself instead of a name."""


def family_of(model: ModelSpec | LanguageModel) -> Family | None:
    """Return the family of a name, a class or an instance; None for a class of your own.

    A subclass of a family's class does not belong to the family: it may compute something else.

    >>> from textrnn import GRUModel
    >>> family_of("gru") is family_of(GRUModel) is family_of(GRUModel(65))
    True
    """
    if isinstance(model, str):
        return FAMILIES.get("mixture" if "+" in model and all(part_families(model)) else model)
    cls = model if isinstance(model, type) else type(model)
    return next((family for family in FAMILIES.values() if family.model is cls), None)


def model_type_of(model: type[LanguageModel] | LanguageModel) -> str:
    """Return the name of a model's family, or of its class if it has no family.

    >>> from textrnn import GRUModel
    >>> model_type_of(GRUModel(65))
    'gru'
    """
    family = family_of(model)
    cls = model if isinstance(model, type) else type(model)
    return family.name if family else cls.__name__


def part_families(model: ModelSpec | LanguageModel) -> list[Family | None]:
    """Return the families of the parts of a mixture such as "lstm+ngram", or that of the model.

    >>> [family.name for family in part_families("gru+ngram")]
    ['gru', 'ngram']
    """
    if isinstance(model, MixtureModel):
        return [family_of(part) for part in model.models]
    if isinstance(model, str) and "+" in model:
        return [PARTS.get(name) for name in model.split("+")]
    return [family_of(model)]


def model_class(model: ModelSpec) -> type[LanguageModel]:
    """Return the class that a name stands for; a class stands for itself.

    Raises:
        ValueError: an unknown name, with the nearest known one.
        TypeError: neither a name nor a ``LanguageModel`` class.

    >>> model_class("lstm"), model_class("lstm+ngram")
    (<class 'textrnn.models.recurrent.LSTMModel'>, <class 'textrnn.models.mixture.MixtureModel'>)
    """
    if isinstance(model, str):
        names = model.split("+")
        for name in names:
            check_choice("model", name, MODELS if len(names) == 1 else PARTS)
        return MODELS[model] if len(names) == 1 else MixtureModel
    if isinstance(model, type) and issubclass(model, LanguageModel):
        return model
    raise TypeError(
        f"`model` must be one of {', '.join(map(repr, MODELS))}, a subclass of "
        f"textrnn.LanguageModel, or an instance of one. Received: {model!r:.100}"
    )


def check_arguments(
    model: ModelSpec | LanguageModel, model_args: Iterable[str], beside: Iterable[str]
) -> None:
    """Raise an error for something that is not a model, or arguments that its class lacks.

    Args:
        model: a name, a class, or an instance, which takes no more arguments.
        model_args: the names of the arguments for the class.
        beside: names that the message lists before those of the class.

    Raises:
        TypeError, ValueError: with the nearest right name, or with the argument that is missing.
    """
    if isinstance(model, LanguageModel):
        check_keywords("TextGenerator(model=<an instance>)", model_args, beside)
        return
    cls = model_class(model)
    owner = f'TextGenerator("{model}")' if isinstance(model, str) else f"{cls.__name__}()"
    parameters = _parameters(model)
    named = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
    if len(named) == len(parameters):  # no **kwargs
        if "vocab_size" not in named:
            raise TypeError(
                f"{owner} must take `vocab_size`, the number of tokens in the text's vocabulary. "
                f"Received: a class that takes {', '.join(named) or 'no arguments'}"
            )
        own = [name for name in named if name != "vocab_size"]
        check_keywords(owner, model_args, [*beside, *own])
    missing = [
        name
        for name, default in named.items()
        if default is inspect.Parameter.empty and name not in ("vocab_size", *model_args)
    ]
    if missing:
        raise TypeError(
            f"{owner} needs the argument {missing[0]!r}: TextGenerator(..., {missing[0]}=...). "
            f"Received: {', '.join(model_args) or 'no arguments'}"
        )


def accepted(model: ModelSpec, model_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that the class of a model takes.

    >>> accepted("gru", {"hidden_size": 8, "order": 7})
    {'hidden_size': 8}
    """
    parameters = _parameters(model)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(model_args)
    return {p.name: model_args[p.name] for p in parameters if p.name in model_args}


def _parameters(model: ModelSpec) -> list[inspect.Parameter]:
    """Return the parameters of a model's class; those of all parts of "lstm+ngram"."""
    families = part_families(model)
    classes = [family.model for family in families if family]
    if None in families:
        classes = [model_class(model)]
    return list(
        {p.name: p for c in classes for p in inspect.signature(c).parameters.values()}.values()
    )


@flush_denormals()  # PyTorch's own threads may begin here
def build(
    model: ModelSpec, vocab_size: int, model_args: Mapping[str, Any], seed: int | None = None
) -> LanguageModel:
    """Return a new model whose initial weights depend on nothing but the seed.

    Args:
        model: a name in ``MODELS``, or a class.
        vocab_size: V.
        model_args: further arguments of the class.
        seed: of the initial weights; None for different ones every time. torch's global generator
            is left alone.
    """
    cls: Any = model_class(model)
    if isinstance(model, str) and "+" in model:
        model_args = {"parts": model.split("+"), **model_args}
    generator = torch.Generator()
    generator.manual_seed(generator.seed() if seed is None else seed)
    if family_of(model) is None or not hasattr(cls, "reset_parameters"):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator.get_state())
            built: LanguageModel = cls(vocab_size=vocab_size, **model_args)
        return built
    with torch.device("meta"):  # takes no memory, and no random numbers
        built = cls(vocab_size, **model_args)
    built = built.to_empty(device="cpu")
    built.reset_parameters(generator)  # type: ignore[operator]
    return built


def make_stepper(model: LanguageModel) -> Stepper | NativeStepper | DeviceStepper | ModuleStepper:
    """Return a stepper for a model: a NumPy one for our families, else one that runs the module.

    A recurrent model on CUDA generates many texts there.
    """
    family = family_of(model)
    if family is None:
        return ModuleStepper(model)
    if isinstance(model, MixtureModel):
        weights = model.weights.cpu().numpy()
        return MixtureStepper.of([make_stepper(part) for part in model.models], weights)
    own: Stepper | None = getattr(model, "stepper", None)  # a counting model has one to score with
    stepper = own or STEPPERS[family.name](model.config, state_arrays(model))
    if isinstance(stepper, RecurrentStepper) and device_of(model).type == "cuda":
        return DeviceStepper(stepper, device_of(model))
    return accelerated(stepper)
