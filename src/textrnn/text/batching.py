"""Ids to (x, y): row r of batch k+1 continues row r of batch k."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from textrnn.checks import check_int, named_arguments, warn
from textrnn.errors import DataError

_GOLDEN = (math.sqrt(5) - 1) / 2


class ContiguousBatcher:
    """Cuts a long text into batches that a recurrent model can read without a break.

    The text is laid out as ``batch_size`` parallel rows, each a contiguous part of it; batch k
    is the k-th window of ``seq_len`` columns. So row r of batch k+1 continues row r of batch k,
    and the state can be carried from batch to batch:

        text    a b c d e f g h i j k l m         batch_size=2, seq_len=3
        row 0   a b c | d e f                     x of batch 0: a b c / g h i
        row 1   g h i | j k l                     y of batch 0: b c d / h i j

    One pass over the batcher is one epoch. The last batch of an epoch is narrower if ``seq_len``
    does not divide the length of the rows. Epoch e leaves out the first ``offset(e)`` ids, so that
    the cuts between windows move with every epoch; the rows stay equally long.

    Nothing is copied or gathered: x and y are views of ``ids``, so a memory-mapped file works,
    and so does a tensor on a GPU. They have the dtype of ``ids``: for a training loop by hand, pass
    ``torch.from_numpy(vocab.encode(text)).long()`` to get int64 tensors.

    Args:
        ids: (N,) whole numbers, a NumPy array or a torch tensor, N at least 2.
        batch_size: rows read side by side, over all processes together.
        seq_len: columns of a batch, the number of steps that gradients flow back.
        reorder: a function from the number of an epoch to its ids: the same ones in another
            order. None: every epoch reads ``ids`` as they are.
        rank: the number of this process, from 0; each takes its share of the rows.
        world_size: the number of processes; ``batch_size`` must be a multiple of it.

    Attributes:
        batch_size: as used; smaller than asked for if the text is too short, which causes a
            warning.
        seq_len: likewise.
        epoch: the number of the next epoch, 0 at first.

    Raises:
        DataError: fewer than two ids.

    >>> import numpy as np
    >>> batcher = ContiguousBatcher(np.arange(13), batch_size=2, seq_len=3)
    >>> for x, y in batcher:
    ...     print(x.tolist(), y.tolist())
    [[0, 1, 2], [6, 7, 8]] [[1, 2, 3], [7, 8, 9]]
    [[3, 4, 5], [9, 10, 11]] [[4, 5, 6], [10, 11, 12]]
    """

    @named_arguments
    def __init__(
        self,
        ids: Any,
        *,
        batch_size: int,
        seq_len: int,
        reorder: Callable[[int], Any] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        check_int("world_size", world_size, 1)
        self.rank = check_int("rank", rank, 0, world_size - 1)
        self.world_size = world_size
        if check_int("batch_size", batch_size, 1) % world_size:
            raise ValueError(
                "`batch_size` must be a multiple of `world_size`, so that every process has as "
                f"many rows. Received: batch_size={batch_size}, world_size={world_size}"
            )
        check_int("seq_len", seq_len, 1)
        if getattr(ids, "ndim", None) != 1:
            raise TypeError(
                "`ids` must be a flat array or tensor, as Vocab.encode returns it. "
                f"Received: {type(ids).__name__} {ids!r:.60}"
            )
        self._ids, self._reorder = ids, reorder
        targets = len(ids) - 1
        self.batch_size, self.seq_len = self._fit_to(targets, batch_size, seq_len)
        # At most a 16th of the text is left out at the start of an epoch.
        self._offsets = 1 + min(self.seq_len - 1, (targets - self.batch_size) // 16)
        self._row_len = (targets - self._offsets + 1) // self.batch_size
        self.epoch = 0
        self._position = 0  # batches of this epoch that were yielded
        self._first = 0  # where the next pass begins

    def _fit_to(self, targets: int, batch_size: int, seq_len: int) -> tuple[int, int]:
        """Return the largest sizes that the text fills, at most those asked for."""
        if targets < self.world_size:
            raise DataError(
                f"The text must have at least {self.world_size + 1} tokens, so that every row "
                f"has one to read and one to predict. Received: {targets + 1} tokens"
            )
        rows = max(1, min(batch_size, targets // seq_len) // self.world_size) * self.world_size
        columns = min(seq_len, targets // rows)
        if (rows, columns) != (batch_size, seq_len):
            warn(
                f"The text of {targets + 1} tokens is too short for batch_size={batch_size} and "
                f"seq_len={seq_len}; using batch_size={rows} and seq_len={columns}.",
            )
        return rows, columns

    def __repr__(self) -> str:
        sizes = f"batch_size={self.batch_size}, seq_len={self.seq_len}"
        return f"ContiguousBatcher({len(self._ids):,} ids, {sizes}, {len(self):,} batches)"

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-self._row_len // self.seq_len)

    @property
    def tokens(self) -> int:
        """The number of ids that one epoch predicts, over all processes together."""
        return self.batch_size * self._row_len

    def offset(self, epoch: int) -> int:
        """Return the number of ids that an epoch leaves out at the start.

        It is ``floor(S * frac(e * 0.618...))`` for epoch e, where S is ``seq_len`` (less for a
        short text). With the golden ratio the cuts of any number of epochs are well apart.
        Epoch 0 leaves nothing out.
        """
        return int(self._offsets * math.modf(epoch * _GOLDEN)[0])

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield the (x, y) of one epoch, each (batch_size / world_size, up to seq_len).

        A pass that is left early does not count: the next one begins the same epoch again.
        """
        start, length = self.offset(self.epoch), self.batch_size * self._row_len
        share = self.batch_size // self.world_size
        rows = slice(self.rank * share, (self.rank + 1) * share)
        ids = self._ids if self._reorder is None else self._reorder(self.epoch)
        x = ids[start : start + length].reshape(self.batch_size, -1)[rows]
        y = ids[start + 1 : start + 1 + length].reshape(self.batch_size, -1)[rows]
        first, self._first = self._first, 0
        for k in range(first, len(self)):
            self._position = k + 1
            window = slice(k * self.seq_len, (k + 1) * self.seq_len)
            yield x[:, window], y[:, window]
        self.epoch += 1
        self._position = 0

    def state_dict(self) -> dict[str, int]:
        """Return the position in the text: the epoch, and its next batch."""
        return {"epoch": self.epoch, "batch": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position that ``state_dict`` returned; the next pass begins there.

        >>> import numpy as np
        >>> batcher = ContiguousBatcher(np.arange(13), batch_size=2, seq_len=3)
        >>> batcher.load_state_dict({"epoch": 0, "batch": 1})
        >>> [x.tolist() for x, y in batcher]
        [[[3, 4, 5], [9, 10, 11]]]
        """
        self.epoch = check_int("epoch", state["epoch"], 0)
        self._first = self._position = check_int("batch", state["batch"], 0, len(self))
