"""How good is the text's model after so many CPU-seconds? textrnn's defaults beside a plain loop.

    python benchmarks/learning.py --data DIR [--budgets 30 120] [--corpora alice tinyshakespeare]
    python benchmarks/learning.py --data DIR --corpora tinyshakespeare --only fastai --nanogpt PATH

Each training is a process of its own: `TextGenerator(seed=0).fit(text, minutes=...)` with nothing
set but the time, and the loop that a reader of tutorials writes (embedding 256, LSTM 2x256, Adam at
2e-3, batch 32, sequence 64, gradients clipped at 1, the state carried). Both get the first 90 % of
the file, and are validated on the whole last 10 % with the state carried, in nats per token;
validation does not count into the plain loop's time, into textrnn's it does. The best counting
model on the same split stands above them.

What `Trainer.fit` costs beside a loop by hand at the same shape is in `benchmarks/core.py`.
`fastai` is its AWD-LSTM (2x256, tied, its dropouts times 0.3, batch 64, sequence 72, one cycle of
three passes at 1e-2), where fastai is installed; --nanogpt runs the README's command for a CPU in a
checkout of nanoGPT.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import torch
from common import PlainLSTM, arguments, head, machine, plain_epoch, row

from textrnn import LambdaCallback, TextGenerator, Vocab
from textrnn.evaluation import evaluate, ngram_baseline
from textrnn.text.levels import LEVELS

CORPORA = {
    "alice": ("alice.txt", "char"),
    "tinyshakespeare": ("tinyshakespeare.txt", "char"),
    "anna_karenina": ("anna_karenina.txt", "char"),
    "shakespeare_plays": ("shakespeare_plays.txt", "char"),
    "onegin_ru": ("nonlatin/onegin_ru.txt", "char"),
    "anna_karenina, words": ("anna_karenina.txt", "word"),
    # Not looked at when the defaults were chosen:
    "nietzsche": ("nietzsche.txt", "char"),
    "greek_nt": ("nonlatin/greek_nt_byzantine.txt", "char"),
    "udhr_scripts": ("nonlatin/udhr_scripts.txt", "char"),
    "python source": (None, "char"),
}
NANOGPT = (
    "train.py config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 "
    "--log_interval=100 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 "
    "--max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)


def read(corpus: str, data: Path) -> tuple[str, str]:
    """Return a corpus and its level; Python's source is that of the asyncio package."""
    file, level = CORPORA[corpus]
    if file is not None:
        return (data / file).read_text(encoding="utf-8"), level
    modules = sorted(Path(sysconfig.get_path("stdlib"), "asyncio").glob("*.py"))
    return "\n".join(module.read_text(encoding="utf-8") for module in modules), level


def split(text: str, level: str) -> tuple[Vocab, Any, Any]:
    """Return the vocabulary, and the ids of the first nine tenths and of the last."""
    vocab = Vocab.from_text(text, level, **LEVELS[level].limits)
    ids = vocab.encode(text)
    cut = int(0.9 * len(ids))
    return vocab, ids[:cut], ids[cut:]


def plain(text: str, level: str, budgets: list[float]) -> list[dict[str, Any]]:
    """Train the plain loop, and score it whenever a budget of CPU-seconds is spent.

    Its rate is constant, so that a short training is the beginning of a longer one.
    """
    torch.manual_seed(0)
    vocab, train, valid = split(text, level)
    data = torch.from_numpy(train.astype("int64"))
    model = PlainLSTM(len(vocab))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    results: list[dict[str, Any]] = []
    began, tokens = time.process_time(), 0
    while True:
        for learned in plain_epoch(model, optimizer, data):
            tokens += learned
            spent = time.process_time() - began
            if spent > budgets[len(results)]:
                score = evaluate(model, valid)["loss"]
                results.append({"loss": score, "cpu": spent, "speed": tokens / spent})
                results[-1]["passes"] = tokens / len(train)
                began = time.process_time() - spent
                if len(results) == len(budgets):
                    return results


