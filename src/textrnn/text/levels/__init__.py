"""What a token can be: the levels of ``Vocab``, and the table of their names."""

from textrnn.text.levels.base import Level
from textrnn.text.levels.bpe import BPELevel
from textrnn.text.levels.byte import ByteLevel
from textrnn.text.levels.char import CharLevel
from textrnn.text.levels.split import SplitLevel
from textrnn.text.levels.word import WordLevel

__all__ = ["LEVELS", "Level"]

LEVELS: dict[str, Level] = {
    "char": CharLevel(),
    "word": WordLevel(),
    "split": SplitLevel(),
    "byte": ByteLevel(),
    "bpe": BPELevel(),
}
"""The levels by name, as in ``Vocab(level=...)`` and in saved files."""
