"""How well does a model predict a text? Any model of the contract, one way of counting."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from textrnn.checks import check_int
from textrnn.errors import DataError
from textrnn.models.base import LanguageModel
from textrnn.models.ngram import NGramModel

_STREAMS = 64  # parts of the text read side by side
_WARM_UP = 256  # tokens a part is read before its scores count
_MAX_LOGITS = 1 << 24  # numbers in one chunk of logits


def metrics(loss: float, chars_per_token: float = 1.0) -> dict[str, float]:
    """Return a loss in the three units of the field.

    Args:
        loss: mean surprisal in nats per token.
        chars_per_token: mean length of a token, in characters; 1 at level "char".

    Returns:
        ``loss``, ``bits_per_char`` = loss / ln 2 / chars_per_token, ``perplexity`` = exp(loss).

    >>> metrics(math.log(2))
    {'loss': 0.6931471805599453, 'bits_per_char': 1.0, 'perplexity': 2.0}
    """
    return {
        "loss": loss,
        "bits_per_char": loss / math.log(2) / chars_per_token,
        "perplexity": math.inf if loss >= 700 else math.exp(loss),
    }


def evaluate(
    model: LanguageModel,
    ids: NDArray[Any],
    *,
    chars_per_token: float = 1.0,
    seq_len: int | None = None,
) -> dict[str, float]:
    """Score a model on a whole text.

    Every token but the first is predicted exactly once, and the losses are summed over tokens
    and divided once. A long text is read in up to 64 parts side by side; a part's scores count
    only once the model has read 256 tokens of it, up to there those of the part before do, so
    the result is that of one pass with the state carried (an n-gram's exactly, a recurrent
    model's to about 1e-4 nats).

    Args:
        model: any model; it is put in evaluation mode and back.
        ids: (N,) integers, N at least 2.
        chars_per_token: mean length of a token in characters, for ``bits_per_char``.
        seq_len: tokens read at a time; changes memory and speed, never the result.

    Returns:
        ``loss`` in nats per token, ``bits_per_char`` and ``perplexity``.

    Raises:
        DataError: fewer than two ids.

    >>> model = NGramModel(vocab_size=4)  # nothing counted: every token is equally likely
    >>> round(evaluate(model, np.array([0, 1, 2, 3]))["perplexity"], 6)
    4.0
    """
    total = 0.0
    for losses, counts, _ in _read(model, ids, seq_len):
        total += float(torch.where(counts, losses, 0.0).sum())
    return metrics(total / (len(ids) - 1), chars_per_token)


def surprisals(model: LanguageModel, ids: NDArray[Any]) -> NDArray[np.float32]:
    """Return the surprisal of every token but the first, read as ``evaluate`` reads.

    Args:
        model: any model.
        ids: (N,) integers, N at least 2.

    Returns:
        (N - 1,) float32, nats; entry i is about ``ids[i + 1]``.
    """
    result = np.empty(max(len(ids) - 1, 0), dtype=np.float32)
    for losses, counts, positions in _read(model, ids, None):
        result[positions[counts].cpu().numpy()] = losses[counts].cpu().numpy()
    return result


def ngram_baseline(
    train_ids: NDArray[Any], valid_ids: NDArray[Any], vocab_size: int, max_order: int = 6
) -> tuple[int, float]:
    """Return the floor that a neural model should beat: the best of the counting models.

    Args:
        train_ids: (N,) integers, what is counted.
        valid_ids: (M,) integers, what is scored.
        vocab_size: V.
        max_order: the highest order tried.

    Returns:
        The best order, and its loss in nats per token on ``valid_ids``.
    """
    model = NGramModel(vocab_size, order=max_order)
    model.count(train_ids)
    losses = {n: evaluate(model.truncated(n), valid_ids)["loss"] for n in range(1, max_order + 1)}
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]


def _read(
    model: LanguageModel, ids: NDArray[Any], seq_len: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield losses, whether they count, and the positions of the predicted tokens less one.

    Part s of S reads the n + W tokens from s * n on; its first W scores count only for s = 0.
    """
    targets = len(ids) - 1
    if seq_len is not None:
        check_int("seq_len", seq_len, 1)
    if targets < 1:
        raise DataError(f"Evaluation needs at least two tokens. Received: {targets + 1}")
    s = min(_STREAMS, max(1, targets // (8 * _WARM_UP)))
    n = -(-(targets - _WARM_UP) // s) if s > 1 else targets  # ceil
    width = n + _WARM_UP if s > 1 else n
    chunk = seq_len or max(1, min(64, _MAX_LOGITS // (s * model.vocab_size)))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    text = torch.from_numpy(np.ascontiguousarray(ids).astype(np.int64, copy=False)).to(device)
    starts = torch.arange(s, device=device)[:, None] * n  # (S, 1)
    training, state = model.training, None
    model.eval()
    try:
        with torch.inference_mode():
            for first in range(0, width, chunk):
                columns = torch.arange(first, min(first + chunk, width), device=device)
                positions = starts + columns  # (S, T)
                counts = (positions < targets) & ((columns >= _WARM_UP) | (starts == 0))
                positions = positions.clamp(max=targets - 1)
                logits, state = model(text[positions], state)
                losses = F.cross_entropy(
                    logits.float().flatten(0, 1), text[positions + 1].flatten(), reduction="none"
                )
                yield losses.view(positions.shape).clamp(min=0), counts, positions
    finally:
        model.train(training)
