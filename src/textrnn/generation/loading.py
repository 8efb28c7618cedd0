"""Read a model file, for generation alone or for all of it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError, UnsupportedFormatError, VocabError
from textrnn.files import model_file
from textrnn.generation.sampler import Sampler
from textrnn.generation.steppers import STEPPERS
from textrnn.generation.steppers.base import check_layout
from textrnn.history import History
from textrnn.text.vocab import Vocab


def load_sampler(path: str | Path) -> Sampler:
    """Load a saved model for writing only, without importing torch.

    Args:
        path: a file that ``TextGenerator.save`` wrote.

    Raises:
        UnsupportedFormatError: it is no such file, or holds a model class of a user's own.
        CorruptModelError: the file is damaged.
        OSError: it cannot be read.
    """
    header, vocab, _, tensors = read_model(path)
    kind = header["kind"]
    if kind not in STEPPERS:
        raise UnsupportedFormatError(
            f"The file holds a model class of its author's own, {kind!r:.60}; only "
            "TextGenerator.load(path, model_class=...) can read it. "
            f"Received: {str(path)!r}"
        )
    try:
        stepper = STEPPERS[kind](header["model"], tensors)
    except _WRONG as error:
        raise _unusable(error, path) from None
    return Sampler(vocab, stepper, header)


def read_model(
    path: str | Path,
) -> tuple[dict[str, Any], Vocab, History, dict[str, NDArray[Any]]]:
    """Read a model file: its header with the keys a model needs, and what that describes.

    The tensors are read only once the header is known to describe a model that has them.
    """
    with Path(path).open("rb") as file:
        reader = model_file.Reader(file, path)
        header = reader.header
        if "backup" in header:
            raise UnsupportedFormatError(
                "This is a backup of a training, not a model: call fit with BackupAndRestore "
                f"again to go on from it. Received: {str(path)!r}"
            )
        try:
            kind, config = header["kind"], header["model"]
            vocab = Vocab.from_config(header["vocab"])
            history = History.from_config(header["history"]) if "history" in header else History()
            if not isinstance(kind, str) or config["vocab_size"] != len(vocab):
                raise VocabError(f"{len(vocab)} symbols for a {kind} model {config}")
        except _WRONG as error:
            message = f"The file's header does not describe a model ({error!r:.200})"
            raise CorruptModelError(f"{message}. Received: {str(path)!r}") from None
        if kind in STEPPERS:
            try:
                check_layout(STEPPERS[kind].layout(config), reader.layout)
            except _WRONG as error:
                raise _unusable(error, path) from None
        tensors = reader.tensors()
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise CorruptModelError(
                f"The tensor {name!r} holds numbers that are infinite or NaN; the model cannot "
                f"be used. Received: {str(path)!r}"
            )
    return header, vocab, history, tensors


# What Python says to a header that holds other things than it should.
_WRONG = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def _unusable(error: Exception, path: str | Path) -> CorruptModelError:
    if isinstance(error, CorruptModelError):
        return error
    return CorruptModelError(
        f"The file's model config cannot be used ({error!r:.200}). Received: {str(path)!r}"
    )
