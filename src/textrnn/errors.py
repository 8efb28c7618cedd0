"""The tree of errors, and what a message says.

    TextRNNError
    ├── DataError (ValueError)              a text that cannot be read or trained on
    ├── VocabError (ValueError)             a vocabulary that cannot be built or used as asked
    │   └── UnknownTokenError               a token that the vocabulary does not hold
    ├── NotFittedError (ValueError)         something that only a trained generator can do
    ├── NonFiniteError (ArithmeticError)    a loss, gradient or score that is not a finite number
    └── FileFormatError (ValueError)        a model file that cannot be used
        ├── CorruptModelError               ... because it is damaged or contradicts itself
        └── UnsupportedFormatError          ... because it is something else, or too new

Each class also subclasses the builtin in brackets, so ``except ValueError`` works for users who
have not read this page. Wrong arguments raise plain ``TypeError`` and ``ValueError``; faults of the
disk stay ``OSError``. A message says what was wrong, what was expected and how to fix it, and ends
with what was received.
"""

import re


def visible(text: str, keep: str = "") -> str:
    r"""Return a text with all characters escaped that would control a terminal.

    Args:
        text: text from a file, for instance.
        keep: characters to keep, such as line breaks.

    >>> visible("a \x1b[2J \u202e b\n")
    'a \\x1b[2J \\u202e b\\n'
    """
    return _STEERING.sub(lambda m: m[0] if m[0] in keep else ascii(m[0])[1:-1], text)


# Control characters, line breaks of Unicode, and characters that change the writing direction.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class TextRNNError(Exception):
    """Base of every error that textrnn defines."""


class DataError(TextRNNError, ValueError):
    """Raised for a text that is empty, too short, or not readable as text."""


class VocabError(TextRNNError, ValueError):
    """Raised for a vocabulary that cannot be built, or cannot do what was asked."""


class UnknownTokenError(VocabError):
    """Raised for a token (or an id) that the vocabulary does not hold."""


class NotFittedError(TextRNNError, ValueError):
    """Raised when a generator is used before ``fit`` or ``load``."""


class NonFiniteError(TextRNNError, ArithmeticError):
    """Raised for a loss in training, or scores in generation, that are infinite or not numbers."""


class FileFormatError(TextRNNError, ValueError):
    """Raised for a model file that cannot be used.

    Its message never shows raw text of the file: see ``visible``.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(visible(message))


class CorruptModelError(FileFormatError):
    """Raised for a model file that is damaged, cut short, or contradicts itself."""


class UnsupportedFormatError(FileFormatError):
    """Raised for a file that is not a textrnn model, or that a newer textrnn wrote."""
