"""Files and servers that cost more than they are, or write on a terminal: rows 44 to 46 and 78."""

import functools
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tests.faults.files import DATA, forge, memory_below
from textrnn import TextGenerator, load_sampler
from textrnn.cli import main
from textrnn.errors import CorruptModelError, FileFormatError, visible
from textrnn.files import model_file

pytestmark = pytest.mark.faults

MB = 1_000_000


def with_header(path, head):
    """Write a file that has nothing but a header."""
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head)


@pytest.mark.slow
@pytest.mark.parametrize("size", [17 * MB, 99 * MB])
def test_45_a_header_of_many_megabytes_is_refused_unread(path, load, size):
    """It takes no more memory than a small one."""
    with_header(path, b'{"a":[' + b"[]," * (size // 3) + b"[]]}")
    with memory_below(MB), pytest.raises(CorruptModelError, match="16000000 are allowed"):
        load(path)


def test_45_a_header_that_could_not_be_read_is_not_written(path):
    """Saving says so, and what is there stays."""
    model_file.save(path, {"n": 1}, {})
    with pytest.raises(ValueError, match=r"max_size=\.\.\..*Received: 17,000,"):
        model_file.save(path, {"n": "x" * 17 * MB}, {})
    assert model_file.load(path)[0] == {"n": 1}


@pytest.mark.slow
def test_45_a_header_takes_a_small_multiple_of_itself(path, load):
    """The costliest JSON, a million empty lists, takes some 25 times its own size."""
    with_header(path, b'{"a":[' + b"[]," * MB + b"[]]}")
    load_sampler(DATA / "0.1.0-rnn.safetensors")  # what is imported once does not count
    with memory_below(30 * path.stat().st_size), pytest.raises(FileFormatError, match="not one"):
        load(path)


def wide_window(path, window=4096, vocab_size=2000):
    """Write the model whose tables would be largest for its file."""
    config = {"vocab_size": vocab_size, "window": window, "embedding_dim": 1, "hidden_size": 1}
    symbols = [[0x4E00 + i] for i in range(vocab_size)]
    header = {"kind": "window_mlp", "model": config}
    header["vocab"] = {"level": "char", "symbols": symbols, "unk": False}
    shapes = {
        "embedding.weight": (vocab_size, 1), "hidden.weight": (1, window), "hidden.bias": (1,),
        "head.weight": (vocab_size, 1), "head.bias": (vocab_size,),
    }  # fmt: skip
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    model_file.save(path, header, tensors)


def test_45_tables_stay_in_proportion_to_the_file(path):
    """A window model of 0.1 MB whose tables would take 33 MB is stepped without them."""
    wide_window(path)
    assert path.stat().st_size < 0.2 * MB
    with memory_below(8 * MB):
        assert len(load_sampler(path).generate("", 2, seed=1)) == 2


def test_45_a_window_wider_than_any_text_needs_is_refused(path, load):
    """Each token of a window model costs as many steps as its window is wide."""
    wide_window(path, window=65_536, vocab_size=2)
    with pytest.raises(CorruptModelError, match=r"`window` must be.*4096"):
        load(path)


STEERING = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\nkind                lstm\x9b2J\u202egnol"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": STEERING},
        {"model": {STEERING: 1}},
        {"model": {"vocab_size": STEERING}},
        {"vocab": {"level": STEERING, "symbols": [], "unk": False}},
        {"history": {"history": {STEERING: ["x"]}, "epoch": [], "stopped_by": None}},
    ],
    ids=["kind", "a config's name", "a config's value", "vocabulary", "history"],
)
@pytest.mark.parametrize("command", ["info", "evaluate", "generate"])
def test_44_nothing_of_a_file_steers_a_terminal(path, rnn, capsys, monkeypatch, command, change):
    """Escapes, line breaks and turns of direction come out as what they are."""
    if "model" in change:
        change = {"model": {**rnn.header["model"], **change["model"]}}
    forge(path, rnn, **change)
    text = path.with_suffix(".txt")
    text.write_text("one two three four")
    main([command, str(path), *([str(text)] if command == "evaluate" else [])])
    out, err = capsys.readouterr()
    said = (out + err).replace("\n", "")
    assert visible(said) == said
    assert "kind                lstm" not in (out + err).splitlines()


@pytest.mark.parametrize("terminal", [True, False])
def test_44_a_text_that_a_model_writes_steers_no_terminal(path, capsys, monkeypatch, terminal):
    """Its tokens come from the file; in a pipe they arrive as they are."""
    gen = TextGenerator("ngram", order=2)
    gen.fit("\x1b[2Ja\tb\n" * 20, verbose=0)
    gen.save(path)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert main(["generate", str(path), "-n", "60", "--seed", "0"]) == 0
    out = capsys.readouterr().out
    assert ("\x1b" in out) == (not terminal)
    assert ("\\x1b[2J" in out) == terminal
    assert "\t" in out


@pytest.mark.parametrize(
    "history",
    [
        {"history": {}, "epoch": [], "params": {"x": [1, 2]}, "stopped_by": None},
        {"history": {}, "epoch": [], "params": {}, "stopped_by": {"a": 1}},
        {"history": {"loss": {"a": 1}}, "epoch": [], "stopped_by": None},
        {"history": [], "epoch": [], "stopped_by": None},
    ],
)
def test_46_a_history_that_no_training_wrote_is_refused(path, load, rnn, history):
    """It would come to light when it is looked at."""
    forge(path, rnn, history=history)
    with pytest.raises(CorruptModelError, match="does not describe a model"):
        load(path)


@pytest.mark.slow
@pytest.mark.parametrize("announces", [True, False])
def test_78_a_server_that_does_not_stop(tmp_path, announces):
    """The download ends with an error as soon as it is too long, and nothing is left of it."""
    sent = []

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if announces:
                self.send_header("Content-Length", str(10**12))
            self.end_headers()
            try:
                while sum(sent) < 200 * MB:
                    self.wfile.write(b"x" * MB)
                    sent.append(MB)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        serve = functools.partial(server.serve_forever, poll_interval=0.01)
        threading.Thread(target=serve).start()
        code = "import sys; from textrnn import datasets; datasets._fetch('small', *sys.argv[1:3])"
        command = [sys.executable, "-c", code, f"http://127.0.0.1:{server.server_port}/", "0" * 64]
        env = {**os.environ, "TEXTRNN_DATA_DIR": str(tmp_path), "no_proxy": "127.0.0.1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        server.shutdown()
    assert "The server sends more than the 16,777,216 bytes" in done.stderr
    assert sum(sent) < 100 * MB
    assert list(tmp_path.iterdir()) == []
