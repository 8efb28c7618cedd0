"""Texts that are handed over as ids: an array, a tensor or a memory map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import DataError
from textrnn.text.tokenizer import Tokenizer

_SAMPLE = 100_000  # ids that are decoded to see how long a token is


def given_ids(text: object) -> NDArray[Any] | None:
    """Return ids (N,) if a text is handed over as such, else None.

    Args:
        text: ids are a flat array, CPU tensor or memory map of whole numbers; lists are documents.

    >>> given_ids(np.array([0, 1])), given_ids("ab"), given_ids(["a", "b"])
    (array([0, 1]), None, None)
    """
    if getattr(text, "ndim", None) != 1 or not hasattr(text, "dtype"):
        return None
    array = np.asanyarray(text)
    return array if array.dtype.kind in "iu" else None


def token_length(ids: NDArray[Any], vocab: Tokenizer | None) -> float:
    """Return the mean length of a token in characters, by a sample of the ids.

    Raises:
        DataError: there is no tokenizer, without which ids mean nothing.
        UnknownTokenError: an id is not in [0, len(vocab)).
    """
    if vocab is None:
        raise DataError(
            "Ids need the tokenizer that made them: pass TextGenerator(vocab=...), or the text "
            f"itself. Received: {len(ids)} ids"
        )
    sample = ids[:_SAMPLE]
    return len(vocab.decode(sample)) / max(len(sample), 1)
