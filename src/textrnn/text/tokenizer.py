"""The contract of tokenizers: text to ids and back, at once or id by id."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textrnn.errors import UnknownTokenError
from textrnn.text.tokens import fallback_forms


class Decoder(ABC):
    """Turns the ids of one text into text, one after the other."""

    @abstractmethod
    def push(self, token: int) -> str:
        """Take the next id, in [0, V); return the text that is now certain."""

    def flush(self) -> str:
        """Return the text that was held back, once no id follows."""
        return ""


class Tokenizer(ABC):
    """Base class of tokenizers, such as ``Vocab``: turns text into ids and ids into text.

    Your own tokenizer needs ``encode``, ``token_text``, ``__len__``, ``to_config`` and
    ``from_config``. If its text is more than its tokens' texts joined together, it also needs a
    ``decoder``; if it can learn new tokens, it needs ``extend``.

    Attributes:
        unk_id: the id of the unknown token, or None.
        eot_id: the id of the boundary between documents, or None. The boundary is read and
            predicted but never written: its ``token_text`` is ``""``, and ``encode`` never
            returns it.
        start_id: the id that is read at the start of a text.
        joint: the text between two documents that keeps tokens from spanning both.
        limits: the keyword arguments of ``extend`` that ``fit`` uses.

    >>> class Digits(Tokenizer):
    ...     def __len__(self):
    ...         return 10
    ...     def encode(self, text, *, unknown=None):
    ...         return np.array([int(digit) for digit in text], dtype=np.uint8)
    ...     def token_text(self, token):
    ...         return str(token)
    ...     def to_config(self):
    ...         return {}
    ...     @classmethod
    ...     def from_config(cls, config):
    ...         return cls()
    >>> digits = Digits()
    >>> digits.decode(digits.encode("31415")), digits.token_id("7")
    ('31415', 7)
    """

    unk_id: int | None = None
    eot_id: int | None = None
    start_id: int = 0
    joint: str = ""
    limits: Mapping[str, int] = {}

    @property
    def name(self) -> str:
        """The name of this kind of tokenizer: the level of a ``Vocab``, else the class's name."""
        return type(self).__name__

    @abstractmethod
    def __len__(self) -> int:
        """Return V, the number of tokens."""

    @abstractmethod
    def encode(self, text: str, *, unknown: str | None = None) -> NDArray[Any]:
        """Return the ids (N,) of a text, whole numbers in [0, V).

        Args:
            text: any text, the empty one included.
            unknown: what to do about an unknown token: ``"error"``, ``"skip"`` (leave it out) or
                ``"unk"`` (write ``unk_id``). None: whatever suits the tokenizer.

        Raises:
            UnknownTokenError: a token is unknown, and that is an error.
        """

    @abstractmethod
    def token_text(self, token: int) -> str:
        """Return the text that shows a token."""

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Return what ``from_config`` needs, as values for JSON."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the tokenizer from what its ``to_config`` returned."""

    def token_id(self, text: str) -> int | None:
        """Return the id of the token whose ``token_text`` this is, or None."""
        return self._ids_by_text.get(text)

    @cached_property
    def _texts(self) -> list[str]:
        return [self.token_text(token) for token in range(len(self))]

    @cached_property
    def _ids_by_text(self) -> dict[str, int]:
        return {text: i for i, text in enumerate(self._texts) if i != self.eot_id}

    def border(self, text: str) -> int:
        """Return the last place where a text can be cut without a change of its ids.

        A long text is then encoded in pieces: ``encode`` of the pieces gives the ids of the whole,
        whatever follows, and always in the same dtype.

        Returns:
            A place in [0, len(text)]; 0 if none is known, and the default.
        """
        return 0

    def decoder(self, after: int | None = None) -> Decoder:
        """Return a decoder for one text.

        Args:
            after: the id before the text, or None.

        Raises:
            UnknownTokenError: ``after`` is not in [0, V).
        """
        self._check_after(after)
        return TokenDecoder(self._texts)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids (N,): a list, an array or a CPU tensor of whole numbers.

        Raises:
            TypeError: ``ids`` are not flat, or not whole numbers.
            UnknownTokenError: an id is not in [0, V); the message has its position.
        """
        decoder = self.decoder()
        pieces = [decoder.push(token) for token in check_ids(ids, len(self)).tolist()]
        return "".join([*pieces, decoder.flush()])

    def encode_documents(
        self, documents: Sequence[str], *, unknown: str | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the ids (N,) of documents, one after the other, and the number of each (D,).

        Raises:
            UnknownTokenError: as ``encode``; the message has the number of the document.
        """
        parts = []
        for i, document in enumerate(documents):
            try:
                parts.append(np.asarray(self.encode(document, unknown=unknown)))
            except UnknownTokenError as error:
                raise UnknownTokenError(f"Document {i}: {error}") from None
        return np.concatenate(parts), np.array([len(part) for part in parts], dtype=np.int64)

    def extend(self, text: str | Sequence[str], **limits: Any) -> "Tokenizer":
        """Return a tokenizer that also has the tokens of a text; this one if none is new.

        Known tokens keep their ids, except special ones, which may stay the last.

        Args:
            text: a text, or a list of documents, which also need an ``eot_id``.
            **limits: the arguments in ``limits``.
        """
        return self

    def init_from(self, other: "Tokenizer") -> NDArray[np.int64]:
        """Return which token of another tokenizer each token of this one should start from.

        It is the same token if ``other`` has it, else the same letter or word in another case or
        without its diacritics. The boundary between documents starts from the token that
        ``other`` reads at the start of a text.

        Returns:
            (V,) int64, ids of ``other``; -1 if it has no similar token.
        """
        result = np.full(len(self), -1, dtype=np.int64)
        for token, text in ((i, self.token_text(i)) for i in range(len(self))):
            ids = (other.token_id(form) for form in (text, *fallback_forms(text)))
            result[token] = next((i for i in ids if i is not None), -1)
        if self.eot_id is not None:
            result[self.eot_id] = other.start_id if other.eot_id is None else other.eot_id
        return result

    def _check_after(self, after: int | None) -> None:
        if after is not None and not 0 <= after < len(self):
            raise UnknownTokenError(
                f"`after` must be an id from 0 to {len(self) - 1}. Received: {after!r}"
            )


def check_tokenizer(name: str, value: object) -> None:
    """Raise ``TypeError`` unless a value is None or a tokenizer."""
    if value is not None and not isinstance(value, Tokenizer):
        raise TypeError(
            f"`{name}` must be a Tokenizer, such as Vocab.from_text(text). Received: {value!r:.60}"
        )


class TokenDecoder(Decoder):
    """Joins the texts of tokens.

    Args:
        texts: the text of every token, by id.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def push(self, token: int) -> str:
        """Return the token's text."""
        return self._texts[token]


def check_ids(ids: ArrayLike, vocab_size: int, name: str = "ids") -> NDArray[Any]:
    """Return ids (N,) as an array of whole numbers in [0, vocab_size), or raise.

    Raises:
        TypeError: they are not flat, or not whole numbers; the message has the ``name``.
        UnknownTokenError: an id is out of range; the message has its position.
    """
    array = np.asarray(ids)
    if array.ndim != 1 or not (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(
            f"`{name}` must be a flat list or array of whole numbers. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    outside = (array < 0) | (array >= vocab_size)
    if outside.any():
        index = int(outside.argmax())
        raise UnknownTokenError(
            f"`{name}` must hold ids from 0 to {vocab_size - 1}. "
            f"Received: id {array[index]} at index {index}"
        )
    return array
