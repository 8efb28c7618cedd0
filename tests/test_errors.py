"""The tree of errors, and the checks that every public door shares."""

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from textrnn import errors
from textrnn.checks import (
    check_choice,
    check_int,
    check_keywords,
    check_number,
    did_you_mean,
    named_arguments,
    plain,
)

TREE = [
    ("DataError", "TextRNNError", ValueError),
    ("VocabError", "TextRNNError", ValueError),
    ("UnknownTokenError", "VocabError", ValueError),
    ("NotFittedError", "TextRNNError", ValueError),
    ("NonFiniteError", "TextRNNError", ArithmeticError),
    ("FileFormatError", "TextRNNError", ValueError),
    ("CorruptModelError", "FileFormatError", ValueError),
    ("UnsupportedFormatError", "FileFormatError", ValueError),
]


@pytest.mark.parametrize(("name", "parent", "builtin"), TREE)
def test_each_error_stands_where_the_tree_says(name, parent, builtin):
    """An error subclasses its parent, the root and the builtin that a user would guess."""
    error = getattr(errors, name)
    assert error.__bases__[0] is getattr(errors, parent)
    assert issubclass(error, errors.TextRNNError)
    assert issubclass(error, builtin)


def test_the_tree_is_complete():
    """The table above and the drawing in the docstring name every error class there is."""
    classes = {
        name
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, errors.TextRNNError)
    }
    assert classes == {name for name, _, _ in TREE} | {"TextRNNError"}
    assert [name for name in classes if name not in errors.__doc__] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("temperture", " Did you mean 'temperature'?"),
        ("top_p", " Did you mean 'top_k'?"),
        ("temp", " Did you mean 'temperature'?"),  # as another library has it
        ("max_length", ""),  # that one is not among the options
        ("zzz", ""),
        (3, ""),
    ],
)
def test_did_you_mean(name, expected):
    """The nearest option is named, and nothing is said where none is near."""
    assert did_you_mean(name, ["temperature", "top_k"]) == expected


def test_check_choice_lists_the_options():
    """A wrong choice is answered with all options, the nearest one and what came."""
    check_choice("level", "word", ["char", "word"])
    expected = "`level` must be one of 'char', 'word'. Did you mean 'word'? Received: 'wird'"
    with pytest.raises(ValueError, match="`level` must be one of") as caught:
        check_choice("level", "wird", (option for option in ["char", "word"]))
    assert str(caught.value) == expected


@pytest.mark.parametrize("value", [["char"], {}, None, 1, math.nan])
def test_check_choice_takes_anything(value):
    """A value of another type is a wrong choice like any other, hashable or not."""
    with pytest.raises(ValueError, match="`level` must be one of 'char', 'word'"):
        check_choice("level", value, ["char", "word"])


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_check_int_gives_a_plain_int(value):
    """Whole numbers of any kind come back as the builtin int."""
    result = check_int("epochs", value, 1)
    assert result == 3
    assert type(result) is int


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float32(2), "2", None, [2], 2j])
def test_check_int_refuses_other_types(value):
    """Booleans, floats, strings and the like are a TypeError, whatever their value."""
    with pytest.raises(TypeError, match=r"`epochs` must be a whole number \(int\)\. Received: "):
        check_int("epochs", value, 1)


@pytest.mark.parametrize(
    ("value", "maximum", "bound"),
    [
        (0, None, "at least 1"),
        (-(10**30), None, "at least 1"),
        (0, 9, "at least 1 and at most 9"),
        (10, 9, "at least 1 and at most 9"),
    ],
)
def test_check_int_names_the_range(value, maximum, bound):
    """A number out of range is a ValueError that says what the range is."""
    with pytest.raises(ValueError, match=rf"^`epochs` must be {bound}\. Received: {value}$"):
        check_int("epochs", value, 1, maximum)


