"""The command line learns records and generates new ones."""

import pytest

from textrnn import load_sampler
from textrnn.cli import main

NAMES = [f"{a}{b}{c}" for a in ("an", "be", "co") for b in ("na", "li") for c in ("", "s", "ra")]
TRAIN = ["--model", "ngram", "--order", "3", "--validation-split", "0"]


def train(tmp_path, *arguments):
    """Train a small model on the command line; return its path."""
    model = str(tmp_path / "model")
    assert main(["train", *map(str, arguments), "-o", model, *TRAIN]) == 0
    return model


@pytest.fixture
def lines(tmp_path):
    """A file of names."""
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES) + "\n")
    return path


def test_new_records_come_one_a_line(tmp_path, lines, capsys):
    """``--lines``, and ``--novel``: whole ones, that are not in the file and come once."""
    model = train(tmp_path, lines, "--lines")
    assert capsys.readouterr().err.startswith("18 documents, 5 characters on average; ")
    generate = ["generate", model, "--num-return-sequences", "30", "--seed", "1"]
    assert main([*generate, "--novel", "--temperature", "1.5"]) == 0
    new = capsys.readouterr().out.splitlines()
    assert len({*new}) == len(new) == 30
    assert not {*new} & {*NAMES, ""}
    assert main(["info", model]) == 0
    assert "documents           18 different ones" in capsys.readouterr().out


def test_records_of_several_lines_stay_apart(tmp_path, capsys):
    """A line between them says where one ends."""
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(f"number\n{i}")
    model = train(tmp_path, *(tmp_path / f"{i}.txt" for i in range(4)))
    capsys.readouterr()
    assert main(["generate", model, "--num-return-sequences", "3", "--temperature", "0"]) == 0
    texts = capsys.readouterr().out.removesuffix("\n").split("\n----\n")
    assert len(texts) == 3
    assert all(text.startswith("number\n") for text in texts)


def test_files_and_folders_are_documents(tmp_path, lines):
    """However they are named: one by one, as a folder, or both."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text(f"text {i}" * 5)
    for files in ([folder], [*sorted(folder.iterdir())], [lines, folder]):
        vocab = load_sampler(train(tmp_path, *files)).vocab
        assert vocab.eot_id is not None
        assert "2" in vocab


def test_a_column(tmp_path, capsys):
    """Of a table; one that is not there is an error with those that are."""
    path = tmp_path / "table.csv"
    path.write_text("id,name\n" + "".join(f"{i},{name}\n" for i, name in enumerate(NAMES)))
    sampler = load_sampler(train(tmp_path, path, "--column", "name"))
    assert {*sampler.vocab} == {*"".join(NAMES), ""}
    capsys.readouterr()
    assert main(["train", str(path), "--column", "nam", "-o", str(tmp_path / "m")]) == 1
    assert "There is no column 'nam'; there are: 'id', 'name'." in capsys.readouterr().err


def test_unknown_tokens(tmp_path, lines, capsys):
    """The message names the flag, and the flag helps."""
    model = train(tmp_path, lines, "--lines")
    other = tmp_path / "other.txt"
    other.write_text("anna?\n")
    for command in (["evaluate", model, str(other), "--lines"], ["generate", model, "a?"]):
        assert main(command) == 1
        assert "--unknown skip" in capsys.readouterr().err
        assert main([*command, "--unknown", "skip"]) == 0


def test_the_stop_string_may_stay(tmp_path, lines, capsys):
    """With ``--include-stop`` it ends the text."""
    model = train(tmp_path, lines)
    how = ["--temperature", "0", "--stop", r"\n"]
    capsys.readouterr()
    assert main(["generate", model, "an", *how]) == 0
    cut = capsys.readouterr().out
    assert main(["generate", model, "an", *how, "--include-stop"]) == 0
    assert capsys.readouterr().out == cut + "\n"
