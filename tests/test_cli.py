"""The command line: what it prints, where, and with which exit status."""

import io
import os
import re
import subprocess
import sys

import pytest
import torch

import textrnn
from textrnn import TextGenerator
from textrnn.cli import main
from textrnn.datasets import load_human_numbers, load_python_docs
from textrnn.evaluation import metrics, ngram_baseline
from textrnn.generation.native.library import backend_name
from textrnn.models.registry import MODELS

SMALL = ["--hidden-size", "8", "--epochs", "1", "--device", "cpu", "--seed", "0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a text, a model of it, and files that are neither."""
    folder = tmp_path_factory.mktemp("cli")
    text = load_human_numbers(1, 110)
    (folder / "text.txt").write_text(text)
    (folder / "latin.txt").write_bytes("é".encode("latin-1") * 50)
    gen = TextGenerator("ngram", order=3, seed=0)
    gen.fit(text, verbose=0)
    gen.save(folder / "model")
    emoji = TextGenerator("ngram", order=2, seed=0)
    emoji.fit("🙂🙃" * 50, verbose=0)
    emoji.save(folder / "emoji")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    """Make that folder the working directory."""
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that puts bytes on standard input."""

    def put(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))

    return put


def python(*arguments, **environment):
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


# train


@pytest.mark.slow
@pytest.mark.parametrize("model", list(MODELS))
def test_train_saves_a_model(here, tmp_path, capsys, model):
    """``train`` writes a file that loads, its progress on standard error, nothing on the other."""
    output = tmp_path / "model"
    arguments = ["--epochs", "1", "--order", "2"] if model == "ngram" else SMALL
    arguments = [*arguments, "--window", "3"] if "window" in model else arguments
    assert main(["train", "text.txt", "-o", str(output), "--model", model, *arguments]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 1/1" in err
    assert err.endswith(f"Saved as {output}.\n")
    loaded = TextGenerator.load(output)
    assert type(loaded.model) is MODELS[model]
    assert loaded.model.config.get("window", 3) == 3
    assert set(loaded.vocab.itos) == set(load_human_numbers(1, 110))


@pytest.mark.slow
def test_train_hands_on_every_option(here, tmp_path, capsys):
    """What the options say stands in the headline, and in the saved model's config and history."""
    options = [
        *("--epochs", "2", "--model", "gru", "--level", "word", "--hidden-size", "6"),
        *("--num-layers", "2", "--dropout", "0.25", "--learning-rate", "0.125"),
        *("--batch-size", "2", "--seq-len", "16", "--validation-split", "0", "--seed", "3"),
    ]
    assert main(["train", "text.txt", "-o", str(tmp_path / "m"), "--device", "cpu", *options]) == 0
    err = capsys.readouterr().err
    loaded = TextGenerator.load(tmp_path / "m")
    config = {"hidden_size": 6, "num_layers": 2, "dropout": 0.25}
    assert loaded.model.config.items() >= config.items()
    assert loaded.level == "word"
    assert loaded.history.epoch == [0, 1]
    assert "val_loss" not in loaded.history.history
    assert "learning_rate=0.125, batch_size=2, seq_len=16" in err


def test_train_with_a_seed_is_repeatable(here, tmp_path):
    """Two runs with one seed save equal weights, a third with another seed does not."""
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        arguments = [*SMALL[:-1], seed]
        assert main(["train", "text.txt", "-o", str(tmp_path / name), *arguments]) == 0
    a, b, c = (TextGenerator.load(tmp_path / n).model.state_dict() for n in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["parts.0.head.weight"], c["parts.0.head.weight"])


@pytest.mark.slow
def test_train_for_minutes(here, tmp_path, capsys):
    """``--minutes`` is a budget instead of epochs."""
    arguments = ["--minutes", "0.002", "--hidden-size", "8", "--device", "cpu"]
    assert main(["train", "text.txt", "-o", str(tmp_path / "m"), *arguments]) == 0
    assert re.search(r"^epoch 1  loss", capsys.readouterr().err, re.MULTILINE)


def test_train_from_standard_input(tmp_path, stdin):
    """``-`` reads UTF-8 from standard input, whatever the locale, and drops a byte order mark."""
    stdin(b"\xef\xbb\xbf" + "fünf\n".encode() * 20)
    arguments = ["--model", "ngram", "--order", "2"]
    assert main(["train", "-", "-o", str(tmp_path / "m"), *arguments]) == 0
    assert TextGenerator.load(tmp_path / "m").vocab.itos == ["\n", "f", "n", "ü"]


def test_train_prints_samples(here, tmp_path, capsys):
    """``--sample`` prints a text that begins with the prompt after each epoch."""
    arguments = ["--sample", "one ", *SMALL]
    assert main(["train", "text.txt", "-o", str(tmp_path / "m"), *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("one ")
    assert len(out) == len("one ") + 200 + 1
    assert "one " not in err


# generate, evaluate, info


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["one", "-n", "30"], {"prompt": "one", "max_new_tokens": 30}),
        (["--temperature", "0"], {"temperature": 0}),
        (
            ["--top-k", "2", "--top-p", "0.9", "--min-p", "0.1"],
            {"top_k": 2, "top_p": 0.9, "min_p": 0.1},
        ),
        (["--repetition-penalty", "1.5"], {"repetition_penalty": 1.5}),
        (["--stop", "y", "--stop", "\n"], {"stop_strings": ["y", "\n"]}),
    ],
)
def test_generate_writes_what_the_generator_writes(here, capsys, arguments, settings):
    """Standard output is the text that the same settings give in Python, and a line break."""
    assert main(["generate", "model", *arguments, "--seed", "4"]) == 0
    text = TextGenerator.load("model").generate(**settings, seed=4)
    assert capsys.readouterr() == (text + "\n", "")


