"""Tokenizers that are a list of tokens; the level defines what a token is."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textrnn.checks import check_choice, check_int, named_arguments
from textrnn.errors import UnknownTokenError, VocabError
from textrnn.text.levels import LEVELS
from textrnn.text.pieces import Pieces, check_texts
from textrnn.text.tokenizer import Decoder, Tokenizer, check_ids
from textrnn.text.tokens import (
    LEAVE_OUT,
    MAX_CODE_POINT,
    UNK,
    check_str,
    from_codes,
    other_form,
    smallest_uint,
)


class Vocab(Tokenizer):
    r"""The tokens of a text, numbered: it turns text into ids and ids into text.

    Tokens are sorted by code point (at level "bpe" in the order of learning), so a text has the
    same ids on every machine. At every level ``decode(encode(text)) == text``.

    Level ``"char"``: a token is a code point; nothing is normalised, lone surrogates included.

    Level ``"word"``: a token is a word (``don't`` is one), a punctuation mark with the space
    that follows it, or a piece of white space; in scripts without spaces between words, such as
    Chinese, it is a character. A single space between two words is not a token: ``decode`` puts it
    between two words unless another token is there.

    Level ``"split"``: a token is the text between white space. A single space between two tokens is
    not a token; of other white space each character is one.

    Level ``"byte"``: a token is a byte of the text in UTF-8. Level ``"bpe"``: a token is a byte or
    a frequent run of bytes, learned from a text (byte-pair encoding). Neither has unknown tokens.
    Bytes that are not UTF-8 are decoded as U+FFFD. Part of a character is shown as by Python's
    ``surrogateescape``.

    Args:
        tokens: the tokens, in the order of their ids; no two alike.
        level: ``"char"``, ``"word"``, ``"split"``, ``"byte"`` or ``"bpe"``.
        unk: whether to add a last token that stands for all tokens not in the list.
        eot: whether to add a token for the boundary between documents.

    Attributes:
        itos: id to token, a list of ``str``; ``""`` is the boundary between documents.
        stoi: token to id, a dict, without the boundary.
        level: the level's name.
        unk_id: the id of the unknown token, or None.
        eot_id: the id of the boundary between documents, or None. The boundary is read and
            predicted but never written: it has no text.
        start_id: the id that is read at the start of a text: the boundary, else the line break,
            or 0 if there is neither.

    Raises:
        VocabError: no tokens, two alike, or one that the level cannot have.

    >>> vocab = Vocab.from_text("hello world")
    >>> vocab.itos
    [' ', 'd', 'e', 'h', 'l', 'o', 'r', 'w']
    >>> vocab.encode("hello")
    array([3, 2, 4, 4, 5], dtype=uint8)
    >>> vocab.decode([7, 5, 6, 1])
    'word'
    >>> words = Vocab.from_text("the cat, the mat.\n", level="word")
    >>> words.itos
    ['\n', ', ', '.', 'cat', 'mat', 'the']
    >>> words.decode(words.encode("the mat, the cat.\n"))
    'the mat, the cat.\n'
    """

    def __init__(
        self,
        tokens: Iterable[str],
        level: str = "char",
        *,
        unk: bool = False,
        eot: bool = False,
    ) -> None:
        check_choice("level", level, LEVELS)
        self.level, self._level = level, LEVELS[level]
        self._known = list(tokens)
        self.itos = [*self._known, *[""] * eot, *[UNK] * unk]
        self.eot_id = len(self._known) if eot else None
        self.unk_id = len(self.itos) - 1 if unk else None
        self.stoi = {token: i for i, token in enumerate(self.itos) if i != self.eot_id}
        self.start_id = self.stoi.get("\n", 0) if self.eot_id is None else self.eot_id
        self.joint, self.limits = self._level.joint, self._level.limits
        self._check_tokens()
        self._encode = self._level.encoder(self._known, missing=len(self))

    def _check_tokens(self) -> None:
        if not self._known:
            raise VocabError("A vocabulary needs at least one token. Received: none")
        for token in self._level.misfits(self._known):
            raise VocabError(f"A token must be {self._level.form}. Received: {token!r}")
        written = [*self._known, *[UNK] * (self.unk_id is not None)]
        if len(set(written)) != len(written):
            twice = next(s for s, n in Counter(written).items() if n > 1)
            raise VocabError(f"Tokens must differ from each other. Received twice: {twice!r}")

    @classmethod
    @named_arguments
    def from_text(
        cls,
        text: str | Iterable[str],
        level: str = "char",
        *,
        max_size: int | None = None,
        min_freq: int = 1,
    ) -> Self:
        r"""Collect the tokens of a text, or of documents.

        Args:
            text: at least one character; or documents, which add the boundary between them.
            level: ``"char"``, ``"word"``, ``"split"``, ``"byte"`` or ``"bpe"``.
            max_size: keep only this many tokens, the most frequent ones (of equally frequent
                ones those that sort first). At level "bpe" at least 256; None for 4,096.
            min_freq: keep only tokens that occur at least this often.

        Returns:
            A vocabulary; if tokens were left out, with an unknown token in addition.

        Raises:
            DataError: the text is empty.
            VocabError: no token occurs ``min_freq`` times.

        >>> Vocab.from_text("abracadabra", max_size=2)
        Vocab(3 tokens, level='char', unk_id=2)
        """
        check_choice("level", level, LEVELS)
        check_int("min_freq", min_freq, 1)
        if max_size is not None:
            check_int("max_size", max_size, 1)
        kind = LEVELS[level]
        texts = check_texts(text, kind.border, one_to_one=kind.one_to_one)
        tokens, unk = kind.collect(texts, max_size, min_freq)
        return cls(tokens, level, unk=unk, eot=not isinstance(text, str | Pieces))

    def extend(self, text: str | Iterable[str], **limits: Any) -> "Vocab":
        """Return a vocabulary that also has the tokens of another text; this one if none is new.

        Known tokens keep their ids, except special ones, which stay the last: the boundary between
        documents and the unknown token.

        Args:
            text: at least one character; or documents, which add the boundary.
            **limits: ``max_size`` and ``min_freq`` of ``from_text``, for the tokens of the text.

        Raises:
            DataError, VocabError: as ``from_text``.

        >>> Vocab.from_text("hello").extend("a hat").itos
        ['e', 'h', 'l', 'o', ' ', 'a', 't']
        """
        new, unk = list[str](), self.unk_id is not None
        if not self._level.complete:
            other = Vocab.from_text(text, self.level, **limits)
            new = [token for token in other._known if token not in self.stoi]
            unk |= other.unk_id is not None
        eot = self.eot_id is not None or not isinstance(text, str | Pieces)
        both = Vocab([*self._known, *new], self.level, unk=unk, eot=eot)
        return self if len(both) == len(self) else both

    @property
    def name(self) -> str:
        """The level."""
        return self.level

    def __len__(self) -> int:
        return len(self.itos)

    def __contains__(self, token: object) -> bool:
        return token in self.stoi

    def __iter__(self) -> Iterator[str]:
        return iter(self.itos)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        return (self.itos, self.level, self.unk_id) == (other.itos, other.level, other.unk_id)

    def __hash__(self) -> int:
        return hash((self.level, len(self.itos)))

    def __repr__(self) -> str:
        special = {"eot_id": self.eot_id, "unk_id": self.unk_id}
        known = "".join(f", {name}={i}" for name, i in special.items() if i is not None)
        return f"Vocab({len(self)} tokens, level={self.level!r}{known})"

    def token_text(self, token: int) -> str:
        """Return a token: ``itos[token]``."""
        return self.itos[token]

    def token_id(self, text: str) -> int | None:
        """Return the id of a token, or None if the vocabulary does not hold it."""
        return self.stoi.get(text)

    @named_arguments
    def encode(self, text: str, *, unknown: str | None = None) -> NDArray[Any]:
        """Return the ids of a text.

        Args:
            text: any text, the empty one included.
            unknown: what to do about a token that is not in the vocabulary: ``"error"``,
                ``"skip"`` (leave it out) or ``"unk"`` (use the unknown token's id). None is
                "unk" if the vocabulary has an unknown token, and "error" otherwise.

        Returns:
            (N,) array of the smallest unsigned integer type that holds every id.

        Raises:
            UnknownTokenError: a token is unknown, and that is an error; the message has the
                token, its code point and its position.
            VocabError: ``unknown="unk"`` and this vocabulary has no unknown token.

        >>> Vocab("abc").encode("cab?", unknown="skip")
        array([2, 0, 1], dtype=uint8)
        """
        check_str(text)
        if unknown is None:
            unknown = "error" if self.unk_id is None else "unk"
        check_choice("unknown", unknown, ("error", "skip", "unk"))
        if unknown == "unk" and self.unk_id is None:
            raise VocabError(
                "This vocabulary has no unknown token, as one of Vocab.from_text(text, min_freq=2) "
                "may have; pass unknown='skip' (--unknown skip). Received: unknown='unk'"
            )
        ids, size = self._encode(text), len(self)
        if int(ids.max(initial=0)) == size:
            unseen = ids == size
            if unknown == "error":
                self._raise_unknown(text, int(unseen.argmax()))
            elif unknown == "skip":
                ids = ids[~unseen]
            else:
                ids[unseen] = self.unk_id
        return ids.astype(smallest_uint(size - 1), copy=False)

    def encode_documents(
        self, documents: Sequence[str], *, unknown: str | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the ids (N,) of documents, one after the other, and the number of each (D,).

        Raises:
            UnknownTokenError, VocabError: as ``encode``.
        """
        if self._level.one_to_one and unknown != "skip":
            with contextlib.suppress(UnknownTokenError):  # raised below, with the document's number
                ids = self.encode("".join(documents), unknown=unknown)
                return ids, np.array([len(document) for document in documents], dtype=np.int64)
        return super().encode_documents(documents, unknown=unknown)

    def _raise_unknown(self, text: str, index: int) -> None:
        start, end = span = self._level.span(text, index)
        token = text[start:end]
        code = f" (U+{ord(token):04X})" if len(token) == 1 else ""
        advice = LEAVE_OUT
        if form := other_form(text, span, self.stoi, self._level.cut):
            advice = f"Its {form} form is: pass unicodedata.normalize({form!r}, text)."
        raise UnknownTokenError(
            f"{token!r}{code} at index {start} is not in the vocabulary of {len(self)} "
            f"tokens. {advice} Received: {text[max(0, start - 20) : start + 20]!r}"
        )

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids (N,), as ``Tokenizer.decode``; single symbols at once.

        >>> Vocab("ab").decode([0, 1, 1])
        'abb'
        """
        if not self._level.one_to_one:
            return super().decode(ids)
        return "".join(map(self.itos.__getitem__, check_ids(ids, len(self)).tolist()))

    def border(self, text: str) -> int:
        """Return the last place where a text can be cut without a change of its ids."""
        return self._level.border(text)

    def decoder(self, after: int | None = None) -> Decoder:
        """Return a decoder for one text.

        Args:
            after: the id before the text, or None. At level "word" the text begins with a space if
                its first token and the one before it are words.

        Raises:
            UnknownTokenError: ``after`` is not in [0, len(vocab)).

        >>> decoder = Vocab(["cat", "the", ", "], "word").decoder()
        >>> [decoder.push(i) for i in (1, 0, 2, 1)]
        ['the', ' cat', ', ', 'the']
        """
        self._check_after(after)
        return self._level.decoder(self.itos, after)

    def to_config(self) -> dict[str, Any]:
        """Return this vocabulary as plain values, for a JSON file.

        Tokens are lists of code points, because JSON cannot hold every ``str`` (two lone surrogates
        would become one emoji).

        >>> Vocab("ab").to_config()
        {'level': 'char', 'symbols': [[97], [98]], 'unk': False}
        """
        tokens = [[ord(character) for character in token] for token in self._known]
        eot = {} if self.eot_id is None else {"eot": True}
        return {"level": self.level, "symbols": tokens, "unk": self.unk_id is not None, **eot}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a vocabulary from what ``to_config`` returned.

        Raises:
            VocabError: the numbers are not code points, or describe no vocabulary.

        >>> Vocab.from_config({"level": "char", "symbols": [[97], [98]], "unk": False}).itos
        ['a', 'b']
        """
        try:
            tokens = [from_codes(codes) for codes in config["symbols"]]
            level, unk, eot = config["level"], config["unk"], config.get("eot", False)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise VocabError(
                "A stored vocabulary must have 'level', 'unk' and 'symbols', a list of lists of "
                f"code points from 0 to {MAX_CODE_POINT}. Received: {error!r}"
            ) from None
        if level not in list(LEVELS) or not isinstance(unk, bool) or not isinstance(eot, bool):
            raise VocabError(
                f"A stored vocabulary must have a level of {tuple(LEVELS)}, a boolean 'unk' and "
                "an 'eot' that is one, if any. "
                f"Received: level={level!r:.40}, unk={unk!r:.40}, eot={eot!r:.40}"
            )
        return cls(tokens, level, unk=unk, eot=eot)
