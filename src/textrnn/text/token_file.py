"""Token files: the ids of a text on disk, which are mapped into memory and never read at once.

A token file is a raw array of little-endian numbers, such as those that nanoGPT reads. What the
numbers mean stands in a file of JSON beside it, whose name has ".json" in addition.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import DataError, VocabError
from textrnn.files.atomic import atomic_write
from textrnn.text.pieces import Pieces, encode_each
from textrnn.text.spelling import bits_of_unknown, unknown_share
from textrnn.text.tokenizer import Tokenizer
from textrnn.text.vocab import Vocab

SUFFIX = ".bin"
"""How the name of a token file ends."""

_FORMAT = "textrnn tokens 1"
_DTYPES = {"uint8": "<u1", "uint16": "<u2", "int32": "<i4"}
_SAMPLE = 100_000  # ids that are decoded to see how long a token is
_CHUNK = 1 << 20  # bytes whose digest is computed at a time
_ADVICE = "write it again with textrnn tokenize"


@dataclass(frozen=True)
class GivenIds:
    """Holds a text that is handed over as ids.

    Args:
        ids: (N,) whole numbers; those of a token file are a memory map.
        vocab: the tokenizer that made them.
        chars_per_token: the mean length of a token in characters, of a sample or of all.
        unknown_bits: what it takes to spell an unknown token, in bits; 0 if that is not known.
    """

    ids: NDArray[Any]
    vocab: Tokenizer
    chars_per_token: float
    unknown_bits: float = 0.0

    @classmethod
    def of(cls, ids: NDArray[Any], vocab: Tokenizer) -> "GivenIds":
        """Return ids whose text is not known: a sample of them says how long a token is."""
        sample = ids[:_SAMPLE]
        return cls(ids, vocab, len(vocab.decode(sample)) / max(len(sample), 1))

    def spelling(self, ids: NDArray[Any]) -> float:
        """Return the bits per character that spell the unknown tokens in a part of the ids."""
        share = unknown_share(self.vocab, ids) if self.unknown_bits else 0.0
        return self.unknown_bits * share / self.chars_per_token


def write_tokens(path: Path, text: Pieces, vocab: Tokenizer) -> GivenIds:
    """Encode a text piece by piece, and write its ids and the JSON beside them.

    Args:
        path: where to; its name ends in ".bin". An existing token file of ours is replaced.
        text: the text.
        vocab: the tokenizer.

    Raises:
        FileExistsError: ``path`` is a file of another kind.
        UnknownTokenError: as ``Tokenizer.encode``.
        ValueError: the name does not end in ".bin".
        OSError: the file cannot be written.
    """
    check_token_output(path)
    dtype = next(d for d in _DTYPES if len(vocab) - 1 <= np.iinfo(d).max)
    digest, text_digest, length, characters = hashlib.sha256(), hashlib.sha256(), 0, 0
    with atomic_write(path) as file:
        for piece, ids in encode_each(text, vocab):
            data = ids.astype(_DTYPES[dtype])
            file.write(data.data)
            digest.update(data.data)
            text_digest.update(piece.encode("utf-8", "surrogatepass"))
            length, characters = length + len(ids), characters + len(piece)
    ids, ratio = _map(path, dtype), characters / max(length, 1)
    is_known = not unknown_share(vocab, ids)
    unknown_bits = 0.0 if is_known else bits_of_unknown(vocab, text, [ids])
    facts = {
        "format": _FORMAT,
        "dtype": dtype,
        "length": length,
        "sha256": digest.hexdigest(),
        "text_sha256": text_digest.hexdigest(),
        "vocab_sha256": _digest_vocab(vocab),
        "chars_per_token": ratio,
        "unknown_bits": unknown_bits,
        "vocab": vocab.to_config() if type(vocab) is Vocab else None,
    }
    with atomic_write(_beside(path)) as file:
        file.write(json.dumps(facts, indent=1).encode())
    return GivenIds(ids, vocab, ratio, unknown_bits)


def open_tokens(path: Path, vocab: Tokenizer | None = None) -> GivenIds:
    """Map a token file into memory.

    Args:
        path: a file that ``textrnn tokenize`` wrote; or, with ``vocab``, one without JSON beside
            it: numbers of two bytes each, as nanoGPT writes them.
        vocab: the tokenizer that made the ids; None for the one in the JSON.

    Raises:
        DataError: the file is empty or damaged, or nothing says what its numbers mean.
        VocabError: another tokenizer made the ids.
        OSError: the file cannot be read.
    """
    if not _beside(path).exists():
        if path.stat().st_size % 2 or vocab is None:
            raise DataError(
                f"Nothing says what the numbers in the file mean: {_beside(path).name!r} is not "
                "beside it. Pass TextGenerator(vocab=...) for ids of two bytes, or make a token "
                f"file with textrnn tokenize. Received: {str(path)!r}"
            )
        return GivenIds.of(_map(path, "uint16"), vocab)
    facts = _read_facts(path)
    if not _is_whole(path, facts):
        raise DataError(
            f"The token file is damaged, or the JSON beside it belongs to another one: {_ADVICE}. "
            f"Received: {str(path)!r}"
        )
    if vocab is None and facts["vocab"] is not None:
        vocab = Vocab.from_config(facts["vocab"])
    if vocab is None or _digest_vocab(vocab) != facts["vocab_sha256"]:
        raise VocabError(
            "The token file was made with another vocabulary than the model's: "
            f"{_ADVICE} --from MODEL, or pass the text itself. Received: {str(path)!r}"
        )
    ids = _map(path, facts["dtype"])
    return GivenIds(ids, vocab, facts["chars_per_token"], facts["unknown_bits"])


def holds_text(path: Path, text: Pieces, level: str, vocab: Tokenizer | None) -> bool:
    """Return whether a token file has the ids of a text, undamaged.

    Args:
        path: the token file, if there is one.
        text: the text.
        level: of the vocabulary that made the ids, without ``vocab``.
        vocab: the tokenizer that made them; None for any ``Vocab`` of this level.

    Raises:
        FileExistsError, ValueError: ``path`` cannot be a token file.
    """
    check_token_output(path)
    if not path.exists():
        return False
    facts, digest = _read_facts(path), hashlib.sha256()
    if vocab is None:
        fits = facts["vocab"] is not None and facts["vocab"].get("level") == level
    else:
        fits = facts["vocab_sha256"] == _digest_vocab(vocab)
    if not fits:
        return False
    for piece in text:
        digest.update(piece.encode("utf-8", "surrogatepass"))
    return digest.hexdigest() == str(facts["text_sha256"]) and _is_whole(path, facts)


def check_token_output(path: Path) -> None:
    """Raise an error unless a token file can be written at ``path`` without harm."""
    if path.suffix != SUFFIX:
        raise ValueError(
            f"The name of a token file ends in {SUFFIX!r}: choose "
            f"{path.name + SUFFIX!r}. Received: {str(path)!r}"
        )
    if path.exists():
        try:
            _read_facts(path)
        except (DataError, OSError):
            raise FileExistsError(
                f"This file is no token file of textrnn and is not replaced; choose another name. "
                f"Received: {str(path)!r}"
            ) from None


def _read_facts(path: Path) -> dict[str, Any]:
    """Return what the JSON beside a token file says."""
    try:
        facts: dict[str, Any] = json.loads(_beside(path).read_bytes())
        sound = facts["format"] == _FORMAT and all(
            is_sound(facts[name]) for name, is_sound in _FACTS.items()
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DataError(
            f"The JSON beside the token file cannot be used: {_ADVICE}. "
            f"Received: {str(_beside(path))!r}"
        )
    return facts


_FACTS: dict[str, Callable[[Any], bool]] = {
    "dtype": lambda value: value in _DTYPES,
    "length": lambda value: type(value) is int and value > 0,
    "sha256": lambda value: isinstance(value, str),
    "text_sha256": lambda value: isinstance(value, str),
    "vocab_sha256": lambda value: isinstance(value, str),
    "chars_per_token": lambda value: isinstance(value, float) and value > 0,
    "unknown_bits": lambda value: isinstance(value, float | int) and value >= 0,
    "vocab": lambda value: value is None or isinstance(value, dict),
}


def _is_whole(path: Path, facts: dict[str, Any]) -> bool:
    """Return whether the ids are those that the JSON was written for."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    size = facts["length"] * np.dtype(facts["dtype"]).itemsize
    return digest.hexdigest() == str(facts["sha256"]) and path.stat().st_size == size


def _map(path: Path, dtype: str) -> NDArray[Any]:
    if not path.stat().st_size:
        raise DataError(f"The token file is empty. Received: {str(path)!r}")
    return np.memmap(path, dtype=_DTYPES[dtype], mode="r")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _digest_vocab(vocab: Tokenizer) -> str:
    return hashlib.sha256(json.dumps(vocab.to_config(), sort_keys=True).encode()).hexdigest()
