"""What the command line takes for a text."""

import os
import subprocess
import sys

import pytest

from textrnn import TextGenerator, load_sampler
from textrnn.cli import main


def test_train_and_evaluate_in_another_encoding(tmp_path, capsys):
    """``--encoding`` reads what the message without it advises."""
    path, model = tmp_path / "w.txt", str(tmp_path / "m")
    path.write_bytes("déjà vu\r\n".encode("cp1252") * 60)
    arguments = ["train", str(path), "-o", model, "--model", "ngram", "--order", "3"]
    assert main(arguments) == 1
    assert "--encoding cp1252" in capsys.readouterr().err
    assert main([*arguments, "--encoding", "cp1252"]) == 0
    assert set(load_sampler(model).vocab) == set("déjà vu\n")
    assert main(["evaluate", model, str(path), "--encoding", "cp1252"]) == 0
    assert main(["evaluate", model, str(path), "--encoding", "cp12525"]) == 1
    assert "unknown encoding: cp12525" in capsys.readouterr().err


@pytest.fixture
def cats(tmp_path):
    """A model of two sentences."""
    path = tmp_path / "cats"
    gen = TextGenerator("ngram", order=5)
    gen.fit("the cat sat on the mat.\nthe dog ran.\n" * 30, verbose=0)
    gen.save(path)
    return str(path)


def run(*arguments, **options):
    """Run the command in a process of its own, where no terminal is."""
    command = [sys.executable, "-m", "textrnn", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


def test_stop_strings_have_escapes(cats, capsys):
    """What a shell cannot write easily; one that can never occur is an error."""
    assert main(["generate", cats, "the cat", "--stop", r"\n", "--seed", "0"]) == 0
    assert capsys.readouterr().out == "the cat sat on the mat.\n"
    assert main(["generate", cats, "the cat", "--stop", "END"]) == 1
    assert "--stop 'END' can never occur: 'E' (U+0045)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_line_break_of_echo_is_no_part_of_the_prompt(cats, end):
    """Nor is the one of Windows."""
    done = run("generate", cats, "-", "-n", "4", "--temperature", "0", input=b"the cat" + end)
    assert (done.returncode, done.stdout) == (0, b"the cat sat\n")


@pytest.mark.slow
def test_what_goes_to_a_file_is_utf8(tmp_path):
    """Whatever the locale says; only a terminal decides for itself."""
    gen = TextGenerator("ngram", order=3)
    gen.fit("привет мир\n" * 20, verbose=0)
    gen.save(tmp_path / "m")
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = ["generate", str(tmp_path / "m"), "-", "-n", "4", "--temperature", "0"]
    done = run(*arguments, env=env, input="привет".encode())
    assert done.stdout.decode() == "привет мир\n"


def test_a_saved_model_is_trained_further(tmp_path, capsys):
    """With the tokens of the new text, into another file; nothing of the model can be changed."""
    text, more = tmp_path / "t.txt", tmp_path / "u.txt"
    text.write_text("hello world\n" * 120)
    more.write_text("a quick text\n" * 120)
    old, new = str(tmp_path / "m"), str(tmp_path / "n")
    assert main(["train", str(text), "-o", old, "--epochs", "1", "--hidden-size", "8"]) == 0
    assert main(["train", str(more), "--from", old, "-o", new, "--epochs", "1"]) == 0
    before, after = load_sampler(old), load_sampler(new)
    assert list(after.vocab)[: len(before.vocab)] == list(before.vocab)
    assert "q" in after.vocab
    assert after.header["model"]["parts"][0]["hidden_size"] == 8
    assert main(["train", str(more), "--from", old, "-o", new, "--hidden-size", "9"]) == 1
    assert "--from takes the model as it is; leave out --hidden-size" in capsys.readouterr().err


def test_rare_tokens_are_left_out(tmp_path, capsys):
    """``--min-freq`` and ``--max-size`` do what they do in Python, whatever the level."""
    text, model = tmp_path / "t.txt", str(tmp_path / "m")
    strays = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    text.write_text("the cat sat on the mat.\n" * 300 + strays, encoding="utf-8")
    train = ["train", str(text), "-o", model, "--model", "ngram", "--order", "3"]
    assert main(train) == 0
    said = "300 of 312 characters occur once or twice: vocab=Vocab.from_text(text, min_freq=3)"
    assert said in capsys.readouterr().err
    assert main([*train, "--min-freq", "3"]) == 0
    assert [*load_sampler(model).vocab] == [*"\n .acehmnost", "<unk>"]
    assert "once or twice" not in capsys.readouterr().err
    assert main([*train, "--level", "word", "--max-size", "3"]) == 0
    assert [*load_sampler(model).vocab] == ["\n", ".", "the", "<unk>"]
    assert main([*train, "--level", "byte", "--min-freq", "3"]) == 1
    assert "Level 'byte' always has 256 tokens" in capsys.readouterr().err
    assert main([*train[:4], "--from", model, "--min-freq", "3"]) == 1
    assert "--from takes the model as it is; leave out --min-freq" in capsys.readouterr().err
