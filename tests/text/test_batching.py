"""Rows read on where they stopped, y is x shifted by one, and no pass depends on chance."""

import json
import warnings
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from textrnn.errors import DataError
from textrnn.text.batching import ContiguousBatcher

SIZES = [
    # (ids, batch_size, seq_len)
    (2, 1, 1),
    (13, 2, 3),
    (100, 1, 7),
    (101, 4, 25),
    (1000, 8, 16),
    (1001, 10, 10),
    (1003, 7, 64),
    (5000, 3, 1),
]


def rows_of(batches):
    """Put the windows of an epoch side by side again: x and y, each (rows, columns)."""
    x, y = zip(*batches, strict=True)
    return np.concatenate(x, axis=1), np.concatenate(y, axis=1)


def lists(batches):
    """Return batches as lists, for comparison."""
    return [(x.tolist(), y.tolist()) for x, y in batches]


def small(**arguments):
    """Make a batcher of 8 batches an epoch, the last one narrow, over the numbers from 0 to 149."""
    return ContiguousBatcher(np.arange(150), batch_size=4, seq_len=5, **arguments)


# -- the rows --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch_size", "seq_len"), SIZES)
def test_rows_put_together_are_the_text(n, batch_size, seq_len):
    """In every epoch the rows, end to end, are the text from the epoch's offset on."""
    ids = np.random.default_rng(0).integers(0, 250, n).astype(np.uint8)
    batcher = ContiguousBatcher(ids, batch_size=batch_size, seq_len=seq_len)
    for epoch in range(4):
        start, end = batcher.offset(epoch), batcher.offset(epoch) + batcher.tokens
        x, y = rows_of(batcher)
        assert x.shape == y.shape == (batch_size, batcher.tokens // batch_size)
        np.testing.assert_array_equal(x.ravel(), ids[start:end])
        np.testing.assert_array_equal(y.ravel(), ids[start + 1 : end + 1])
        assert batcher.epoch == epoch + 1


@pytest.mark.parametrize(("n", "batch_size", "seq_len"), SIZES)
def test_a_row_goes_on_where_it_ended(n, batch_size, seq_len):
    """Row r of a batch continues row r of the one before, and all but the last are full."""
    batcher = ContiguousBatcher(np.arange(n), batch_size=batch_size, seq_len=seq_len)
    batches = list(batcher)
    assert len(batches) == len(batcher)
    for x, y in batches:
        np.testing.assert_array_equal(y, x + 1)
    for (x, y), (following, _) in pairwise(batches):
        assert x.shape == (batch_size, seq_len)
        np.testing.assert_array_equal(following[:, 0], y[:, -1])


def test_the_drawing_in_the_docstring():
    """The example of the docstring, letter by letter."""
    batcher = ContiguousBatcher(np.array(list("abcdefghijklm")), batch_size=2, seq_len=3)
    joined = [["".join(row) for row in part] for batch in batcher for part in batch]
    assert joined == [["abc", "ghi"], ["bcd", "hij"], ["def", "jkl"], ["efg", "klm"]]


@pytest.mark.parametrize("n", range(2, 200, 3))
def test_an_epoch_reads_nearly_all(n):
    """An epoch leaves out at most a 16th of the text, and less than one token a row."""
    batcher = ContiguousBatcher(np.arange(n), batch_size=1, seq_len=1)
    for batch_size, seq_len in [(1, 1), (2, 30), (5, 9), (7, 3)]:
        if n > batch_size * seq_len:
            batcher = ContiguousBatcher(np.arange(n), batch_size=batch_size, seq_len=seq_len)
            assert 0 <= n - 1 - batcher.tokens < n / 16 + batch_size


# -- the offset ------------------------------------------------------------------------------


@pytest.mark.parametrize("seq_len", [1, 10, 64])
def test_the_offset_follows_the_golden_ratio(seq_len):
    """Epoch e of a long text begins at floor(seq_len * frac(e * 0.618...)), exactly there."""
    batcher = ContiguousBatcher(np.arange(5000), batch_size=2, seq_len=seq_len)
    expected = [int(seq_len * (epoch * 0.6180339887498949 % 1)) for epoch in range(30)]
    assert [batcher.offset(epoch) for epoch in range(30)] == expected
    assert [int(next(iter(list(batcher)))[0][0, 0]) for _ in range(30)] == expected


def test_rows_are_equally_long_in_every_epoch():
    """Every epoch has the same number of batches and tokens, wherever it is cut."""
    batcher = ContiguousBatcher(np.arange(1500), batch_size=3, seq_len=40)
    shapes = [[x.shape for x, _ in batcher] for _ in range(50)]
    assert shapes == [shapes[0]] * 50
    assert sum(rows * columns for rows, columns in shapes[0]) == batcher.tokens
    assert len({batcher.offset(epoch) for epoch in range(100)}) == 40


# -- views -----------------------------------------------------------------------------------


def test_batches_of_an_array_are_views():
    """Batches share the memory of the ids and have their type."""
    ids = np.arange(150, dtype=np.uint16)
    for x, y in ContiguousBatcher(ids, batch_size=4, seq_len=5):
        assert np.shares_memory(x, ids)
        assert np.shares_memory(y, ids)
        assert x.dtype == y.dtype == np.uint16


def test_batches_of_a_file_are_views(tmp_path):
    """A memory-mapped file is read as an array is, and never loaded."""
    np.arange(150, dtype=np.uint8).tofile(tmp_path / "ids")
    ids = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    batches = list(ContiguousBatcher(ids, batch_size=4, seq_len=5))
    assert lists(batches) == lists(small())
    assert all(np.shares_memory(part, ids) for batch in batches for part in batch)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_batches_of_a_tensor_are_views(dtype):
    """A tensor gives tensors of its type that share its memory."""
    ids = torch.arange(150).to(dtype)
    batches = list(ContiguousBatcher(ids, batch_size=4, seq_len=5))
    assert lists(batches) == lists(small())
    for x, y in batches:
        assert x.dtype == y.dtype == dtype
        assert x.untyped_storage().data_ptr() == ids.untyped_storage().data_ptr()
        assert y.untyped_storage().data_ptr() == ids.untyped_storage().data_ptr()


# -- several processes -----------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_the_shares_of_all_processes_are_the_batch(world_size):
    """The rows of all processes, one below the other, are those of a single process."""
    arguments = {"batch_size": 6, "seq_len": 7}
    single = ContiguousBatcher(np.arange(500), **arguments)
    shares = [
        ContiguousBatcher(np.arange(500), **arguments, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert {(len(share), share.tokens) for share in shares} == {(len(single), single.tokens)}
    for _ in range(3):
        for (x, y), *parts in zip(single, *shares, strict=True):
            np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), x)
            np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), y)


