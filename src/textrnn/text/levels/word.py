r"""Level "word": a token is a word, a mark with the space after it, or a piece of white space.

``don't`` is one word, and a letter keeps its combining marks. In scripts without spaces between
words, a token is a character with its marks. A single space between two words is not a token: the
decoder adds it unless another token is there. Nothing is lost.

>>> WordLevel().cut("The cat's mat, 12 हिन्दी.\n")
['The', "cat's", 'mat', ', ', '12', 'हिन्दी', '.', '\n']
>>> WordLevel().cut("ภาษา、東京 2 km")
['ภ', 'า', 'ษ', 'า', '、', '東', '京', ' ', '2', 'km']
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textrnn.text.levels.base import Level, SpacingDecoder
from textrnn.text.tokenizer import Decoder
from textrnn.text.tokens import UNK, smallest_uint

if TYPE_CHECKING:
    import regex

# Letters and digits between which a line may break (UAX #14): Thai, Lao, Khmer, Burmese; Chinese,
# Japanese; Javanese, Balinese. Their scripts have no spaces between words.
_UNSPACED = r"[[\p{LB=SA}\p{LB=ID}\p{LB=CJ}\p{LB=NS}\p{LB=AK}\p{LB=AS}]&&[\p{L}\p{N}]]"
# The characters of other words. The two joiners occur inside words of Persian and Hindi.
_LETTER = rf"[[_\p{{L}}\p{{N}}\p{{M}}\u200c\u200d]--{_UNSPACED}]"
# A word with its inner apostrophes, and the single space before another word; white space; a
# character of a script without spaces; any other character, with the space after it.
_TOKEN = (
    rf"{_LETTER}+(?:['’]{_LETTER}+)*(?: (?={_LETTER}))?"  # noqa: RUF001
    rf"|[\s\x1c-\x1f]|(?={_UNSPACED})\X\p{{M}}*|\X ?"
)


class WordLevel(Level):
    """Cuts a text into words, marks and white space.

    ``fit`` leaves out words that occur once: they teach a model nothing but cost it a row in two
    matrices.
    """

    joint = "\n"  # two words must not become one
    limits: Mapping[str, int] = {"max_size": 20_000, "min_freq": 2}

    def cut(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""
        return [_without_space(piece) for piece in _compiled(_TOKEN).findall(text)]

    def count(self, text: str) -> Mapping[str, int]:
        """Return how often each token occurs in a text."""
        counts: Counter[str] = Counter()
        for piece, number in Counter(_compiled(_TOKEN).findall(text)).items():
            counts[_without_space(piece)] += number
        return counts

    def encoder(self, tokens: Sequence[str], missing: int) -> Callable[[str], NDArray[Any]]:
        """Return a function from a text to ids (N,), which looks up pieces of text."""
        ids = {token: i for i, token in enumerate(tokens)}
        ids |= {f"{token} ": i for token, i in ids.items() if _is_word(token)}
        return partial(_look_up, ids, missing)

    def decoder(self, tokens: Sequence[str], after: int | None) -> Decoder:
        """Return a decoder that adds the space between two words."""
        return SpacingDecoder(tokens, after, _is_word)


def _look_up(ids: Mapping[str, int], missing: int, text: str) -> NDArray[Any]:
    found = [ids.get(piece, missing) for piece in _compiled(_TOKEN).findall(text)]
    return np.array(found, dtype=smallest_uint(missing))


@lru_cache(maxsize=1 << 16)
def _is_word(token: str) -> bool:
    return token == UNK or _compiled(_LETTER).match(token) is not None


def _without_space(piece: str) -> str:
    """Return the token of a piece of text: a word without the space after it."""
    return piece[:-1] if piece[-1] == " " and _is_word(piece) else piece


@cache
def _compiled(pattern: str) -> "regex.Pattern[str]":
    """Return a compiled pattern; other levels never import ``regex``."""
    import regex

    return regex.compile(pattern, regex.V1)
