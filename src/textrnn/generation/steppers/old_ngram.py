"""N-gram models in files of textrnn 0.1.0: four tables per level.

Level k holds the tokens that followed the contexts of k tokens. A context is read from its newest
token backwards: the context of k+1 tokens (t, n) is the token t before the context n of level k.
Level k+1's ``contexts`` lists them as n * V + t, in ascending order. Context n was followed by
``tokens[starts[n] : starts[n + 1]]``, ``counts`` times each.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textrnn.errors import CorruptModelError
from textrnn.generation.steppers.base import Layout, Tensors, config_choice, config_int
from textrnn.generation.steppers.trie import Level, Trie

_TYPES = {"contexts": np.int64, "starts": np.int64, "tokens": np.int32, "counts": np.int32}
_FIRST = "levels.0.contexts"


class _Contexts(NamedTuple):
    """The contexts of one level, (C,) each."""

    newest: NDArray[np.int64]  # the last token
    shorter: NDArray[np.int64]  # the context without that token, in the level before
    places: NDArray[np.int64]  # the place among all n-grams of this length, in order


def is_old(tensors: Mapping[str, Any]) -> bool:
    """Return whether the tensors of an n-gram model are those of textrnn 0.1.0."""
    return _FIRST in tensors


def layout(config: Mapping[str, Any]) -> Layout:
    """Return the tensors that a model with this config had."""
    config_int(config, "vocab_size")
    config_choice(config["smoothing"], ("witten_bell", None))
    for k in range(config_int(config, "order")):
        yield from ((f"levels.{k}.{name}", None, kind) for name, kind in _TYPES.items())


def upgrade(config: Mapping[str, Any], tensors: Tensors) -> dict[str, NDArray[Any]]:
    """Return the tensors of today's model with the same counts.

    Raises:
        CorruptModelError: the tables contradict each other.
    """
    v, order = config["vocab_size"], config["order"]
    zero = np.zeros(1, dtype=np.int64)
    contexts, levels = _Contexts(zero, zero, zero), list[Level]()
    pairs = entries = found = np.zeros(0, dtype=np.int64)  # of the level before
    for k in range(order):
        old_pairs, (pairs, starts, tokens, counts) = pairs, _table(k, v, tensors)
        if k:
            suffix, oldest = np.divmod(pairs, v)
            _check(k, bool((suffix < len(contexts.newest)).all()))
            newest = contexts.newest[suffix] if k > 1 else oldest
            shorter = contexts.shorter[suffix] * v + oldest
            shorter = _find(k, old_pairs, shorter) if k > 1 else np.zeros_like(suffix)
            contexts = _Contexts(newest, shorter, found[_find(k, entries, shorter * v + newest)])
        owner = np.repeat(np.arange(len(pairs)), np.diff(starts))
        entries, keys = owner * v + tokens, contexts.places[owner] * v + tokens
        order_of_keys = np.argsort(keys)
        found = np.empty(len(keys), dtype=np.int64)
        found[order_of_keys] = np.arange(len(keys))
        parents, last = np.divmod(keys[order_of_keys], v)
        levels.append(Level(parents, last, counts[order_of_keys].astype(np.int64)))
    return Trie.from_levels(levels, v, np.ones(order, dtype=np.uint8)).to_tensors()


def _table(k: int, vocab_size: int, tensors: Tensors) -> tuple[NDArray[Any], ...]:
    """Return the four tables of a level."""
    contexts, starts, tokens, counts = (tensors[f"levels.{k}.{name}"] for name in _TYPES)
    if not len(starts):  # nothing was counted
        starts = np.zeros(len(contexts) + 1, dtype=np.int64)
    whole = (
        len(starts) == len(contexts) + 1
        and starts[0] == 0
        and starts[-1] == len(tokens) == len(counts)
        and bool((starts[1:] > starts[:-1]).all() or len(tokens) == 0)
        and bool((contexts[1:] > contexts[:-1]).all() and (contexts >= 0).all())
        and bool(((tokens >= 0) & (tokens < vocab_size) & (counts > 0)).all())
    )
    _check(k, whole)
    return contexts, starts, tokens, counts


def _find(k: int, table: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of numbers in an ascending table, which must hold them."""
    at = np.minimum(np.searchsorted(table, wanted), max(len(table) - 1, 0))
    _check(k, not len(wanted) or (len(table) > 0 and bool((table[at] == wanted).all())))
    return at


def _check(k: int, whole: bool) -> None:
    if not whole:
        raise CorruptModelError(
            f"The n-gram tables of level {k} contradict each other; the file is damaged. "
            "Received: tables that no text has"
        )