# -- where it is -----------------------------------------------------------------------------


@pytest.mark.parametrize("taken", range(25))
def test_resume_is_exact(taken):
    """A new batcher continues where the state was taken: within an epoch, or at its edges."""
    whole = small()
    expected = lists(batch for _ in range(3) for batch in whole)  # 24 batches
    batcher, got = small(), []
    while len(got) < taken:
        got += lists(islice(batcher, taken - len(got)))
    state = json.loads(json.dumps(batcher.state_dict()))
    again = small()
    again.load_state_dict(state)
    assert again.state_dict() == state
    while again.epoch < 3:
        got += lists(again)
    assert got == expected
    assert again.state_dict() == whole.state_dict() == {"epoch": 3, "batch": 0}


def test_resume_twice_in_one_epoch():
    """A batcher that was resumed can be left and resumed again."""
    expected = lists(small())
    batcher, got = small(), []
    for _ in range(3):
        got += lists(islice(batcher, 2))
        state = batcher.state_dict()
        batcher = small()
        batcher.load_state_dict(state)
    assert got + lists(batcher) == expected


def test_the_state_is_the_batch_that_comes_next():
    """The state has the epoch, and the number of batches of it that were given out."""
    batcher = small()
    states = [batcher.state_dict()] + [batcher.state_dict() for _ in batcher]
    assert states == [{"epoch": 0, "batch": k} for k in range(9)]
    assert batcher.state_dict() == {"epoch": 1, "batch": 0}


@pytest.mark.parametrize("left_after", [1, 3, 8])
def test_an_epoch_that_was_left_begins_again(left_after):
    """A pass that is left early counts for nothing."""
    batcher = small()
    list(batcher)
    list(islice(batcher, left_after))
    assert batcher.epoch == 1
    reference = small()
    reference.epoch = 1
    assert lists(batcher) == lists(reference)
    assert batcher.epoch == 2


def test_a_resumed_epoch_that_was_left_begins_again():
    """Only the pass right after loading begins in the middle."""
    batcher = small()
    batcher.load_state_dict({"epoch": 0, "batch": 5})
    list(islice(batcher, 1))
    assert lists(batcher) == lists(small())


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({"epoch": -1, "batch": 0}, ValueError, "`epoch` must be at least 0"),
        ({"epoch": 1.0, "batch": 0}, TypeError, "`epoch` must be a whole number"),
        ({"epoch": 0, "batch": -1}, ValueError, "`batch` must be at least 0 and at most 8"),
        ({"epoch": 0, "batch": 9}, ValueError, r"at most 8\. Received: 9"),
        ({"epoch": 0, "batch": None}, TypeError, "`batch` must be a whole number"),
    ],
)
def test_a_state_that_cannot_be(state, error, message):
    """A position that this text does not have is refused."""
    with pytest.raises(error, match=message):
        small().load_state_dict(state)


