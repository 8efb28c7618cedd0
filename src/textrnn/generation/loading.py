"""Reading a model file, without torch."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_choice
from textrnn.errors import CorruptModelError, UnsupportedFormatError, VocabError
from textrnn.files import model_file
from textrnn.generation.native.precision import Precision, accelerated
from textrnn.generation.sampler import Sampler
from textrnn.generation.steppers import STEPPERS, old_ngram
from textrnn.generation.steppers.base import check_layout
from textrnn.history import History
from textrnn.text.novelty import check_hashes
from textrnn.text.tokenizer import Tokenizer
from textrnn.text.vocab import Vocab

DOCUMENTS = "documents"
"""The name of the tensor with the hashes of the training documents."""


def load_sampler(
    path: str | Path,
    *,
    tokenizer_class: type[Tokenizer] | None = None,
    precision: Precision = "float32",
) -> Sampler:
    """Load a saved model for generation only; this does not import torch.

    Args:
        path: a file that ``TextGenerator.save`` wrote.
        tokenizer_class: your own tokenizer class, if the model was trained with one; its
            ``from_config`` gets what its ``to_config`` returned.
        precision: "float32" generates the texts that ``TextGenerator.generate`` does. "auto" is
            several times faster: weights of an RNN, GRU or LSTM are rounded to 8 bits, if the
            native kernel and the processor are fast at that, and if the loss of a text that the
            model writes grows by at most 0.0001 nats per token. "int8" rounds in any case.

    Raises:
        UnsupportedFormatError: it is not such a file, or needs a custom class.
        CorruptModelError: the file is damaged.
        OSError: it cannot be read.
        ValueError: ``precision="int8"`` without the native kernel, or for another model.
    """
    check_choice("precision", precision, get_args(Precision))
    header, tokenizer, _, tensors = read_model(path, tokenizer_class)
    kind = header["kind"]
    if kind not in STEPPERS:
        raise UnsupportedFormatError(
            f"The file holds a custom model class, {kind!r:.60}; only "
            "TextGenerator.load(path, model_class=...) can read it. "
            f"Received: {str(path)!r}"
        )
    try:
        documents = tensors.pop(DOCUMENTS, None)
        stepper = STEPPERS[kind](header["model"], tensors)
    except _WRONG as error:
        raise _unusable(error, path) from None
    return Sampler(tokenizer, accelerated(stepper, precision), header, documents)


def read_model(
    path: str | Path, tokenizer_class: type[Tokenizer] | None = None
) -> tuple[dict[str, Any], Tokenizer, History, dict[str, NDArray[Any]]]:
    """Return the header, tokenizer, history and tensors of a model file.

    The tensors are read only if the header describes a model that has them.

    Args:
        path: the file.
        tokenizer_class: a custom tokenizer class, if the model was trained with one.

    Raises:
        UnsupportedFormatError: it is not a model file, or needs a custom tokenizer class.
        CorruptModelError: the file is damaged.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        reader = model_file.Reader(file, path)
        header = reader.header
        if "backup" in header:
            raise UnsupportedFormatError(
                "This is a backup of a training, not a model: call fit with BackupAndRestore "
                f"again to resume it. Received: {str(path)!r}"
            )
        if "tokenizer" in header and tokenizer_class is None:
            raise UnsupportedFormatError(
                f"The file holds a custom tokenizer class, {header['tokenizer']!r:.60}; pass it "
                f"as `tokenizer_class`. Received: {str(path)!r}"
            )
        try:
            kind, config = header["kind"], header["model"]
            tokenizer = (tokenizer_class or Vocab).from_config(header["vocab"])
            history = History.from_config(header["history"]) if "history" in header else History()
            if not isinstance(kind, str) or config["vocab_size"] != len(tokenizer):
                raise VocabError(f"{len(tokenizer)} tokens for a {kind} model {config}")
        except _WRONG as error:
            message = f"The file's header does not describe a model ({error!r:.200})"
            raise CorruptModelError(f"{message}. Received: {str(path)!r}") from None
        shapes = {name: shape for name, shape in reader.layout.items() if name != DOCUMENTS}
        old = kind == "ngram" and old_ngram.is_old(shapes)
        if kind in STEPPERS:
            layout = old_ngram.layout if old else STEPPERS[kind].layout
            try:
                check_layout(layout(config), shapes)
            except _WRONG as error:
                raise _unusable(error, path) from None
        tensors = reader.tensors()
    if old:
        tensors = old_ngram.upgrade(config, tensors)
    try:
        check_hashes(tensors.get(DOCUMENTS))
    except ValueError as error:
        raise CorruptModelError(f"{error}. Received: {str(path)!r}") from None
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise CorruptModelError(
                f"The tensor {name!r} holds numbers that are infinite or NaN; the model cannot "
                f"be used. Received: {str(path)!r}"
            )
    return header, tokenizer, history, tensors


def document_tensors(hashes: NDArray[np.uint64] | None) -> dict[str, NDArray[Any]]:
    """Return the tensors of a model file for the training documents."""
    return {} if hashes is None else {DOCUMENTS: hashes}


def tokenizer_header(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what a model file's header says about a tokenizer.

    >>> tokenizer_header(Vocab("ab"))
    {'vocab': {'level': 'char', 'symbols': [[97], [98]], 'unk': False}}
    """
    header: dict[str, Any] = {"vocab": tokenizer.to_config()}
    if type(tokenizer) is not Vocab:
        header["tokenizer"] = type(tokenizer).__name__
    return header


# What Python raises for a header with unexpected contents.
_WRONG = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def _unusable(error: Exception, path: str | Path) -> CorruptModelError:
    if isinstance(error, CorruptModelError):
        return error
    return CorruptModelError(
        f"The file's model config cannot be used ({error!r:.200}). Received: {str(path)!r}"
    )
