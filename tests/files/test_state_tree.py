"""A tree of numbers and tensors comes back from a file as it was."""

import math

import pytest
import torch

from textrnn.errors import CorruptModelError
from textrnn.files import model_file
from textrnn.files.state_tree import flatten_state, unflatten_state

TREE = {
    "numbers": [1, -2.5, math.inf, -math.inf, 10**20, True, None, "ö\ud800"],
    "nested": ({"h": (torch.arange(6.0).view(2, 3), torch.zeros(0))}, [(), {}, []]),
    "types": [
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.tensor(3, dtype=torch.int64),
        torch.tensor([0.1, 2.0], dtype=torch.bfloat16),
        torch.tensor([0.1, 2.0], dtype=torch.float16),
        torch.tensor([True, False]),
        torch.tensor([0.1], dtype=torch.float64),
        torch.ones(3, 2).t(),  # not contiguous
        torch.ones(2, requires_grad=True) * 2,  # with a graph behind it
    ],
}


def same(a, b):
    """Compare two trees, types included."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b) and not b.requires_grad
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_a_tree_survives_a_file(tmp_path):
    """Types, shapes and bits."""
    plain, arrays = flatten_state(TREE)
    model_file.save(tmp_path / "f", {"tree": plain}, arrays)
    header, tensors = model_file.load(tmp_path / "f")
    assert same(TREE, unflatten_state(header["tree"], tensors))


def test_nan_survives_too():
    """JSON has no word for it."""
    assert math.isnan(unflatten_state(*flatten_state([math.nan]))[0])


@pytest.mark.parametrize("tree", [{1: 2}, [object()], {"a": {3, 4}}], ids=str)
def test_what_a_tree_cannot_hold(tree):
    """The error names it."""
    with pytest.raises(TypeError, match=r"must .*Received: "):
        flatten_state(tree)


def test_a_tensor_that_is_missing():
    """A file that lost one is damaged."""
    plain, _ = flatten_state({"a": torch.ones(2)})
    with pytest.raises(CorruptModelError, match=r"A tensor is missing\. Received: no '0'"):
        unflatten_state(plain, {})
