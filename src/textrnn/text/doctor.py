"""A report on a text, to read before training on it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textrnn.text.remarks import FEW, count_repeats, in_order, shared
from textrnn.text.sources import read_text

_ENOUGH = 300_000  # characters
_MOST = 50_000_000  # the most characters to look at


@dataclass(frozen=True)
class TextReport:
    """Holds what was found in a text; ``print`` shows one line per finding.

    Attributes:
        characters: the length of the text.
        distinct: how many different characters it has.
        rare: how many of them occur once or twice.
        lines: how many lines it has.
        repeated_lines: how many of them, of 20 characters or more, repeat an earlier one.
        is_sorted: whether the lines are in alphabetical order.
        overlap: the share of the last tenth that also occurs in the rest, in [0, 1], as
            ``remarks.shared`` measures it.
    """

    characters: int
    distinct: int
    rare: int
    lines: int
    repeated_lines: int
    is_sorted: bool
    overlap: float

    def advice(self) -> Iterator[str]:
        """Yield one sentence for each thing worth fixing before training."""
        if self.characters < _ENOUGH:
            few = "very few" if self.characters < FEW else "few"
            yield (
                f"{self.characters:,} characters are {few}: a few hundred thousand make a good "
                "generator."
            )
        if self.rare > max(10, self.distinct // 4):
            yield (
                f"{self.rare:,} of {self.distinct:,} characters occur once or twice, too rarely "
                "to be learned: clean the text, or leave them out with "
                "vocab=Vocab.from_text(text, min_freq=3)."
            )
        if self.repeated_lines > self.lines // 10:
            yield (
                f"{self.repeated_lines:,} of {self.lines:,} lines repeat an earlier one: the "
                "model will learn them word for word; remove the copies."
            )
        if self.is_sorted and self.lines > 10:
            yield (
                "The lines are sorted, so the order will be learned, and the end is unlike the "
                "rest: if they are records, pass them as a list, text.splitlines(), or --lines."
            )
        if self.overlap > 0.2:
            yield (
                f"{self.overlap:.0%} of the last tenth, which is held out for validation, also "
                "occurs in the rest, word for word: the validation loss will be too good."
            )

    def __str__(self) -> str:
        facts = [
            f"characters  {self.characters:,}, {self.distinct:,} different ones, "
            f"{self.rare:,} of them once or twice",
            f"lines       {self.lines:,}, {self.repeated_lines:,} repeat an earlier one, "
            f"{'sorted' if self.is_sorted else 'not sorted'}",
            f"overlap     {self.overlap:.0%} of the last tenth is also in the rest",
        ]
        return "\n".join([*facts, *(f"advice      {line}" for line in self.advice())])


def examine(text: str | Path, encoding: str | None = None) -> TextReport:
    r"""Return a report on a text, to read before training on it.

    Args:
        text: the text itself, or a ``Path`` as for ``fit``. Of a very long text only the first
            50 million characters are examined.
        encoding: of the file; None for UTF-8.

    Raises:
        DataError, OSError: the text cannot be read.

    >>> report = examine("the cat sat on the mat\n" * 30)
    >>> report.distinct, report.repeated_lines
    (11, 29)
    >>> next(report.advice())
    '690 characters are very few: a few hundred thousand make a good generator.'
    """
    whole = read_text(text, encoding)
    looked_at = whole[:_MOST]
    counts = Counter(looked_at)
    lines = looked_at.splitlines()
    codes = np.frombuffer(looked_at.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    cut = len(codes) - len(codes) // 10
    return TextReport(
        characters=len(whole),
        distinct=len(counts),
        rare=sum(n <= 2 for n in counts.values()),
        lines=len(lines),
        repeated_lines=count_repeats(lines),
        is_sorted=in_order(lines),
        overlap=shared(codes[cut:], codes[:cut]),
    )
