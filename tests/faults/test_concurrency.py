"""Several threads and processes with one thing: rows 72 to 81 of the fault table."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from textrnn import BackupAndRestore, LambdaCallback, TextGenerator, load_sampler
from textrnn.datasets import load_human_numbers
from textrnn.models import GRUModel

pytestmark = pytest.mark.faults

TEXT = load_human_numbers(1, 150)
FIT = {"epochs": 2, "batch_size": 4, "seq_len": 24, "verbose": 0}
THREADS, ROUNDS = 8, 50


class Own(GRUModel):
    """A custom model class, which is stepped through its torch module."""


@pytest.fixture(scope="module")
def gen():
    """A small generator."""
    gen = TextGenerator(hidden_size=16, seed=0)
    gen.fit(TEXT, **FIT)
    return gen


@pytest.fixture
def impatient():
    """Let Python change threads after a microsecond."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["Sampler", "TextGenerator", "a custom model"])
def test_72_threads_write_what_one_would_write(gen, tmp_path, impatient, what):
    """Eight threads, fifty rounds, all at once: the texts of the serial run."""
    writer: Any
    if what == "Sampler":
        gen.save(tmp_path / "m")
        writer = load_sampler(tmp_path / "m")
    elif what == "TextGenerator":
        writer = gen
    else:
        writer = TextGenerator(Own(len(gen.vocab), hidden_size=8), seed=0)
        writer.fit(TEXT, **FIT)
    rounds = ROUNDS if what != "a custom model" else 5
    settings = [{"seed": i, "temperature": 0.5 + i / 8, "top_k": 3 + i} for i in range(THREADS)]
    expected = [writer.generate("one ", 12, **setting) for setting in settings]
    barrier = threading.Barrier(THREADS)

    def write(i):
        texts = []
        for _ in range(rounds):
            barrier.wait(timeout=60)
            texts.append(writer.generate("one ", 12, **settings[i]))
        return texts

    with ThreadPoolExecutor(THREADS) as pool:
        for i, texts in enumerate(pool.map(write, range(THREADS))):
            assert texts == [expected[i]] * rounds


def during_fit(gen, action):
    """Call an action in another thread while a generator is in training; give what it raised."""
    raised = []

    def attempt():
        try:
            action()
        except RuntimeError as error:
            raised.append(str(error))

    def once(batch, logs):
        if batch == 2:
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()

    gen.fit(TEXT, callbacks=[LambdaCallback(on_train_batch_end=once)], **FIT)
    return raised


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        lambda gen: gen.generate("", 5),
        lambda gen: next(gen.stream("", 5)),
        lambda gen: gen.evaluate(TEXT[:99]),
        lambda gen: gen.save("nowhere"),
        lambda gen: gen.lr_find(TEXT),
        lambda gen: gen.surprisals("one"),
    ],
    ids=["generate", "stream", "evaluate", "save", "lr_find", "surprisals"],
)
def test_73_using_a_generator_that_another_thread_trains(call):
    """An error that says what to do, and a training that ends as it would have."""
    weights = []
    for action in (lambda gen: None, call):
        gen = TextGenerator(hidden_size=8, dropout=0.2, seed=0)
        raised = during_fit(gen, lambda action=action, gen=gen: action(gen))
        weights.append([p.tolist() for p in gen.model.parameters()])
    assert len(raised) == 2  # in each of two epochs
    assert all("in another thread" in text and "load_sampler" in text for text in raised)
    assert weights[0] == weights[1]
    assert len(gen.generate("", 5)) == 5


def test_74_two_fits_at_once():
    """The second one is an error at once, in another thread and in a callback; later it works."""
    gen = TextGenerator(hidden_size=8, seed=0)
    raised = during_fit(gen, lambda: gen.fit(TEXT, **FIT))
    assert len(raised) == 2
    assert "being trained already" in raised[0]
    inner = LambdaCallback(on_epoch_end=lambda epoch, logs: gen.fit(TEXT, **FIT))
    with pytest.raises(RuntimeError, match=r"being trained already.*Received: a second fit"):
        gen.fit(TEXT, callbacks=[inner], **FIT)
    assert len(gen.fit(TEXT, **FIT)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_77_writing_after_a_fork(gen, tmp_path):
    """A child of a process that has imported torch writes the same text."""
    gen.save(tmp_path / "m")
    expected = [x.generate("one ", 30, seed=1) for x in (gen, load_sampler(tmp_path / "m"))]
    for writer, text in zip((gen, load_sampler(tmp_path / "m")), expected, strict=True):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, writer.generate("one ", 30, seed=1).encode())
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert os.read(reading, 1000).decode() == text
        os.close(reading)


