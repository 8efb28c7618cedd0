"""Texts that are handed over as ids: an array, a tensor, a memory map or a token file."""

from pathlib import Path

import numpy as np

from textrnn.errors import DataError
from textrnn.text.token_file import SUFFIX, GivenIds, open_tokens
from textrnn.text.tokenizer import Tokenizer


def given_ids(text: object, vocab: Tokenizer | None) -> GivenIds | None:
    """Return a text that is handed over as ids, else None.

    Args:
        text: ids are a flat array, CPU tensor or memory map of whole numbers, or a ``Path`` to a
            token file, which ends in ".bin"; lists are documents.
        vocab: the tokenizer that made the ids; None if the token file has it.

    Raises:
        DataError: there is no tokenizer, without which ids mean nothing, or the token file is
            damaged.
        UnknownTokenError: an id is not in [0, len(vocab)).
        VocabError: the token file was made by another tokenizer.

    >>> from textrnn import Vocab
    >>> given_ids(np.array([0, 1]), Vocab("ab")).chars_per_token
    1.0
    >>> given_ids("ab", None), given_ids(["a", "b"], None)
    (None, None)
    """
    if isinstance(text, Path):
        if text.suffix != SUFFIX or text.is_dir():
            return None
        return open_tokens(text, vocab)
    if getattr(text, "ndim", None) != 1 or not hasattr(text, "dtype"):
        return None
    ids = np.asanyarray(text)
    if ids.dtype.kind not in "iu":
        return None
    if vocab is None:
        raise DataError(
            "Ids need the tokenizer that made them: pass TextGenerator(vocab=...), or the text "
            f"itself. Received: {len(ids)} ids"
        )
    return GivenIds.of(ids, vocab)
