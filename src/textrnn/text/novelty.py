"""Which texts are new: documents are kept as short hashes of eight bytes each."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BYTES = 8  # with a million texts and a million documents, the risk of one mistake is 1 in 10^7


def hash_documents(documents: Iterable[str]) -> NDArray[np.uint64]:
    """Return the hashes (D,) of documents, sorted and without duplicates.

    >>> hash_documents(["b", "a", "b"])
    array([3405396810240292928, 8453121595177857668], dtype=uint64)
    """
    return np.unique(_hashes(documents))


def join_hashes(
    one: NDArray[np.uint64] | None, other: NDArray[np.uint64] | None
) -> NDArray[np.uint64] | None:
    """Return the hashes that are in either of two such arrays; None stands for no hashes."""
    if one is None or other is None:
        return other if one is None else one
    return np.union1d(one, other)


def are_known(texts: Sequence[str], documents: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return (N,) whether each text is one of the documents, repeats an earlier one or is empty.

    >>> are_known(["new", "old", "new"], hash_documents(["old"])).tolist()
    [False, True, True]
    """
    hashes = _hashes(texts)
    _, first = np.unique(hashes, return_index=True)
    known = np.ones(len(hashes), dtype=bool)
    known[first] = False
    known |= [not text for text in texts]
    if len(documents):
        nearest = np.minimum(np.searchsorted(documents, hashes), len(documents) - 1)
        known |= documents[nearest] == hashes
    return known


def check_hashes(hashes: NDArray[Any] | None) -> None:
    """Raise ``ValueError`` for an array in a file that ``hash_documents`` did not make."""
    if hashes is None:
        return
    sound = hashes.dtype == np.uint64 and hashes.ndim == 1
    if not sound or not bool((hashes[1:] > hashes[:-1]).all()):
        raise ValueError("The hashes of the documents are not sorted numbers of eight bytes")


def _hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    data = (text.encode("utf-8", "surrogatepass") for text in texts)
    digests = b"".join(hashlib.blake2b(one, digest_size=_BYTES).digest() for one in data)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