FETCHER = """
import sys
from textrnn import datasets
sys.stdout.write(datasets._fetch("small.txt", *sys.argv[1:]))
"""


@pytest.mark.slow
def test_78_two_processes_download_one_data_set(tmp_path):
    """While one has half of it another begins; both get the text whole, and one file is left."""
    half_sent, both_wait = threading.Event(), threading.Barrier(2, timeout=60)

    class Slow(BaseHTTPRequestHandler):
        """Gives the second half of the file to nobody before both have the first."""

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data[:1000])
            half_sent.set()
            both_wait.wait()
            self.wfile.write(data[1000:])

        def log_message(self, *args):
            pass

    data = TEXT.encode()
    env = {**os.environ, "TEXTRNN_DATA_DIR": str(tmp_path), "no_proxy": "127.0.0.1"}
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        command = [sys.executable, "-c", FETCHER, address, hashlib.sha256(data).hexdigest()]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
        half_sent.wait(60)
        second = subprocess.run(command, stdout=subprocess.PIPE, env=env)
        texts = [first.communicate()[0], second.stdout]
        server.shutdown()
    assert texts == [data, data]
    assert [path.name for path in tmp_path.iterdir()] == ["small.txt"]


WORKER = """
import json, os, signal, sys
import numpy as np
import torch
from textrnn import LambdaCallback, Trainer
from textrnn.models.registry import build
from textrnn.text.corpus import Corpus
from textrnn.training.plan import Plan

rank, folder, what = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
)
steps = []

def act(batch, logs):
    steps.append(batch)
    if rank == 1 and len(steps) == 3:
        os._exit(7) if what == "dies" else signal.raise_signal(signal.SIGTERM)

ids = np.random.default_rng(0).integers(7, size=4000)
model = build("gru", 7, {"hidden_size": 8}, seed=0)
callbacks = [LambdaCallback(on_train_batch_end=act)]
plan = Plan(epochs=2, batch_size=4, seq_len=16)
history = Trainer(model, seed=0).fit(Corpus(ids, ids[:50]), plan, callbacks)
print(json.dumps([len(steps), history.stopped_by, model.head.weight.sum().item()]), flush=True)
torch.distributed.destroy_process_group()
os._exit(0)  # torch 2.13 aborts one in ten interpreters that used gloo, when they unload it
"""


def two_processes(folder, what):
    """Run two processes on one training; give their exit statuses and what they print."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "env": env}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(folder), what], **pipes)
        for rank in (0, 1)
    ]
    try:
        outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [worker.returncode for worker in workers], outputs


@pytest.mark.slow
def test_79_a_process_that_dies(tmp_path):
    """The others end with an error, too, instead of waiting for ever."""
    statuses, _ = two_processes(tmp_path, "dies")
    assert statuses[1] == 7
    assert statuses[0] not in (0, None)


@pytest.mark.slow
def test_80_a_signal_to_one_of_several_processes(tmp_path):
    """All of them end after the same batch, in order, with the same weights."""
    statuses, outputs = two_processes(tmp_path, "is told")
    assert statuses == [0, 0]
    first, second = map(json.loads, outputs)
    assert first[0] == second[0] < 20
    assert {first[1], second[1]} == {"interrupt", "terminate"}
    assert first[2] == second[2]


def test_81_a_backup_is_of_one_process(tmp_path, monkeypatch):
    """Each of several would need one of its own: it is refused, never silently wrong."""
    monkeypatch.setattr("textrnn.training.distributed.rank_and_world_size", lambda: (0, 2))
    gen = TextGenerator(hidden_size=8, seed=0)
    with pytest.raises(ValueError, match=r"works with one process\. Received: several"):
        gen.fit(TEXT, callbacks=[BackupAndRestore(tmp_path / "b")], **FIT)