def test_the_prompt_may_stand_after_the_options(here, capsys):
    """The order of options and prompt does not matter."""
    assert main(["generate", "model", "-n", "9", "--seed", "4", "one"]) == 0
    text = TextGenerator.load("model").generate("one", 9, seed=4)
    assert capsys.readouterr().out == text + "\n"


def test_generate_several_texts(here, capsys):
    """Several texts are the ones that Python gives, with a rule between them."""
    arguments = ["one", "-n", "9", "--num-return-sequences", "3", "--seed", "4"]
    assert main(["generate", "model", *arguments]) == 0
    texts = TextGenerator.load("model").generate("one", 9, num_return_sequences=3, seed=4)
    assert capsys.readouterr().out == "\n----\n".join(texts) + "\n"


def test_generate_from_standard_input(here, capsys, stdin):
    """``-`` reads the prompt from standard input."""
    stdin(b"one\ntwo")
    assert main(["generate", "model", "-", "-n", "5", "--seed", "4"]) == 0
    text = TextGenerator.load("model").generate("one\ntwo", 5, seed=4)
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize("source", ["text.txt", "-"])
def test_evaluate_prints_the_metrics(here, capsys, stdin, source):
    """A line for each quantity of ``TextGenerator.evaluate``, from a file or standard input."""
    stdin((here / "text.txt").read_bytes())
    assert main(["evaluate", "model", source]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    result = TextGenerator.load("model").evaluate(load_human_numbers(1, 110))
    assert lines == {name: f"{value:.4f}" for name, value in result.items()}


def test_info_says_what_a_file_holds(here, capsys):
    """The models and their arguments, the vocabulary, the size and the last epoch's numbers."""
    assert main(["info", "model"]) == 0
    out = capsys.readouterr().out.splitlines()
    lines = dict(line.split(maxsplit=1) for line in out)
    gen = TextGenerator.load("model")
    numbers = sum(tensor.numel() for tensor in gen.model.state_dict().values())
    assert lines["model"] == "ngram"
    assert lines["order"] == "3"
    assert lines["vocabulary"] == f"{len(gen.vocab)} tokens, level char"
    assert lines["numbers"] == f"{numbers:,} in the tensors"
    assert lines["epochs"] == "1"
    assert lines["val_loss"].startswith(f"{gen.history.history['val_loss'][0]:.4f}")


# demo


@pytest.mark.slow
def test_demo(tmp_path, monkeypatch, capsys):
    """``demo`` trains, compares with the best n-gram, writes a text and saves the model."""
    text = load_python_docs()[:20_000]
    monkeypatch.setattr("textrnn.datasets.load_python_docs", lambda: text)
    output = tmp_path / "demo"
    assert main(["demo", "--minutes", "0.02", "-o", str(output)]) == 0
    out, err = capsys.readouterr()
    gen = TextGenerator.load(output)
    cut = int(len(text) * 0.9)
    train, valid = gen.vocab.encode(text[:cut]), gen.vocab.encode(text[cut:])
    order, loss = ngram_baseline(train, valid, len(gen.vocab))
    assert out.startswith("The text: Python's language reference, 20,000 characters.")
    bits = gen.evaluate(text[cut:])["bits_per_char"]
    floor = metrics(loss)["bits_per_char"]
    assert re.search(rf"^ +LSTM and counts, mixed +{bits:.3f}$", out, re.MULTILINE)
    assert re.search(rf"^ +the best n-gram, of order {order} +{floor:.3f}$", out, re.MULTILINE)
    assert gen.generate("The ", 600, temperature=0.7, seed=0) in out
    assert out.endswith(f'Try: textrnn generate {output} "If "\n')
    assert err.endswith(f"Saved as {output}.\n")


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nothing"], "No such file or directory: nothing"),
        (["generate", "text.txt"], "not a textrnn model file"),
        (["generate", "."], "Is a directory"),
        (["generate", "model", "ONE"], "'O' (U+004F) at index 0"),
        (["generate", "model", "--temperature", "-1"], "`temperature` must be a number"),
        (["generate", "model", "--temperature", "nan"], "`temperature` must be a number"),
        (["generate", "model", "-n", "-1"], "`max_new_tokens` must be at least 0"),
        (["generate", "model", "--num-return-sequences", "0"], "`num_return_sequences` must be"),
        (["generate", "model", "--stop", ""], "`stop_strings` must be a non-empty str"),
        (["evaluate", "model", "latin.txt"], "not UTF-8: byte 0xe9 at byte offset 0"),
        (["evaluate", "model", "-"], "The text is empty"),
        (["evaluate", "model", "text.txt", "--device", "tpu"], "`device` must be 'auto' or"),
        (["info", "nothing"], "No such file or directory: nothing"),
        (["info", "text.txt"], "not a textrnn model file"),
        (["train", "nothing", "-o", "x"], "No such file or directory: nothing"),
        (["train", "text.txt", "-o", "x", "--model", "lstn"], "Did you mean 'lstm'?"),
        (["train", "text.txt", "-o", "x", "--level", "words"], "Did you mean 'word'?"),
        (["train", "text.txt", "-o", "x", "--window", "3"], "no argument 'window'"),
        (["train", "text.txt", "-o", "x", "--epochs", "0"], "`epochs` must be at least 1"),
        (["train", "text.txt", "-o", "x", "--minutes", "0"], "`minutes` must be a number"),
        (["train", "text.txt", "-o", "x", "--learning-rate", "nan"], "`learning_rate` must be"),
        (["train", "text.txt", "-o", "x", "--validation-split", "1"], "`validation_split` must"),
        (["train", "-", "-o", "x"], "The text is empty"),
        (["demo", "--minutes", "0", "-o", "x"], "`minutes` must be a number above 0"),
    ],
)
def test_errors_are_one_line(here, capsys, stdin, arguments, message):
    """An error is one line on standard error, exit status 1, and no file is written."""
    stdin(b"")
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("textrnn: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (here / "x").exists()


@pytest.mark.parametrize("command", [["train", "-", "-o", "x"], ["generate", "model", "-"]])
def test_standard_input_that_is_not_utf8(here, capsys, stdin, command):
    """The bad byte and its offset are named."""
    stdin(b"one\xff")
    assert main(command) == 1
    message = "textrnn: Standard input is not UTF-8: byte 0xff at byte offset 3.\n"
    assert capsys.readouterr() == ("", message)


def test_no_allowed_token_is_an_error(here, capsys):
    """An empty list allows nothing, which is not the same as no list."""
    assert main(["generate", "model", "one", "--allowed-tokens", ""]) == 1
    assert "allowed_tokens" in capsys.readouterr().err
    assert main(["generate", "model", "one", "-n", "3", "--suppress-tokens", ""]) == 0


def test_debug_shows_the_traceback(here):
    """With ``--debug`` the error itself comes out."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        main(["--debug", "generate", "nothing"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "text.txt"], "required: -o/--output"),
        (
            ["train", "text.txt", "-o", "x", "--epochs", "many"],
            "invalid int value: 'many'",
        ),
        (["train", "a", "-o", "x", "--epochs", "1", "--minutes", "1"], "not allowed with argument"),
        (["generate", "model", "--temprature", "1"], "unrecognized arguments: --temprature 1"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, message):
    """Wrong usage is one line on standard error that names ``--help``, and exit status 2."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("textrnn")
    assert message in err
    assert err.endswith("--help)\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["demo", "train", "generate", "evaluate", "info"])
def test_every_command_has_help(capsys, command):
    """``--help`` of a command ends with exit status 0 and names its arguments."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    assert f"usage: textrnn {command}" in capsys.readouterr().out


def test_version(capsys):
    """``--version`` is the package's, and says what generates."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"textrnn {textrnn.__version__} ({backend_name()})\n"


# In a process of its own


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["generate", "model", "one"], ["info", "model"]],
    ids=lambda arguments: arguments[0],
)
def test_torch_is_not_imported(here, arguments):
    """Help, generation and info start without torch."""
    result = python("-X", "importtime", "-m", "textrnn", *arguments)
    modules = {line.split("|")[-1].strip() for line in result.stderr.decode().splitlines()}
    assert result.returncode == 0
    assert result.stdout
    assert "textrnn.cli" in modules
    assert "torch" not in modules


@pytest.mark.slow
def test_a_reader_that_leaves(here):
    """``textrnn generate ... | head`` ends without a traceback."""
    command = [sys.executable, "-m", "textrnn", "generate", "model", "-n", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
