"""A corpus: a text as ids, split into a part to train on and a part to validate on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textrnn.checks import check_number
from textrnn.errors import DataError, UnknownTokenError
from textrnn.text.documents import chars_per_token, reorder, with_boundaries
from textrnn.text.given_ids import given_ids
from textrnn.text.levels import LEVELS
from textrnn.text.novelty import hash_documents
from textrnn.text.pieces import Pieces, blocks, decoded_length, encode_pieces
from textrnn.text.sources import Text, open_source, split
from textrnn.text.spelling import bits_of_unknown, unknown_share
from textrnn.text.token_file import GivenIds, holds_text, open_tokens, write_tokens
from textrnn.text.tokenizer import Tokenizer
from textrnn.text.tokens import LEAVE_OUT
from textrnn.text.vocab import Vocab

Source = str | Pieces | list[str]
"""A text, at once or in pieces, or documents."""


@dataclass(frozen=True)
class Corpus:
    """Holds what training needs to know of a text.

    Args:
        ids: (N,) whole numbers, the part to train on: an array, a list, a CPU tensor or a memory
            map, which stays one.
        valid_ids: (M,) whole numbers, the part to validate on; None for none.
        vocab: the tokenizer that made the ids; None if that does not matter.
        chars_per_token: mean length of a token, in characters, in the text to train on and in the
            one to validate on; the boundary after a document is as long as a line break.
        starts: (D + 1,) where in ``ids`` each of D documents begins, and N. Each ends with a
            boundary, and ``ids[0]`` is one. None for one text.
        seed: of the order in which an epoch reads the documents.
        documents: what a person should know of the documents, in words.
        hashes: of all documents, those for validation included, as ``hash_documents`` makes them.
        spelling: the bits per character that it takes to spell the unknown tokens of both.
        held_out: (K,) ids that were taken out of ``ids``, for ``LanguageModel.calibrate``.

    Raises:
        TypeError: ids are no flat array of whole numbers.

    >>> Corpus([0, 1, 2, 1]).ids
    array([0, 1, 2, 1])
    """

    ids: NDArray[Any]
    valid_ids: NDArray[Any] | None = None
    vocab: Tokenizer | None = None
    chars_per_token: tuple[float, float] = (1.0, 1.0)
    starts: NDArray[np.int64] | None = None
    seed: int = 0
    documents: str = ""
    hashes: NDArray[np.uint64] | None = None
    spelling: tuple[float, float] = (0.0, 0.0)
    held_out: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", check_ids("ids", self.ids))
        if self.valid_ids is not None:
            object.__setattr__(self, "valid_ids", check_ids("valid_ids", self.valid_ids))

    def epoch_ids(self, epoch: int) -> NDArray[Any]:
        """Return the ids (N,) in the order in which an epoch reads them.

        One text is read as it is. Documents come in a new order in each epoch, which is drawn from
        the seed and the number of the epoch alone.

        >>> corpus = read_corpus(["ab", "c", "def"], "char", validation_split=0)
        >>> corpus.ids.tolist(), corpus.epoch_ids(1).tolist()
        ([6, 0, 1, 6, 2, 6, 3, 4, 5, 6], [6, 3, 4, 5, 6, 2, 6, 0, 1, 6])
        """
        if self.starts is None:
            return self.ids
        order = _random(self.seed, 1, epoch).permutation(len(self.starts) - 1)
        return reorder(self.ids, self.starts, order)

    def check_vocab_size(self, vocab_size: int) -> None:
        """Raise ``ValueError`` unless all ids are in [0, vocab_size)."""
        for ids in (self.ids, self.valid_ids):
            if ids is None or not len(ids):
                continue
            extremes = [(int(part.min()), int(part.max())) for part in blocks(ids)]
            low, high = min(extremes)[0], max(high for _, high in extremes)
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
    seed: int | None = None,
    validation_split: float = 0.1,
    validation_data: Text | None = None,
    cache: str | Path | None = None,
) -> Corpus:
    """Read a text, encode it and split it.

    The end of one text is for validation. Of documents some are, drawn from all of them; where
    that would be less than one document, it is the end of the last one. A tokenizer without a
    boundary that may not grow takes documents for one text, with line breaks between them.

    Args:
        text: as in ``TextGenerator.fit``; ids, with ``vocab``, are taken as they are.
        level: a name in ``LEVELS``, for a new vocabulary.
        vocab: the tokenizer; None to collect a vocabulary.
        grow: extend ``vocab`` with the text's tokens.
        seed: of the choice and the order of documents; None is 0.
        validation_split: the part that is kept for validation, in [0, 1).
        validation_data: a text for validation instead.
        cache: a token file for the ids of a ``Path`` to a file. It is made anew unless it holds
            this text, with this vocabulary or, without one, of this level.

    Raises:
        DataError: a text is empty, too short, not UTF-8, or a str that names a file.
        UnknownTokenError: ``vocab`` does not hold a token of the text, and was not to grow.

    >>> corpus = read_corpus("abracadabra", "char", validation_split=0.2)
    >>> corpus.vocab.decode(corpus.ids), corpus.vocab.decode(corpus.valid_ids)
    ('abracada', 'bra')
    """
    check_number("validation_split", validation_split, "in [0, 1)", lambda v: 0 <= v < 1)
    if cache is not None:
        tokens = _cached(text, Path(cache), level, vocab, grow)
        return _given(tokens, validation_split, validation_data)
    if (given := given_ids(text, vocab)) is not None:
        return _given(given, validation_split, validation_data)
    source = open_source(text)
    valid = None if validation_data is None else open_source(validation_data)
    try:
        return _corpus(source, valid, level, vocab, grow, validation_split, seed or 0)
    except UnknownTokenError as error:  # fit has no `unknown`
        advice = "Pass vocab=vocab.extend(text), or leave `vocab` out."
        raise UnknownTokenError(str(error).replace(LEAVE_OUT, advice)) from None


def _given(tokens: GivenIds, validation_split: float, validation_data: Text | None) -> Corpus:
    """Return the corpus of a text that was handed over as ids."""
    valid = None if validation_data is None else given_ids(validation_data, tokens.vocab)
    if valid is None and validation_data is not None:
        encoded = encode_source(open_source(validation_data), tokens.vocab)
        valid = GivenIds(encoded[0], tokens.vocab, encoded[1], tokens.unknown_bits)
    ids, valid_ids = split(tokens.ids, validation_split, None if valid is None else valid.ids)
    held = valid or tokens
    ratios = tokens.chars_per_token, held.chars_per_token
    spelling = tokens.spelling(ids), held.spelling(valid_ids)
    kept = valid_ids if len(valid_ids) else None
    return Corpus(ids, kept, tokens.vocab, ratios, spelling=spelling)


def _cached(text: Text, cache: Path, level: str, vocab: Tokenizer | None, grow: bool) -> GivenIds:
    """Return the ids of a file from a token file, which is made anew if it has others."""
    source = open_source(text) if isinstance(text, Path) and text.is_file() else None
    if not isinstance(source, Pieces):
        raise DataError(
            "`cache` keeps the ids of one file: pass Path(...) to the file as the text, or leave "
            f"`cache` out. Received: {text!r:.60}"
        )
    vocab = vocab if vocab is None else _vocabulary(source, level, vocab, grow)
    if holds_text(cache, source, level, vocab):
        return open_tokens(cache, vocab)
    return write_tokens(cache, source, vocab or _vocabulary(source, level, None, True))


def _corpus(
    source: Source,
    valid: Source | None,
    level: str,
    vocab: Tokenizer | None,
    grow: bool,
    validation_split: float,
    seed: int,
) -> Corpus:
    """Return the corpus of a text or of documents."""
    new = vocab is None or grow
    if (new and isinstance(source, list)) or (vocab is not None and vocab.eot_id is not None):
        documents, held = _listed(source), _listed(valid or [])
        tokenizer = _vocabulary([*documents, *held], level, vocab, new)
        if tokenizer.eot_id is not None:
            part = 0.0 if held else validation_split
            corpus = _read_documents(documents, tokenizer, part, held, seed)
            corpus = replace(corpus, hashes=hash_documents([*documents, *held]))
            return _with_spelling(corpus, [*documents, *held])
    text, valid_text = _pieces(source), None if valid is None else _pieces(valid)
    corpus = _read_one(text, level, vocab, new, validation_split, valid_text)
    return _with_spelling(corpus, chain(text, valid_text or ()))


def encode_source(
    source: Source, vocab: Tokenizer, unknown: str | None = None
) -> tuple[NDArray[Any], float]:
    """Encode a text or documents that are not trained on.

    Args:
        source: what ``read_source`` or ``open_source`` returned.
        vocab: the tokenizer; one with a boundary takes a text for documents, or a single one.
        unknown: as in ``Tokenizer.encode``.

    Returns:
        The ids (N,), and the mean length of a token in characters.

    >>> encode_source("ab", Vocab("ab"))
    (array([0, 1], dtype=uint8), 1.0)
    >>> encode_source("ab", Vocab("ab", eot=True))
    (array([2, 0, 1, 2], dtype=uint8), 1.0)
    """
    if vocab.eot_id is not None:
        documents = _listed(source)
        ids, _ = with_boundaries(documents, vocab, unknown)
        read = [vocab.decode(ids)] if unknown == "skip" else documents
        return ids, (sum(map(len, read)) + len(documents)) / (len(ids) - 1)
    ids, length = encode_pieces(_pieces(source), vocab, unknown)
    length = decoded_length(vocab, blocks(ids)) if unknown == "skip" else length
    return ids, length / max(len(ids), 1)


def _read_one(
    text: Pieces,
    level: str,
    vocab: Tokenizer | None,
    new: bool,
    validation_split: float,
    valid_text: Pieces | None,
) -> Corpus:
    """Return the corpus of one text."""
    joint = (LEVELS[level] if vocab is None else vocab).joint
    both = text if valid_text is None else Pieces(lambda: chain(text, [joint], valid_text))
    vocab = _vocabulary(both, level, vocab, new)
    all_ids, length = encode_pieces(text, vocab)
    given, valid_length = (None, 0) if valid_text is None else encode_pieces(valid_text, vocab)
    ids, valid_ids = split(all_ids, validation_split, given)
    ratio = length / len(all_ids)
    valid_ratio = ratio if given is None else valid_length / len(given)
    return Corpus(ids, valid_ids if len(valid_ids) else None, vocab, (ratio, valid_ratio))


def _read_documents(
    documents: list[str],
    vocab: Tokenizer,
    validation_split: float,
    valid_documents: list[str],
    seed: int,
) -> Corpus:
    """Return the corpus of documents."""
    n, chars = len(documents), sum(map(len, documents))
    said = f"{n:,} documents, {chars / n:,.0f} characters on average" if n > 1 else "one document"
    held = int(n * validation_split + 1e-9)
    if validation_split > 0 and not held:
        all_ids, _ = with_boundaries(documents, vocab)
        ids, valid_ids = split(all_ids, validation_split)
        ratio = chars_per_token(documents, all_ids)
        said += ", the end of the last one for validation"
        return Corpus(ids, valid_ids, vocab, (ratio, ratio), seed=seed, documents=said)
    if held:
        is_valid = np.zeros(n, dtype=bool)
        is_valid[_random(seed, 0).permutation(n)[:held]] = True
        valid_documents = [d for d, v in zip(documents, is_valid, strict=True) if v]
        documents = [d for d, v in zip(documents, is_valid, strict=True) if not v]
        said += f", {held:,} of them for validation"
    train_ids, starts = with_boundaries(documents, vocab)
    ratio = chars_per_token(documents, train_ids)
    if not valid_documents:
        return Corpus(train_ids, None, vocab, (ratio, ratio), starts, seed, said)
    held_ids, _ = with_boundaries(valid_documents, vocab)
    ratios = (ratio, chars_per_token(valid_documents, held_ids))
    return Corpus(train_ids, held_ids, vocab, ratios, starts, seed, said)


def _vocabulary(
    text: Pieces | list[str], level: str, vocab: Tokenizer | None, new: bool
) -> Tokenizer:
    if vocab is None:
        return Vocab.from_text(text, level, **LEVELS[level].limits)
    if not new:
        return vocab
    if isinstance(vocab, Vocab):
        return vocab.extend(text, **vocab.limits)
    return vocab.extend(text.text() if isinstance(text, Pieces) else text, **vocab.limits)


def _listed(source: Source) -> list[str]:
    source = source.text() if isinstance(source, Pieces) else source
    return [source] if isinstance(source, str) else source


def _pieces(source: Source) -> Pieces:
    if isinstance(source, Pieces):
        return source
    return Pieces.of(source if isinstance(source, str) else "\n".join(source))


def _random(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _with_spelling(corpus: Corpus, texts: Iterable[str]) -> Corpus:
    """Return a corpus of these texts that knows what its unknown tokens take to spell."""
    parts = [ids for ids in (corpus.ids, corpus.valid_ids) if ids is not None]
    vocab = corpus.vocab
    if vocab is None or not any(unknown_share(vocab, ids) for ids in parts):
        return corpus
    each = bits_of_unknown(vocab, texts, parts)
    spelling = [
        each * unknown_share(vocab, ids) / ratio
        for ids, ratio in zip(parts, corpus.chars_per_token, strict=False)
    ]
    return replace(corpus, spelling=(spelling[0], spelling[-1]))
