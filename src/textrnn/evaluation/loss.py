"""How well a model predicts a text: one way of measuring, for any model."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from textrnn.checks import check_ids, check_int, check_vocab_ids
from textrnn.errors import DataError
from textrnn.models.base import LanguageModel, device_of, evaluating

_STREAMS = 64  # parts of the text read side by side
WARM_UP = 256  # tokens a part is read before its scores count
_MAX_LOGITS = 1 << 24  # numbers in one chunk of logits


def metrics(loss: float, chars_per_token: float = 1.0, spelling: float = 0.0) -> dict[str, float]:
    """Return a loss in the three units of the field.

    Args:
        loss: mean surprisal in nats per token.
        chars_per_token: mean length of a token, in characters; 1 at level "char".
        spelling: the bits per character that spell the unknown tokens.

    Returns:
        ``loss``, ``perplexity`` = exp(loss), and ``bits_per_char`` = loss / ln 2 /
        chars_per_token + spelling.

    >>> metrics(math.log(2))
    {'loss': 0.6931471805599453, 'bits_per_char': 1.0, 'perplexity': 2.0}
    """
    return {
        "loss": loss,
        "bits_per_char": loss / math.log(2) / chars_per_token + spelling,
        "perplexity": math.inf if loss >= 700 else math.exp(loss),
    }


def evaluate(
    model: LanguageModel,
    ids: ArrayLike,
    *,
    chars_per_token: float = 1.0,
    spelling: float = 0.0,
    seq_len: int | None = None,
) -> dict[str, float]:
    """Return how well a model predicts a whole text.

    Every token but the first is predicted exactly once; the losses are summed over tokens and
    divided once. A long text is read in up to 64 overlapping parts side by side. The first 256
    tokens of a part are a warm-up, scored in the part before it. So the result is that of one
    pass with the state carried: exactly for an n-gram, to about 1e-4 nats for a recurrent model.

    Args:
        model: any model; it is put in evaluation mode and back.
        ids: (N,) integers in [0, V), N at least 2: an array, a memory map (which is read in
            pieces), a tensor or a list.
        chars_per_token: mean length of a token in characters, for ``bits_per_char``.
        spelling: the bits per character that spell the unknown tokens, likewise.
        seq_len: tokens read at a time; it affects memory and speed, never the result.

    Returns:
        ``loss`` in nats per token, ``bits_per_char``, ``perplexity``, and ``accuracy``: the share
        of tokens, in [0, 1], that the model found likeliest.

    Raises:
        DataError: the ids are not one-dimensional integers in [0, V), or there are fewer than two.

    >>> from textrnn import NGramModel
    >>> model = NGramModel(vocab_size=4)  # nothing counted: every token is equally likely
    >>> round(evaluate(model, [0, 1, 2, 3])["perplexity"], 6)
    4.0
    """
    text = checked(ids)
    total, right = score(model, text, seq_len=seq_len)
    targets = len(text) - 1
    return {**metrics(total / targets, chars_per_token, spelling), "accuracy": right / targets}


def score(
    model: LanguageModel,
    ids: NDArray[Any],
    *,
    seq_len: int | None = None,
    skip: int = 0,
    on_chunk: Callable[[], None] | None = None,
) -> tuple[float, int]:
    """Return the sum of the losses of tokens, in nats, and how many the model found likeliest.

    Args:
        model: any model.
        ids: (N,) integers in [0, V), N at least 2.
        seq_len: as in ``evaluate``.
        skip: how many of the N - 1 predictions do not count, at the beginning: they are a warm-up.
        on_chunk: called after each piece of the text.
    """
    total, right = 0.0, 0
    for chunk in _read(model, ids, seq_len):
        counts = chunk.counts & torch.from_numpy(chunk.positions >= skip).to(chunk.counts.device)
        total += float(torch.where(counts, chunk.losses, 0.0).sum())
        right += int((counts & chunk.hits).sum())
        if on_chunk is not None:
            on_chunk()
    return total, right


def surprisals(model: LanguageModel, ids: ArrayLike) -> NDArray[np.float32]:
    """Return the surprisal of every token but the first, with the text read as in ``evaluate``.

    Args:
        model: any model.
        ids: (N,) integers in [0, V), N at least 2.

    Returns:
        (N - 1,) float32, nats; entry i is the surprisal of ``ids[i + 1]``.

    Raises:
        DataError: as ``evaluate``.

    >>> from textrnn import NGramModel
    >>> surprisals(NGramModel(vocab_size=4), [0, 1, 2, 3])
    array([1.3862944, 1.3862944, 1.3862944], dtype=float32)
    """
    text = checked(ids)
    result = np.empty(len(text) - 1, dtype=np.float32)
    for chunk in _read(model, text, None):
        counts = chunk.counts.cpu().numpy()
        result[chunk.positions[counts]] = chunk.losses.cpu().numpy()[counts]
    return result


def checked(ids: ArrayLike) -> NDArray[Any]:
    """Return ids (N,) as an array; raise ``DataError`` if there are fewer than two."""
    if isinstance(ids, torch.Tensor):
        ids = ids.numpy(force=True)
    text = check_ids(ids)
    if len(text) < 2:
        raise DataError(f"Evaluation needs at least two tokens. Received: {len(text)}")
    return text


class _Chunk(NamedTuple):
    """The scores of T tokens of each of S parts; all arrays are (S, T)."""

    losses: torch.Tensor  # nats, on the model's device
    hits: torch.Tensor  # whether the token was the likeliest one
    counts: torch.Tensor  # whether the score counts; False in the warm-up
    positions: NDArray[np.int64]  # positions of the predicted tokens, minus 1


def _read(model: LanguageModel, text: NDArray[Any], seq_len: int | None) -> Iterator[_Chunk]:
    """Read a text in S parts side by side, chunk by chunk.

    Each part reads n + W tokens. Its first W scores are a warm-up: the part before has the scores
    of these tokens. With N tokens to predict, S = 3:

        tokens  0         n         2n        3n    N
        part 0  [counts.......]     .         .
        part 1            [W--|counts.....]   .
        part 2                      [W--|counts.....]
    """
    if seq_len is not None:
        check_int("seq_len", seq_len, 1)
    targets = len(text) - 1
    s = min(_STREAMS, max(1, targets // (8 * WARM_UP)))
    n = -(-(targets - WARM_UP) // s) if s > 1 else targets  # ceil
    width = n + WARM_UP if s > 1 else n
    size = seq_len or max(1, min(64, _MAX_LOGITS // (s * model.vocab_size)))
    starts, device, state = np.arange(s)[:, None] * n, device_of(model), None
    with evaluating(model):
        for first in range(0, width, size):
            columns = np.arange(first, min(first + size, width))
            positions = starts + columns  # (S, T)
            counts = (positions < targets) & ((columns >= WARM_UP) | (starts == 0))
            x, y = (
                check_vocab_ids(text[np.minimum(positions + shift, targets)], model.vocab_size)
                for shift in (0, 1)
            )
            logits, state = model(torch.from_numpy(x).to(device), state)
            losses, hits = _scores(logits, torch.from_numpy(y).to(device))
            yield _Chunk(losses, hits, torch.from_numpy(counts).to(device), positions)


def _scores(logits: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the surprisal of each token of y (S, T), and whether it was the likeliest."""
    s, t = y.shape
    # Time first, as in our models: flattening then copies nothing.
    rows = logits.transpose(0, 1).flatten(0, 1).float()  # (T * S, V)
    targets = y.t().flatten()
    losses = F.cross_entropy(rows, targets, reduction="none").clamp(min=0)
    hits = rows.argmax(dim=-1) == targets
    return losses.view(t, s).t().contiguous(), hits.view(t, s).t()
