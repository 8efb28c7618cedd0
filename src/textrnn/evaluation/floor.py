"""The counting floor: how well counting predicts a text."""

from typing import Any

from numpy.typing import NDArray

from textrnn.checks import check_ids
from textrnn.errors import DataError
from textrnn.models.ngram import NGramModel


def ngram_baseline(
    train_ids: NDArray[Any], valid_ids: NDArray[Any], vocab_size: int, max_order: int = 10
) -> tuple[int, float]:
    """Return the floor that a neural model should beat: the best of the counting models.

    They have Kneser-Ney smoothing.

    Args:
        train_ids: (N,) integers, the text to count.
        valid_ids: (M,) integers, the text to score, M at least 2.
        vocab_size: V.
        max_order: the highest order tried, at least 1.

    Returns:
        The best order, and its loss in nats per token on ``valid_ids``.

    Raises:
        DataError: the ids are not integers in [0, V), or too few.

    >>> import numpy as np
    >>> order, loss = ngram_baseline(np.arange(300) % 3, np.arange(100) % 3, vocab_size=3)
    >>> order, loss < 0.01
    (2, True)
    """
    train_ids, valid_ids = check_ids(train_ids), check_ids(valid_ids)
    if len(valid_ids) < 2:
        raise DataError(f"There must be at least two tokens to score. Received: {len(valid_ids)}")
    model = NGramModel(vocab_size, order=max_order)
    model.count(train_ids)
    losses = {n: model.truncated(n).stepper.loss(valid_ids) for n in range(1, max_order + 1)}
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]
