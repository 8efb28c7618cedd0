"""Level "word": a token is a word, a mark with the space after it, or a piece of white space.

``don't`` is one word. A single space between two words is no token: it is what stands between
two words unless another token does. Nothing is lost.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice

from textrnn.text.levels.base import Level
from textrnn.text.tokenizer import Decoder
from textrnn.text.tokens import UNK

# A word, with its inner apostrophes; a sign with the space after it; white space. The one thing
# left out is a single space between two words, which the decoder puts back.
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s] ?|(?!(?<=\w) (?=\w))\s")  # noqa: RUF001
_WORD = re.compile(r"\w")


class WordLevel(Level):
    """Cuts a text into words, marks and white space.

    ``fit`` leaves out words that occur once: they teach a model nothing but cost it a row in two
    matrices.
    """

    joint = "\n"  # two words must not become one
    limits: Mapping[str, int] = {"max_size": 20_000, "min_freq": 2}

    def cut(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""
        return _TOKEN.findall(text)

    def span(self, text: str, index: int) -> tuple[int, int]:
        """Return where token number ``index`` begins and ends."""
        return next(islice(_TOKEN.finditer(text), index, None)).span()

    def decoder(self, tokens: Sequence[str], after: int | None) -> Decoder:
        """Return a decoder that puts a space between two words."""
        return _WordDecoder(tokens, after)


class _WordDecoder(Decoder):
    def __init__(self, tokens: Sequence[str], after: int | None) -> None:
        self._tokens = tokens
        self._after_word = after is not None and _is_word(tokens[after])

    def push(self, token: int) -> str:
        """Return the token, with a space before it where it is a word after a word."""
        text = self._tokens[token]
        after_word, self._after_word = self._after_word, _is_word(text)
        return f" {text}" if after_word and self._after_word else text


def _is_word(token: str) -> bool:
    return token == UNK or _WORD.match(token) is not None
