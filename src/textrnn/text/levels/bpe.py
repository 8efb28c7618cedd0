r"""Level "bpe": a token is a frequent run of bytes, by byte-pair encoding (Sennrich et al. 2016).

The tokens are the 256 bytes, and runs that were merged from two earlier tokens, the most frequent
pair first. A text is cut into pieces: a word with the space before it, a number, signs, white
space. In each piece the two neighbours that make the earliest token are merged, until no merge is
left. So the list of tokens, in its order, is all there is to save.
"""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int
from textrnn.text.levels.base import Level
from textrnn.text.levels.byte import BYTES, UTF8Decoder, check_bytes, to_bytes, to_token, to_utf8
from textrnn.text.tokenizer import Decoder
from textrnn.text.tokens import smallest_uint

if TYPE_CHECKING:
    import regex

SIZE = 4096
"""The number of tokens if ``max_size`` is None."""

_LONGEST = 32  # the most characters of a piece, so that encoding it is fast
_PIECE = (
    rf" ?[\p{{L}}\p{{M}}]{{1,{_LONGEST}}}| ?\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]{{1,{_LONGEST}}}|\s{{1,{_LONGEST}}}(?!\S)|\s"
)
_BORDER = re.compile(r"(?s:.*)\S(?=[ \n])")
_MOST_PIECES = 50_000  # the most different pieces to learn from
_MOST_CACHED = 1 << 18


def _is_piece(token: str) -> bool:
    try:
        return 0 < len(to_bytes(token)) <= 4 * (_LONGEST + 1)
    except UnicodeEncodeError:  # a surrogate that is not a byte
        return False


class BPELevel(Level):
    """Cuts a text into runs of bytes that were frequent in the text of the vocabulary."""

    form = "1 to 132 bytes"
    complete = True
    limits: Mapping[str, int] = {"max_size": SIZE, "min_freq": 2}

    def misfits(self, tokens: Sequence[object]) -> list[object]:
        """Return those that do not stand for bytes that a piece can have."""
        return [token for token in tokens if not isinstance(token, str) or not _is_piece(token)]

    def cut(self, text: str) -> Sequence[str]:
        """Return the pieces of a text within which bytes are merged."""
        pieces: list[str] = _pieces().findall(text)
        return pieces

    def border(self, text: str) -> int:
        """Return the place before the last space or line break after a visible character."""
        match = _BORDER.match(text)
        return match.end() if match else 0

    def collect(
        self, texts: Iterable[str], max_size: int | None, min_freq: int
    ) -> tuple[list[str], bool]:
        """Learn tokens from texts: the 256 bytes, and merged runs.

        Args:
            texts: the texts in which pairs are counted.
            max_size: the number of tokens, at least 256; None for ``SIZE``.
            min_freq: a pair must occur at least this often.
        """
        size = SIZE if max_size is None else check_int("max_size", max_size, 256)
        pieces = Counter(chain.from_iterable(map(self.cut, texts)))
        counts = {to_utf8(piece): n for piece, n in pieces.most_common(_MOST_PIECES)}
        return [to_token(token) for token in learn_tokens(counts, size, min_freq)], False

    def encoder(self, tokens: Sequence[str], missing: int) -> Callable[[str], NDArray[Any]]:
        """Return a function from a text to ids (N,)."""
        check_bytes(tokens)
        return _Encoder({to_bytes(token): i for i, token in enumerate(tokens)}, missing)

    def decoder(self, tokens: Sequence[str], after: int | None) -> Decoder:
        """Return a decoder that holds back incomplete characters."""
        return UTF8Decoder(tokens)


class _Encoder:
    """Turns a text into ids, each different piece of it only once.

    Args:
        ranks: the id of each token.
        missing: a number above all ids.
    """

    def __init__(self, ranks: Mapping[bytes, int], missing: int) -> None:
        self._ranks, self._dtype = ranks, smallest_uint(missing)
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> NDArray[Any]:
        pieces, known = _pieces().findall(text), self._known
        if len(known) > _MOST_CACHED:
            known = self._known = {}
        for piece in set(pieces).difference(known):
            known[piece] = merge(to_utf8(piece), self._ranks)
        return np.fromiter(chain.from_iterable(known[piece] for piece in pieces), self._dtype)


def merge(piece: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Return the ids of a piece.

    >>> merge(b"banana", {b"a": 0, b"b": 1, b"n": 2, b"an": 3, b"ana": 4})
    [1, 3, 4]
    """
    if piece in ranks:
        return [ranks[piece]]
    parts, none = [piece[i : i + 1] for i in range(len(piece))], len(ranks)
    while len(parts) > 1:
        made = [ranks.get(a + b, none) for a, b in pairwise(parts)]
        best = min(made)
        if best == none:
            break
        at = made.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [ranks[part] for part in parts]


def learn_tokens(counts: Mapping[bytes, int], size: int, min_freq: int) -> list[bytes]:
    """Return the single bytes and the learned tokens, in the order of learning.

    Args:
        counts: how often each piece of the text occurs.
        size: the most tokens to return.
        min_freq: how often a pair must occur to become a token.

    >>> learn_tokens({b"low": 5, b"lower": 2, b"new": 3}, 258, 2)[256:]
    [b'lo', b'low']
    """
    tokens = [to_bytes(token) for token in BYTES]
    ids = {token: i for i, token in enumerate(tokens)}
    words, number = [list(piece) for piece in counts], list(counts.values())
    pairs: Counter[tuple[int, int]] = Counter()
    where: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for w, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += number[w]
            where[pair].add(w)
    heap = [(-n, pair) for pair, n in pairs.items()]
    heapq.heapify(heap)
    while heap and len(tokens) < size:
        n, pair = heapq.heappop(heap)
        if pairs[pair] != -n:  # it has become rarer
            heapq.heappush(heap, (-pairs[pair], pair))
            continue
        if -n < min_freq or n == 0:
            break
        token = tokens[pair[0]] + tokens[pair[1]]
        if (new := ids.setdefault(token, len(tokens))) == len(tokens):
            tokens.append(token)
        changed: set[tuple[int, int]] = set()
        for w in where.pop(pair):
            for old in pairwise(words[w]):
                pairs[old] -= number[w]
            words[w] = _replace(words[w], pair, new)
            for made in pairwise(words[w]):
                pairs[made] += number[w]
                where[made].add(w)
                if new in made:
                    changed.add(made)
        for made in changed:
            heapq.heappush(heap, (-pairs[made], made))
    return tokens


def _replace(word: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Return a word with a pair of ids put together, from left to right."""
    result, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            result.append(new)
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result


@cache
def _pieces() -> "regex.Pattern[str]":
    import regex

    return regex.compile(_PIECE)
