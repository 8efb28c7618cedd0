r"""Level "split": a token is the text between white space: a chord, a move, an event, a k-mer.

A single space between two tokens is not a token; of other white space, each character is one.
Nothing is lost.

>>> SplitLevel().cut("C:maj7 F#:min7 | O-O\n")
['C:maj7', 'F#:min7', '|', 'O-O', '\n']
"""

import re
from collections.abc import Mapping, Sequence

from textrnn.text.levels.base import Level, SpacingDecoder
from textrnn.text.tokenizer import Decoder

_TOKEN = re.compile(r"\S+|(?!(?<=\S) (?=\S))\s")


class SplitLevel(Level):
    """Cuts a text at its white space. ``fit`` leaves out tokens that occur once."""

    joint = "\n"  # two tokens must not become one
    limits: Mapping[str, int] = {"max_size": 20_000, "min_freq": 2}

    def cut(self, text: str) -> Sequence[str]:
        """Return the tokens of a text."""
        return _TOKEN.findall(text)

    def decoder(self, tokens: Sequence[str], after: int | None) -> Decoder:
        """Return a decoder that puts a space between two tokens that are not white space."""
        return SpacingDecoder(tokens, after, _is_visible)


def _is_visible(token: str) -> bool:
    return token.strip() != ""
