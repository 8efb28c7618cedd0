"""Which of many forms the quick tests see: one of each kind; ``-m slow`` sees the others."""

from collections.abc import Iterable

import pytest


def quick(names: Iterable[str], *chosen: str) -> list[object]:
    """Return parameters of which all but the chosen ones are marked as slow.

    Args:
        names: all of them.
        chosen: without any it is a counting model, a window and an LSTM.
    """
    chosen = chosen or ("ngram", "window_rnn", "lstm")
    names = list(names)
    assert set(chosen) <= set(names)
    return [
        name if name in chosen else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]
