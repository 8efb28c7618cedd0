"""A text made ready for training: read, numbered, split."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from textrnn.text.sources import Text, read_text, split
from textrnn.text.vocab import Vocab


@dataclass(frozen=True)
class Corpus:
    """Holds what training needs to know of a text.

    Attributes:
        vocab: its vocabulary.
        ids: (N,) integers, the part to learn from.
        valid_ids: (M,) integers, the part to validate on; empty for none.
        chars_per_token: mean length of a token in the text and in the one for validation.
    """

    vocab: Vocab
    ids: NDArray[Any]
    valid_ids: NDArray[Any]
    chars_per_token: tuple[float, float]


def read_corpus(
    text: Text,
    level: str,
    vocab: Vocab | None = None,
    grow: bool = False,
    validation_split: float = 0.1,
    validation_data: Text | None = None,
) -> Corpus:
    """Read a text, number its symbols and split it.

    Args:
        text: as in ``TextGenerator.fit``.
        level: ``"char"`` or ``"word"``.
        vocab: the vocabulary; None to collect one.
        grow: add the text's symbols to ``vocab``.
        validation_split: the part at the end that is kept for validation, in [0, 1).
        validation_data: a text for validation instead.

    Raises:
        DataError: a text is empty, too short, not UTF-8, or a str that names a file.
        UnknownTokenError: ``vocab`` does not hold a symbol of the text, and was not to grow.

    >>> corpus = read_corpus("abracadabra", "char", validation_split=0.2)
    >>> corpus.vocab.decode(corpus.ids), corpus.vocab.decode(corpus.valid_ids)
    ('abracada', 'bra')
    """
    text = read_text(text)
    valid_text = "" if validation_data is None else read_text(validation_data)
    if vocab is None or grow:
        joint = "" if level == "char" else "\n"  # two words must not become one
        whole = text + joint + valid_text if valid_text else text
        chosen = choose_vocab(level)
        vocab = vocab.extend(whole, **chosen) if vocab else Vocab.from_text(whole, level, **chosen)
    all_ids, valid_ids = vocab.encode(text), vocab.encode(valid_text)
    ids, valid_ids = split(all_ids, validation_split, valid_ids if valid_text else None)
    ratio = len(text) / len(all_ids)
    valid_ratio = len(valid_text) / len(valid_ids) if valid_text else ratio
    return Corpus(vocab, ids, valid_ids, (ratio, valid_ratio))


def choose_vocab(level: str) -> dict[str, Any]:
    """Return the arguments of ``Vocab.from_text`` for a level.

    Words that occur once teach a model nothing but cost it a row in two matrices.
    """
    return {"max_size": 20_000, "min_freq": 2} if level == "word" else {}
