"""What all kinds of tokens need: checks, similar forms, and the dtype of ids."""

import unicodedata
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import numpy as np

UNK = "<unk>"
"""The text of the unknown token. No text holds it as one token."""

LEAVE_OUT = (
    "Leave such tokens out with unknown='skip' (--unknown skip), or train on text that has them."
)
"""What can be done about an unknown token, but for a text to train on."""

MAX_CODE_POINT = 0x10FFFF


def check_str(text: object) -> None:
    """Raise ``TypeError`` unless a text is a ``str``."""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise TypeError(f"`text` must be str; decode bytes first. Received: {kind} {text!r:.60}")


def smallest_uint(number: int) -> np.dtype[Any]:
    """Return the smallest unsigned integer type that holds ``number``."""
    return np.min_scalar_type(number)


def fallback_forms(token: str) -> Iterator[str]:
    """Yield similar tokens, the most similar first: other case, no diacritics.

    >>> list(dict.fromkeys(fallback_forms("É")))
    ['é', 'É', 'e', 'E', 'é ', 'É ']
    """
    plain = unicodedata.normalize("NFKD", token)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    for form in (token, plain, token.strip(), f"{token} "):  # a sign may have a space after it
        yield from (form.lower(), form.capitalize(), form.upper(), form)


def from_codes(codes: object) -> str:
    """Return the token that a file holds as a list of code points, or raise what ``chr`` does."""
    if not isinstance(codes, list) or any(type(code) is not int for code in codes):
        raise TypeError(f"{codes!r:.60} is not a list of whole numbers")
    return "".join(map(chr, codes))


def other_form(
    text: str, span: tuple[int, int], known: Container[str], cut: Callable[[str], Sequence[str]]
) -> str | None:
    r"""Return the Unicode form, NFC or NFD, in which all tokens of a part of a text are known.

    The part includes the letter before a combining mark, and the marks after it.

    Args:
        text: the text.
        span: where the part begins and ends.
        known: the known tokens.
        cut: returns the tokens of a text.

    >>> other_form("cafe\u0301", (4, 5), {"\xe9"}, cut=list)
    'NFC'
    """
    start, end = span
    while start > 0 and end - start < 30 and unicodedata.combining(text[start]):
        start -= 1
    while end < len(text) and end - start < 30 and unicodedata.combining(text[end]):
        end += 1
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, text[start:end])
        if other != text[start:end] and all(token in known for token in cut(other)):
            return form
    return None
