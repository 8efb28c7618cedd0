"""The contract of levels: how a text is cut into tokens, and how tokens become text."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import VocabError
from textrnn.text.tokenizer import Decoder, TokenDecoder
from textrnn.text.tokens import smallest_uint


class Level(ABC):
    """Defines what a token of a ``Vocab`` is. It has no state.

    Attributes:
        form: what a token must be, for an error message.
        joint: as in ``Tokenizer``.
        limits: the arguments of ``Vocab.from_text`` that ``fit`` uses.
        one_to_one: whether every character is one token, whatever is beside it.
        complete: whether every vocabulary can write every text, so that no token is ever unknown
            or added.
    """

    form = "a non-empty str"
    joint = ""
    limits: Mapping[str, int] = {}
    one_to_one = False
    complete = False

    @abstractmethod
    def cut(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""

    def border(self, text: str) -> int:
        """Return the last place in a text that no token spans, whatever follows; 0 for none.

        The tokens before and after it do not depend on each other.
        """
        return text.rfind(self.joint) + len(self.joint) if self.joint in text else 0

    def span(self, text: str, index: int) -> tuple[int, int]:
        """Return the begin and the end of token number ``index`` in the text."""
        start = end = 0
        for token in islice(self.cut(text), index + 1):
            start = text.index(token, end)
            end = start + len(token)
        return start, end

    def misfits(self, tokens: Sequence[object]) -> list[object]:
        """Return those that cannot be tokens of this level."""
        return [token for token in tokens if not isinstance(token, str) or not token]

    def count(self, text: str) -> Mapping[str, int]:
        """Return how often each token occurs in a text."""
        return Counter(self.cut(text))

    def collect(
        self, texts: Iterable[str], max_size: int | None, min_freq: int
    ) -> tuple[list[str], bool]:
        """Return the tokens of a vocabulary, in the order of their ids, and if any were left out.

        Args:
            texts: a text, its pieces, or documents; no token spans two of them.
            max_size: as in ``Vocab.from_text``.
            min_freq: likewise.

        Raises:
            VocabError: no token occurs ``min_freq`` times.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(self.count(text))
        kept = [token for token, n in counts.items() if n >= min_freq]
        if not kept:
            token, most = max(counts.items(), key=lambda item: item[1])
            raise VocabError(
                f"No token occurs {min_freq} times: take level 'char' (--level char), a longer "
                "text, or vocab=Vocab.from_text(text, level, min_freq=1). The most frequent one, "
                f"{token!r}, occurs {most} times. Received: min_freq={min_freq}"
            )
        if max_size is not None:
            kept = sorted(kept, key=lambda token: (-counts[token], token))[:max_size]
        return sorted(kept), len(kept) < len(counts)

    def encoder(self, tokens: Sequence[str], missing: int) -> Callable[[str], NDArray[Any]]:
        """Return a function from a text to ids (N,).

        Args:
            tokens: the known tokens, in the order of their ids.
            missing: the id that stands for every other token.
        """
        return partial(self._look_up, {token: i for i, token in enumerate(tokens)}, missing)

    def _look_up(self, ids: Mapping[str, int], missing: int, text: str) -> NDArray[Any]:
        found = [ids.get(token, missing) for token in self.cut(text)]
        return np.array(found, dtype=smallest_uint(missing))

    def decoder(self, tokens: Sequence[str], after: int | None) -> Decoder:
        """Return a decoder for one text; the arguments are those of ``Tokenizer.decoder``."""
        return TokenDecoder(tokens)


class SpacingDecoder(Decoder):
    """Adds the space between two words.

    Args:
        tokens: the text of every token, by id.
        after: the id before the text, or None.
        is_word: whether a token is a word.
    """

    def __init__(
        self, tokens: Sequence[str], after: int | None, is_word: Callable[[str], bool]
    ) -> None:
        self._tokens, self._is_word = tokens, is_word
        self._after_word = after is not None and is_word(tokens[after])

    def push(self, token: int) -> str:
        """Return the token, with a space before it if it is a word that follows a word."""
        text = self._tokens[token]
        after_word, self._after_word = self._after_word, self._is_word(text)
        return f" {text}" if after_word and self._after_word else text
