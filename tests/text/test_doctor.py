"""What a person is told of a text before training on it."""

import random

import pytest

from textrnn.cli import main
from textrnn.datasets import load_python_docs
from textrnn.errors import DataError
from textrnn.text.doctor import examine

NAMES = ["anna", "bert", "carla", "dora", "emil", "frida", "gustav", "hanna", "ida", "jan", "karl"]
LETTERS = "abcdefghijklmnopqrstuvwxyz      \n"


def noise(length):
    """Return letters that repeat nothing, shuffled and unsorted."""
    chance = random.Random(0)
    return "".join(chance.choice(LETTERS) for _ in range(length))


def advice(text):
    """Return all advice on a text as one string."""
    return " ".join(examine(text).advice())


@pytest.mark.slow
def test_a_good_text_needs_no_advice():
    """Long, not sorted, without copies."""
    assert advice(noise(400_000)) == ""
    report = examine(noise(400_000))
    assert (report.characters, report.distinct, report.rare) == (400_000, 28, 0)
    assert report.overlap == 0
    assert not report.is_sorted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (noise(9_000), "9,000 characters are very few"),
        (noise(100_000), "100,000 characters are few"),
        (noise(400_000) + "".join(map(chr, range(0x4E00, 0x4E40))), "64 of 92 characters occur"),
        ("the same long line over and over\n" * 20_000, "lines repeat an earlier one"),
        ("\n".join(sorted(NAMES)), "The lines are sorted"),
        (noise(400_000) + noise(40_000), "of the last tenth, which is held out for validation"),
    ],
    ids=["very few", "few", "rare", "copies", "sorted", "overlap"],
)
def test_what_is_worth_mending_is_said(text, said):
    """Each in one sentence that says what to do."""
    assert said in advice(text)


def test_every_fact_is_printed(tmp_path, capsys):
    """``textrnn check`` prints them for each file, and goes by what ``fit`` would read."""
    for name, text in (("a.txt", load_python_docs()), ("b.txt", "short\r\n" * 9)):
        (tmp_path / name).write_bytes(text.encode())
    assert main(["check", str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'a.txt'}\ncharacters  {len(load_python_docs()):,}, " in out
    assert "characters  54, 6 different ones" in out
    assert "54 characters are very few" in out
    assert main(["check", str(tmp_path / "missing.txt")]) == 1


def test_what_is_no_text_cannot_be_examined(tmp_path):
    """It is the error that ``fit`` would raise."""
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(DataError, match="is a PDF document"):
        examine(tmp_path / "x.pdf")
