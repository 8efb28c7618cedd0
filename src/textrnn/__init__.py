"""textrnn turns your own text into a text generator.

    from pathlib import Path
    from textrnn import TextGenerator

    gen = TextGenerator()                         # an LSTM over characters
    gen.fit(Path("shakespeare.txt"), minutes=3)   # or epochs=10
    print(gen.generate("ROMEO:", temperature=0.8))
    gen.save("shakespeare.safetensors")           # one file, no pickle

Names are imported when they are first used (PEP 562), so ``import textrnn`` and
``load_sampler`` work without importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from textrnn.callbacks import (
        BackupAndRestore,
        Callback,
        CSVLogger,
        EarlyStopping,
        KeepBestWeights,
        LambdaCallback,
        LearningRateScheduler,
        ModelCheckpoint,
        ReduceLROnPlateau,
        SampleText,
        SwapEMAWeights,
        TerminateOnNaN,
    )
    from textrnn.errors import (
        CorruptModelError,
        DataError,
        FileFormatError,
        NonFiniteError,
        NotFittedError,
        TextRNNError,
        UnknownTokenError,
        UnsupportedFormatError,
        VocabError,
    )
    from textrnn.generation.loading import load_sampler
    from textrnn.generation.sampler import Sampler
    from textrnn.generation.sequence import GeneratedText
    from textrnn.generator import TextGenerator
    from textrnn.history import History
    from textrnn.models import (
        GRUModel,
        LanguageModel,
        LSTMModel,
        NGramModel,
        RNNModel,
        WindowMLPModel,
        WindowRNNModel,
    )
    from textrnn.text.batching import ContiguousBatcher
    from textrnn.text.sources import read_text
    from textrnn.text.tokenizer import Tokenizer
    from textrnn.text.vocab import Vocab
    from textrnn.training import schedules
    from textrnn.training.lr_finder import SuggestedLRs
    from textrnn.training.trainer import Trainer

_HOMES = {
    "textrnn.text.batching": ["ContiguousBatcher"],
    "textrnn.callbacks": [
        "BackupAndRestore",
        "CSVLogger",
        "Callback",
        "EarlyStopping",
        "KeepBestWeights",
        "LambdaCallback",
        "LearningRateScheduler",
        "ModelCheckpoint",
        "ReduceLROnPlateau",
        "SampleText",
        "SwapEMAWeights",
        "TerminateOnNaN",
    ],
    "textrnn.errors": [
        "CorruptModelError",
        "DataError",
        "FileFormatError",
        "NonFiniteError",
        "NotFittedError",
        "TextRNNError",
        "UnknownTokenError",
        "UnsupportedFormatError",
        "VocabError",
    ],
    "textrnn.generator": ["TextGenerator"],
    "textrnn.history": ["History"],
    "textrnn.training.lr_finder": ["SuggestedLRs"],
    "textrnn.models": [
        "GRUModel",
        "LSTMModel",
        "LanguageModel",
        "NGramModel",
        "RNNModel",
        "WindowMLPModel",
        "WindowRNNModel",
    ],
    "textrnn.generation.loading": ["load_sampler"],
    "textrnn.generation.sampler": ["Sampler"],
    "textrnn.generation.sequence": ["GeneratedText"],
    "textrnn.training.trainer": ["Trainer"],
    "textrnn.text.tokenizer": ["Tokenizer"],
    "textrnn.text.sources": ["read_text"],
    "textrnn.text.vocab": ["Vocab"],
    "textrnn.training": ["schedules"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "ContiguousBatcher",
    "CorruptModelError",
    "DataError",
    "EarlyStopping",
    "FileFormatError",
    "GRUModel",
    "GeneratedText",
    "History",
    "KeepBestWeights",
    "LSTMModel",
    "LambdaCallback",
    "LanguageModel",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "NGramModel",
    "NonFiniteError",
    "NotFittedError",
    "RNNModel",
    "ReduceLROnPlateau",
    "SampleText",
    "Sampler",
    "SuggestedLRs",
    "SwapEMAWeights",
    "TerminateOnNaN",
    "TextGenerator",
    "TextRNNError",
    "Tokenizer",
    "Trainer",
    "UnknownTokenError",
    "UnsupportedFormatError",
    "Vocab",
    "VocabError",
    "WindowMLPModel",
    "WindowRNNModel",
    "__version__",
    "load_sampler",
    "read_text",
    "schedules",
]


def __getattr__(name: str) -> Any:
    if name == "schedules":  # a module
        return importlib.import_module("textrnn.training.schedules")
    if name not in _HOME:
        raise AttributeError(f"module 'textrnn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