# -- short texts -----------------------------------------------------------------------------


def shrunk(targets, batch_size, seq_len, world_size=1):
    """Return the sizes for a short text: first fewer rows, then fewer columns."""
    rows = batch_size
    while rows > world_size and rows * seq_len > targets:
        rows -= world_size
    while rows * seq_len > targets:
        seq_len -= 1
    return rows, seq_len


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("n", range(3, 25))
def test_a_short_text_makes_smaller_batches(n, world_size):
    """Rows, then columns are given up until the text fills a batch, with one warning."""
    with pytest.warns(UserWarning, match="is too short for batch_size=4 and seq_len=6") as caught:
        batcher = ContiguousBatcher(
            np.arange(n), batch_size=4, seq_len=6, rank=world_size - 1, world_size=world_size
        )
    rows, columns = shrunk(n - 1, 4, 6, world_size)
    assert (batcher.batch_size, batcher.seq_len) == (rows, columns)
    (warning,) = caught
    assert str(warning.message) == (
        f"The text of {n} tokens is too short for batch_size=4 and seq_len=6; "
        f"using batch_size={rows} and seq_len={columns}."
    )
    assert warning.filename == __file__
    for _ in range(3):
        x, y = rows_of(batcher)
        assert x.shape[0] == rows // world_size
        np.testing.assert_array_equal(y, x + 1)


def test_a_text_shorter_than_one_row_is_said_so():
    """The warning comes also where columns alone are given up."""
    with pytest.warns(UserWarning, match="using batch_size=1 and seq_len=9"):
        batcher = ContiguousBatcher(np.arange(10), batch_size=1, seq_len=20)
    assert lists(batcher)[0][0] == [list(range(9))]


def test_two_tokens_are_enough():
    """The shortest text has one token to read and one to predict."""
    with pytest.warns(UserWarning, match="using batch_size=1 and seq_len=1"):
        batcher = ContiguousBatcher(np.array([7, 9]), batch_size=64, seq_len=64)
    assert lists(batcher) == lists(batcher) == [([[7]], [[9]])]


def test_a_text_that_fills_one_batch_is_not_too_short():
    """B * T + 1 tokens are enough for the sizes asked for, and there is no warning."""
    with warnings.catch_warnings(record=True) as caught:
        batcher = ContiguousBatcher(np.arange(25), batch_size=4, seq_len=6)
    assert caught == []
    assert (batcher.batch_size, batcher.seq_len, len(batcher)) == (4, 6, 1)


@pytest.mark.parametrize(("n", "world_size"), [(0, 1), (1, 1), (2, 2), (4, 4)])
def test_too_few_tokens(n, world_size):
    """Every process needs a token to read and one to predict."""
    expected = rf"must have at least {world_size + 1} tokens.* Received: {n} tokens"
    with pytest.raises(DataError, match=expected):
        ContiguousBatcher(np.arange(n), batch_size=4, seq_len=6, world_size=world_size)


# -- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, r"`batch_size` must be at least 1\. Received: 0"),
        ({"batch_size": 2.0}, TypeError, "`batch_size` must be a whole number"),
        ({"batch_size": True}, TypeError, "`batch_size` must be a whole number"),
        ({"seq_len": -1}, ValueError, r"`seq_len` must be at least 1\. Received: -1"),
        ({"seq_len": None}, TypeError, "`seq_len` must be a whole number"),
        ({"world_size": 0}, ValueError, "`world_size` must be at least 1"),
        ({"rank": 1}, ValueError, r"`rank` must be at least 0 and at most 0\. Received: 1"),
        ({"rank": -1}, ValueError, "`rank` must be at least 0"),
        ({"world_size": 3}, ValueError, "multiple of `world_size`.* batch_size=4, world_size=3"),
        ({"seqlen": 5}, TypeError, "Did you mean 'seq_len'"),
        ({"ids": [1, 2, 3]}, TypeError, r"must be a flat array or tensor.* Received: list"),
        ({"ids": np.zeros((2, 3))}, TypeError, r"must be a flat array.* Received: ndarray"),
        ({"ids": np.array(3)}, TypeError, "must be a flat array or tensor"),
        ({"ids": "abc"}, TypeError, "must be a flat array or tensor.* Received: str 'abc'"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    """Arguments of the wrong type or out of range are refused by their name."""
    with pytest.raises(error, match=message):
        ContiguousBatcher(**{"ids": np.arange(150), "batch_size": 4, "seq_len": 5} | arguments)
