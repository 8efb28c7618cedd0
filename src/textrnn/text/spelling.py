"""What it takes to spell unknown tokens, so that they do not make a model look good."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.text.pieces import Pieces, blocks, decoded_length
from textrnn.text.tokenizer import Tokenizer


def spelling_bits(
    vocab: Tokenizer, source: str | Pieces | list[str], ids: NDArray[Any], chars_per_token: float
) -> float:
    """Return the bits per character that it takes to spell the unknown tokens of a text.

    An unknown token says only that there is one. A code that holds the text must spell it, too:
    each character that no known token writes counts as a choice among all characters that occur
    in the text.

    Args:
        vocab: it made the ids.
        source: the text, or documents.
        ids: (N,) the ids.
        chars_per_token: the mean length of a token in characters.

    >>> from textrnn import Vocab
    >>> vocab = Vocab(["the", "cat"], "word", unk=True)
    >>> round(spelling_bits(vocab, "the dog", vocab.encode("the dog"), 3.5), 3)  # " dog" is spelled
    1.604
    """
    share = unknown_share(vocab, ids)
    texts = [source] if isinstance(source, str) else source
    return share and bits_of_unknown(vocab, texts, [ids]) * share / chars_per_token


def bits_of_unknown(vocab: Tokenizer, texts: Iterable[str], parts: list[NDArray[Any]]) -> float:
    """Return what it takes to spell an unknown token, in bits, on average over those of texts."""
    different, length = set[str](), 0
    for text in texts:
        different.update(text)
        length += len(text)
    known = (part[part != vocab.unk_id] for ids in parts for part in blocks(ids))
    letters = max(0, length - decoded_length(vocab, known))
    return letters * math.log2(max(2, len(different))) / _unknown(vocab, parts)


def unknown_share(vocab: Tokenizer, ids: NDArray[Any]) -> float:
    """Return the share of unknown tokens in ids (N,), in [0, 1]."""
    if vocab.unk_id is None or not len(ids):
        return 0.0
    return _unknown(vocab, [ids]) / len(ids)


def _unknown(vocab: Tokenizer, parts: list[NDArray[Any]]) -> int:
    each = (part == vocab.unk_id for ids in parts for part in blocks(ids))
    return sum(int(np.count_nonzero(unknown)) for unknown in each)
