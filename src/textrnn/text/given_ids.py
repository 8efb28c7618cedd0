"""Texts that are handed over as ids: an array, a tensor, a memory map or a token file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import DataError
from textrnn.text.spelling import unknown_share
from textrnn.text.token_file import SUFFIX, open_tokens
from textrnn.text.tokenizer import Tokenizer

_SAMPLE = 100_000  # ids that are decoded to see how long a token is


@dataclass(frozen=True)
class GivenIds:
    """Holds a text that is handed over as ids.

    Args:
        ids: (N,) whole numbers.
        vocab: the tokenizer that made them.
        chars_per_token: the mean length of a token in characters, of a sample or of all.
        unknown_bits: what it takes to spell an unknown token, in bits; 0 if that is not known.
    """

    ids: NDArray[Any]
    vocab: Tokenizer
    chars_per_token: float
    unknown_bits: float = 0.0

    def spelling(self, ids: NDArray[Any]) -> float:
        """Return the bits per character that spell the unknown tokens in a part of the ids."""
        share = unknown_share(self.vocab, ids) if self.unknown_bits else 0.0
        return self.unknown_bits * share / self.chars_per_token


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
        tokens = open_tokens(text, vocab)
        ids, vocab = tokens.ids, tokens.vocab
        if tokens.chars_per_token is not None and vocab is not None:
            return GivenIds(ids, vocab, tokens.chars_per_token, tokens.unknown_bits)
    elif getattr(text, "ndim", None) != 1 or not hasattr(text, "dtype"):
        return None
    else:
        ids = np.asanyarray(text)
        if ids.dtype.kind not in "iu":
            return None
    if vocab is None:
        raise DataError(
            "Ids need the tokenizer that made them: pass TextGenerator(vocab=...), or the text "
            f"itself. Received: {len(ids)} ids"
        )
    sample = ids[:_SAMPLE]
    return GivenIds(ids, vocab, len(vocab.decode(sample)) / max(len(sample), 1))
