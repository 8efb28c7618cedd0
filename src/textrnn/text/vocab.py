"""Text to ids and back."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textrnn.checks import check_choice, check_int, named_arguments
from textrnn.errors import DataError, UnknownTokenError, VocabError
from textrnn.text.tokens import (
    MAX_CODE_POINT,
    UNK,
    WORD_TOKEN,
    CodeTable,
    check_str,
    count_symbols,
    fallback_forms,
    from_codes,
    join_words,
    other_form,
    smallest_uint,
)

LEVELS = ("char", "word")


class Vocab:
    r"""The symbols of a text, numbered: it turns text into ids and ids into text.

    Symbols are sorted by code point, so the same text gives the same ids on every machine.

    Level ``"char"``: a symbol is a code point; nothing is normalised, lone surrogates included.

    Level ``"word"``: a symbol is a word (``don't`` is one), a punctuation mark with the space
    that follows it, or a piece of white space. A single space between two words has no symbol
    of its own: it is what stands between two words unless another symbol does. Nothing is
    lost, ``decode(encode(text)) == text`` holds here too.

    Args:
        symbols: the symbols, in the order of their ids; no two alike.
        level: ``"char"`` or ``"word"``.
        unk: whether a last symbol stands for every symbol that is not in the list.

    Attributes:
        itos: id to symbol, a list of ``str``; ``itos[i]`` is written ``i`` in ids.
        stoi: symbol to id, a dict.
        level: as given.
        unk_id: the id of the unknown symbol, or None.
        start_id: the id read before a text that has nothing before it: the line break's, or 0
            where there is none.

    Raises:
        VocabError: no symbols, two alike, or (at level "char") one longer than a code point.

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

    def __init__(self, symbols: Iterable[str], level: str = "char", *, unk: bool = False) -> None:
        check_choice("level", level, LEVELS)
        self.level = level
        self.itos = [*symbols, UNK] if unk else list(symbols)
        self.stoi = {symbol: i for i, symbol in enumerate(self.itos)}
        self.unk_id = len(self.itos) - 1 if unk else None
        self.start_id = self.stoi.get("\n", 0)
        self._check_symbols()
        if level == "char":
            self._table = CodeTable(self.itos[: self.unk_id], missing=len(self.itos))

    def _check_symbols(self) -> None:
        known = self.itos[: self.unk_id]
        if not known:
            raise VocabError("A vocabulary needs at least one symbol. Received: none")
        longest, form = (1, "one code point") if self.level == "char" else (None, "a non-empty str")
        for symbol in known:
            if not isinstance(symbol, str) or symbol[:longest] != symbol or not symbol:
                raise VocabError(f"A symbol must be {form}. Received: {symbol!r}")
        if len(self.stoi) != len(self.itos):
            twice = next(s for s, n in Counter(self.itos).items() if n > 1)
            raise VocabError(f"Symbols must differ from each other. Received twice: {twice!r}")

    @classmethod
    @named_arguments
    def from_text(
        cls,
        text: str,
        level: str = "char",
        *,
        max_size: int | None = None,
        min_freq: int = 1,
        pad: bool = False,
    ) -> "Vocab":
        r"""Collect the symbols of a text.

        Args:
            text: at least one character.
            level: ``"char"`` or ``"word"``.
            max_size: keep only this many symbols, the most frequent ones (of equally frequent
                ones those that sort first).
            min_freq: keep only symbols that occur at least this often.
            pad: add a symbol to fill up with, ``"\0"``, which is the first: its id is 0.

        Returns:
            A vocabulary. If something was left out, it has an unknown symbol besides.

        Raises:
            DataError: the text is empty.
            VocabError: nothing occurs ``min_freq`` times.

        >>> Vocab.from_text("abracadabra", max_size=2)
        Vocab(3 symbols, level='char', unk_id=2)
        """
        check_str(text)
        if not text:
            raise DataError("The text is empty: there are no symbols to collect. Received: ''")
        check_choice("level", level, LEVELS)
        check_int("min_freq", min_freq, 1)
        counts = count_symbols(text, level)
        kept = [symbol for symbol, n in counts.items() if n >= min_freq]
        if max_size is not None:
            check_int("max_size", max_size, 1)
            kept = sorted(kept, key=lambda symbol: (-counts[symbol], symbol))[:max_size]
        if not kept:
            raise VocabError(
                f"No symbol occurs {min_freq} times; lower `min_freq`. The most frequent one, "
                f"{max(counts, key=counts.__getitem__)!r}, occurs {max(counts.values())} times. "
                f"Received: min_freq={min_freq}"
            )
        unk = len(kept) < len(counts)
        return cls(sorted({*kept, "\0"} if pad else kept), level, unk=unk)

    def extend(self, text: str, *, max_size: int | None = None, min_freq: int = 1) -> "Vocab":
        """Return a vocabulary with the symbols of another text besides, or this one if none is new.

        Known symbols keep their ids, but for the unknown symbol, which stays the last.

        Args:
            text: at least one character.
            max_size: add only symbols among this many most frequent ones of the text.
            min_freq: add only symbols that occur at least this often in the text.

        Raises:
            DataError, VocabError: as ``from_text``.

        >>> Vocab.from_text("hello").extend("a hat").itos
        ['e', 'h', 'l', 'o', ' ', 'a', 't']
        """
        other = Vocab.from_text(text, self.level, max_size=max_size, min_freq=min_freq)
        new = [symbol for symbol in other.itos[: other.unk_id] if symbol not in self.stoi]
        unk = self.unk_id is not None or other.unk_id is not None
        if not new and unk == (self.unk_id is not None):
            return self
        return Vocab([*self.itos[: self.unk_id], *new], self.level, unk=unk)

    def init_from(self, vocab: "Vocab") -> NDArray[np.int64]:
        """Return which symbol of another vocabulary each symbol of this one is, or is most like.

        A symbol that ``vocab`` does not hold is like the same letter or word in another case,
        or without its diacritics, if ``vocab`` holds that.

        Returns:
            (len(self),) int64, ids of ``vocab``; -1 for a symbol like none.

        >>> Vocab("aÀx").init_from(Vocab("ba")).tolist()
        [1, 1, -1]
        """
        get = vocab.stoi.get
        return np.array(
            [
                next((get(s, -1) for s in (symbol, *fallback_forms(symbol)) if s in vocab.stoi), -1)
                for symbol in self.itos
            ],
            dtype=np.int64,
        )

    def __len__(self) -> int:
        return len(self.itos)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.stoi

    def __iter__(self) -> Iterator[str]:
        return iter(self.itos)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        return (self.itos, self.level, self.unk_id) == (other.itos, other.level, other.unk_id)

    def __hash__(self) -> int:
        return hash((self.level, len(self.itos)))

    def __repr__(self) -> str:
        unk = f", unk_id={self.unk_id}" if self.unk_id is not None else ""
        return f"Vocab({len(self)} symbols, level={self.level!r}{unk})"

    @named_arguments
    def encode(self, text: str, *, unknown: str | None = None) -> NDArray[Any]:
        """Turn text into ids.

        Args:
            text: any text, the empty one included.
            unknown: what to do about a symbol that is not in the vocabulary: ``"error"``,
                ``"skip"`` (leave it out) or ``"unk"`` (write the unknown symbol's id). None is
                "unk" where the vocabulary has an unknown symbol, and "error" elsewhere.

        Returns:
            (N,) array of the smallest unsigned integer type that holds every id.

        Raises:
            UnknownTokenError: a symbol is unknown, and that is an error; the message has the
                symbol, its code point and its position.
            VocabError: ``unknown="unk"`` and this vocabulary has no unknown symbol.

        >>> Vocab("abc").encode("cab?", unknown="skip")
        array([2, 0, 1], dtype=uint8)
        """
        check_str(text)
        if unknown is None:
            unknown = "error" if self.unk_id is None else "unk"
        check_choice("unknown", unknown, ("error", "skip", "unk"))
        if unknown == "unk" and self.unk_id is None:
            raise VocabError(
                "This vocabulary has no unknown symbol; make one with `max_size` or `min_freq`, "
                "or pass unknown='skip'. Received: unknown='unk'"
            )
        ids = self._table.encode(text) if self.level == "char" else self._look_up_words(text)
        if int(ids.max(initial=0)) == len(self):
            unseen = ids == len(self)
            if unknown == "error":
                self._raise_unknown(text, int(unseen.argmax()))
            elif unknown == "skip":
                ids = ids[~unseen]
            else:
                ids[unseen] = self.unk_id
        return ids.astype(smallest_uint(len(self) - 1), copy=False)

    # This and the table write len(self) for a symbol that the vocabulary does not hold.

    def _look_up_words(self, text: str) -> NDArray[Any]:
        missing, get = len(self), self.stoi.get
        found = [get(token, missing) for token in WORD_TOKEN.findall(text)]
        return np.array(found, dtype=smallest_uint(missing))

    def _raise_unknown(self, text: str, index: int) -> None:
        token, position = text[index : index + 1], index
        if self.level == "word":
            match = next(m for i, m in enumerate(WORD_TOKEN.finditer(text)) if i == index)
            token, position = match[0], match.start()
        code = f" (U+{ord(token):04X})" if len(token) == 1 else ""
        advice = "Leave such symbols out with unknown='skip', or train on text that has them."
        if form := other_form(text, position, position + len(token), self.stoi, self.level):
            advice = f"Its {form} form is: pass unicodedata.normalize({form!r}, text)."
        raise UnknownTokenError(
            f"{token!r}{code} at index {position} is not in the vocabulary of {len(self)} "
            f"symbols. {advice} Received: {text[max(0, position - 20) : position + 20]!r}"
        )

    def decode(self, ids: ArrayLike, *, after: int | None = None) -> str:
        """Turn ids into text.

        Args:
            ids: (N,) whole numbers in [0, len(vocab)): a list, an array or a CPU tensor.
            after: the id that stands before them, if any. At level "word" a text that goes on
                after a word begins with a space when its first symbol is a word, too.

        Raises:
            UnknownTokenError: an id is not in [0, len(vocab)); the message has its position.

        >>> Vocab("abc").decode([2, 0, 1])
        'cab'
        """
        array = np.asarray(ids)
        if array.ndim != 1 or not (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
            raise TypeError(
                "`ids` must be a flat list or array of whole numbers. "
                f"Received: shape {array.shape}, dtype {array.dtype}"
            )
        if after is not None and not 0 <= after < len(self):
            raise UnknownTokenError(
                f"The vocabulary has ids from 0 to {len(self) - 1}. Received: after={after!r}"
            )
        outside = (array < 0) | (array >= len(self))
        if outside.any():
            index = int(outside.argmax())
            raise UnknownTokenError(
                f"The vocabulary has ids from 0 to {len(self) - 1}. "
                f"Received: id {array[index]} at index {index}"
            )
        if self.level == "char" and (self.unk_id is None or self.unk_id not in array):
            return self._table.decode(array)
        symbols = [self.itos[i] for i in array.tolist()]
        if self.level == "char":
            return "".join(symbols)
        return join_words(symbols, "" if after is None else self.itos[after])

    def to_config(self) -> dict[str, Any]:
        """Return this vocabulary as plain numbers and words, for a JSON file.

        Symbols are written as code points, because JSON text cannot hold every ``str`` (two
        lone surrogates would come back as one emoji).

        >>> Vocab("ab").to_config()
        {'level': 'char', 'symbols': [[97], [98]], 'unk': False}
        """
        symbols = [[ord(character) for character in s] for s in self.itos[: self.unk_id]]
        return {"level": self.level, "symbols": symbols, "unk": self.unk_id is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Vocab":
        """Rebuild a vocabulary from what ``to_config`` gave.

        Raises:
            VocabError: the numbers are not code points, or describe no vocabulary.

        >>> Vocab.from_config({"level": "char", "symbols": [[97], [98]], "unk": False}).itos
        ['a', 'b']
        """
        try:
            symbols = [from_codes(codes) for codes in config["symbols"]]
            level, unk = config["level"], config["unk"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise VocabError(
                "A stored vocabulary must have 'level', 'unk' and 'symbols', a list of lists of "
                f"code points from 0 to {MAX_CODE_POINT}. Received: {error!r}"
            ) from None
        if level not in LEVELS or not isinstance(unk, bool):
            raise VocabError(
                f"A stored vocabulary must have a level of {LEVELS} and a boolean 'unk'. "
                f"Received: level={level!r:.40}, unk={unk!r:.40}"
            )
        return cls(symbols, level, unk=unk)
