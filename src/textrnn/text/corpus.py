"""A corpus: a text as ids, split into a part to train on and a part to validate on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textrnn.text.levels import LEVELS
from textrnn.text.sources import Text, read_text, split
from textrnn.text.tokenizer import Tokenizer
from textrnn.text.vocab import Vocab


@dataclass(frozen=True)
class Corpus:
    """Holds what training needs to know of a text.

    Args:
        ids: (N,) whole numbers, the part to train on: an array, a list, a CPU tensor or a memory
            map, which stays one.
        valid_ids: (M,) whole numbers, the part to validate on; None for none.
        vocab: the tokenizer that made the ids; None if that does not matter.
        chars_per_token: mean length of a token, in characters, in the text to train on and in the
            one to validate on.

    Raises:
        TypeError: ids are no flat array of whole numbers.

    >>> Corpus([0, 1, 2, 1]).ids
    array([0, 1, 2, 1])
    """

    ids: NDArray[Any]
    valid_ids: NDArray[Any] | None = None
    vocab: Tokenizer | None = None
    chars_per_token: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", check_ids("ids", self.ids))
        if self.valid_ids is not None:
            object.__setattr__(self, "valid_ids", check_ids("valid_ids", self.valid_ids))

    def check_vocab_size(self, vocab_size: int) -> None:
        """Raise ``ValueError`` unless all ids are in [0, vocab_size)."""
        for ids in (self.ids, self.valid_ids):
            if ids is None or not len(ids):
                continue
            low, high = int(ids.min()), int(ids.max())
            if low < 0 or high >= vocab_size:
                raise ValueError(
                    f"Ids must be at least 0 and below the model's vocab_size, {vocab_size}. "
                    f"Received: ids from {low} to {high}"
                )


def check_ids(name: str, ids: ArrayLike) -> NDArray[Any]:
    """Return ids as an array, which is not copied where it is one, or raise ``TypeError``."""
    try:
        array = np.asanyarray(ids)
    except (ValueError, TypeError, RuntimeError):  # ragged lists, tensors on a GPU
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"`{name}` must be a flat array of whole numbers, as Vocab.encode returns it. "
            f"Received: {type(ids).__name__} {ids!r:.60}"
        )
    return array


def read_corpus(
    text: Text,
    level: str,
    vocab: Tokenizer | None = None,
    grow: bool = False,
    validation_split: float = 0.1,
    validation_data: Text | None = None,
) -> Corpus:
    """Read a text, encode it and split it.

    Args:
        text: as in ``TextGenerator.fit``.
        level: a name in ``LEVELS``, for a new vocabulary.
        vocab: the tokenizer; None to collect a vocabulary.
        grow: extend ``vocab`` with the text's tokens.
        validation_split: the part at the end that is kept for validation, in [0, 1).
        validation_data: a text for validation instead.

    Raises:
        DataError: a text is empty, too short, not UTF-8, or a str that names a file.
        UnknownTokenError: ``vocab`` does not hold a token of the text, and was not to grow.

    >>> corpus = read_corpus("abracadabra", "char", validation_split=0.2)
    >>> corpus.vocab.decode(corpus.ids), corpus.vocab.decode(corpus.valid_ids)
    ('abracada', 'bra')
    """
    text = read_text(text)
    valid_text = "" if validation_data is None else read_text(validation_data)
    if vocab is None or grow:
        kind = LEVELS[level] if vocab is None else vocab
        whole = text + kind.joint + valid_text if valid_text else text
        if vocab is None:
            vocab = Vocab.from_text(whole, level, **kind.limits)
        else:
            vocab = vocab.extend(whole, **kind.limits)
    all_ids, valid_ids = vocab.encode(text), vocab.encode(valid_text)
    ids, valid_ids = split(all_ids, validation_split, valid_ids if valid_text else None)
    ratio = len(text) / len(all_ids)
    valid_ratio = len(valid_text) / len(valid_ids) if valid_text else ratio
    return Corpus(ids, valid_ids if len(valid_ids) else None, vocab, (ratio, valid_ratio))