def ours(text: str, level: str, budgets: list[float]) -> list[dict[str, Any]]:
    """Train textrnn's defaults for so many CPU-seconds."""
    (seconds,) = budgets
    gen = TextGenerator(level=level, seed=0)
    cores = torch.get_num_threads()
    began, wall = time.process_time(), time.perf_counter()
    steps: list[int] = []
    count = LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    gen.fit(text, minutes=seconds / cores / 60, verbose=0, callbacks=[count])
    spent, wall = time.process_time() - began, time.perf_counter() - wall
    _, train, valid = split(text, level)
    params: dict[str, Any] = gen.history.params
    tokens = len(steps) * params["batch_size"] * params["seq_len"]
    model: Any = gen.model
    return [
        {
            "loss": evaluate(model, valid)["loss"],
            "cpu": spent,
            "speed": tokens / spent,
            "passes": tokens / len(train),
            "late": wall / (seconds / cores) - 1,
            "model": repr(model.config),
            "params": repr(params),
        }
    ]


def fastai(text: str, level: str, budgets: list[float]) -> list[dict[str, Any]]:
    """Train fastai's AWD-LSTM; three epochs, whatever they take."""
    from fastai.text.all import (
        AWD_LSTM,
        CrossEntropyLossFlat,
        DataLoaders,
        LMDataLoader,
        LMLearner,
        awd_lstm_lm_config,
        get_language_model,
    )

    vocab, *parts = split(text, level)
    parts = [torch.from_numpy(part.astype("int64")) for part in parts]
    loaders = DataLoaders(*(LMDataLoader([part], bs=64, seq_len=72) for part in parts))
    config = {**awd_lstm_lm_config, "emb_sz": 256, "n_hid": 256, "n_layers": 2}
    model = get_language_model(AWD_LSTM, len(vocab), config=config, drop_mult=0.3)
    learner = LMLearner(loaders, model, loss_func=CrossEntropyLossFlat())
    began = time.process_time()
    learner.fit_one_cycle(3, 1e-2)
    spent = time.process_time() - began
    loss, speed = float(learner.validate()[0]), 3 * len(parts[0]) / spent
    return [{"loss": loss, "cpu": spent, "speed": speed, "passes": 3}]


CONTESTANTS = {"textrnn": ours, "plain loop": plain, "fastai": fastai}


def run(corpus: str, name: str, budgets: list[float], data: Path) -> None:
    """Run a contestant in a process of its own, and print the rows of the table."""
    command = [sys.executable, __file__, "--data", str(data), "--one", name, "--corpora", corpus]
    command += ["--budgets", *map(str, budgets)]
    output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode:
        print(output.stderr, file=sys.stderr)
        return
    for r in json.loads(output.stdout.splitlines()[-1]):
        cells = f"{r['loss']:.4f}", f"{r['passes']:.1f}", f"{r['speed']:,.0f}", f"{r['peak']:.0f}"
        row(corpus, name, f"{r['cpu']:.0f}", *cells)
        if "late" in r:
            print(f"<!-- {r['late']:+.1%} of the wall time; {r['model']}; {r['params']} -->")


def main() -> None:
    """Run the trainings and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--budgets", type=float, nargs="+", default=[30, 120])
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=list(CORPORA))
    names = ["floor", *CONTESTANTS]
    parser.add_argument("--only", nargs="+", default=names[:-1], choices=names)
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a child process runs
    args = parser.parse_args()
    if args.one:
        results = CONTESTANTS[args.one](*read(args.corpora[0], args.data), args.budgets)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([{**result, "peak": peak} for result in results]))
        return
    print(f"{machine()}\n")
    head("corpus", "who", "CPU-s", "val_loss", "passes", "tokens per CPU-s", "peak MiB")
    for corpus in args.corpora:
        if "floor" in args.only:
            vocab, train, valid = split(*read(corpus, args.data))
            order, floor = ngram_baseline(train, valid, len(vocab))
            row(corpus, f"counting, order {order}", "", f"{floor:.4f}", 1, "", "")
        for name in args.only:
            if name in CONTESTANTS:
                runs = [[b] for b in args.budgets] if name == "textrnn" else [args.budgets]
                for budgets in runs:
                    run(corpus, name, budgets, args.data)
    if args.nanogpt:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        env = {**os.environ, "PYTHONWARNINGS": "ignore"}
        prepare = [sys.executable, "data/shakespeare_char/prepare.py"]
        for command in (prepare, [sys.executable, *NANOGPT.split()]):
            output = subprocess.run(
                command, cwd=args.nanogpt, capture_output=True, text=True, env=env
            )
        spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime
        losses = [line for line in output.stdout.splitlines() if "val loss" in line]
        loss = losses[-1] if losses else math.nan
        row("tinyshakespeare", "nanoGPT", f"{spent:.0f}", loss, "", "", "")


if __name__ == "__main__":
    main()
