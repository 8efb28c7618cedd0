"""The contract of levels: how a text is cut into tokens, and how tokens become text."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.text.tokenizer import Decoder, TokenDecoder
from textrnn.text.tokens import smallest_uint


class Level(ABC):
    """Says what a token of a ``Vocab`` is. It holds nothing of its own.

    Attributes:
        form: what a token must be, for an error message.
        joint: as in ``Tokenizer``.
        limits: the arguments of ``Vocab.from_text`` that ``fit`` uses.
    """

    form = "a non-empty str"
    joint = ""
    limits: Mapping[str, int] = {}

    @abstractmethod
    def cut(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""

    @abstractmethod
    def span(self, text: str, index: int) -> tuple[int, int]:
        """Return where in the text token number ``index`` begins and ends."""

    def is_token(self, token: str) -> bool:
        """Return whether a ``str`` can be a token."""
        return bool(token)

    def count(self, text: str) -> Mapping[str, int]:
        """Return how often each token occurs in a text."""
        return Counter(self.cut(text))

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