@pytest.mark.parametrize("value", [1, 9])
def test_check_int_includes_both_bounds(value):
    """The bounds themselves are allowed."""
    assert check_int("epochs", value, 1, 9) == value


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5)])
def test_check_number_gives_a_plain_float(value):
    """Real numbers of any kind come back as the builtin float."""
    result = check_number("top_p", value, "in (0, 1]", lambda p: 0 < p <= 1)
    assert result == 0.5
    assert type(result) is float


@pytest.mark.parametrize("value", [True, np.True_, "0.5", b"0.5", None, [0.5], 0.5j])
def test_check_number_refuses_other_types(value):
    """Booleans, strings and the like are a TypeError that says which numbers are meant."""
    with pytest.raises(TypeError, match=r"`top_p` must be a number in \(0, 1\]\. Received: "):
        check_number("top_p", value, "in (0, 1]", lambda p: 0 < p <= 1)


@pytest.mark.parametrize(
    "value", [0, 1.5, -1, math.nan, math.inf, pytest.param(10**400, id="10**400")]
)
def test_check_number_names_the_range(value):
    """A number outside of the range is a ValueError; so is one that no float holds."""
    with pytest.raises(ValueError, match=r"`top_p` must be a number in \(0, 1\]\. Received: "):
        check_number("top_p", value, "in (0, 1]", lambda p: 0 < p <= 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_check_number_wants_finite_numbers(value):
    """Infinities and NaN are refused even by a test that would let them pass."""
    with pytest.raises(ValueError, match="`x` must be a number of any size"):
        check_number("x", value, "of any size", lambda x: True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.True_, True),
        (np.str_("relu"), "relu"),
        (torch.tensor(3), 3),
        (np.array([1, 2]), [1, 2]),
        (Fraction(1, 2), 0.5),
        ({"sizes": [np.int64(3), (np.int8(4), None)]}, {"sizes": [3, (4, None)]}),
        (True, True),
        ("3", "3"),
    ],
)
def test_plain_values_are_python_s(value, expected):
    """Any library's numbers become Python's own, at any depth; the rest stays what it is."""
    assert repr(plain(value)) == repr(expected)


def test_plain_leaves_what_is_no_number():
    """What has no plain value comes back as it went in, for a check to refuse."""
    thing = object()
    assert plain(thing) is thing


def test_check_keywords_names_the_first_wrong_one():
    """The first unknown keyword is answered with the nearest one and the whole list."""
    check_keywords("fit()", ["epochs"], ["text", "epochs"])
    expected = "fit() has no argument 'epoch'. Did you mean 'epochs'? It takes: text, epochs."
    with pytest.raises(TypeError, match="has no argument 'epoch'") as caught:
        check_keywords("fit()", ["text", "epoch", "x"], (name for name in ["text", "epochs"]))
    assert str(caught.value) == expected


def test_named_arguments_keeps_the_function():
    """A decorated function has its name, docstring, signature and results."""

    def divide(a: int, b: int = 2, *, rest: bool = False) -> float:
        """Divide."""
        return a % b if rest else a / b

    checked = named_arguments(divide)
    assert (checked.__name__, checked.__doc__) == ("divide", "Divide.")
    assert inspect.signature(checked) == inspect.signature(divide)
    assert checked(7) == 3.5
    assert checked(7, b=4, rest=True) == 3


def test_named_arguments_names_the_nearest():
    """A misspelled keyword of a method is a TypeError, with the right one, and without self."""

    class Sum:
        @named_arguments
        def add(self, first, second=1):
            return first + second

    assert Sum().add(1, second=2) == 3
    expected = r"^add\(\) has no argument 'secnd'\. Did you mean 'second'\? "
    with pytest.raises(TypeError, match=expected + r"It takes: first, second\.$"):
        Sum().add(1, secnd=2)


def test_named_arguments_leaves_other_mistakes_to_python():
    """A missing argument is reported by Python itself."""
    checked = named_arguments(lambda first: first)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        checked()
