"""Train the models of the seeds with their printed settings, and compare the losses.

    python benchmarks/seeds.py --data DIR            every row but the longest: an hour on one core
    python benchmarks/seeds.py --data DIR gru lstm   the rows with these words in their name

Sources: fast.ai's lesson 6 (lesson6-rnn.ipynb of fastai 0.7; its stateful rows exist in two
versions, A and B) on nietzsche.txt, and the OpenAI Scholar's second week, whose music reviews are
not free: those models are trained on as many characters of Andersen's tales instead.

The notebooks' splits, traps included:

    triples     every third window of 3+1 characters; the notebook validates on one row, which
                says nothing, so its training loss is compared (both are running means)
    windows     windows of 8 at every offset, a random fifth of them for validation; these
                overlap the windows in training
    sequences   windows of 8 side by side, all 8 predictions count, a random fifth for validation
    tail        lower-cased, lines 1 to 7998 for training and the rest for validation, tokens
                that occur at least 3 times; the state is carried. The notebook's chunks have
                random lengths around 8; here they have 8
    andersen    the first 1,113,633 + 304,365 characters of the tales, lower-cased; the state is
                carried in chunks of 4
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import arguments, head, machine
from common import row as print_row

from textrnn import LambdaCallback, LanguageModel, Trainer, Vocab
from textrnn.evaluation import ngram_baseline
from textrnn.models.registry import build
from textrnn.text.corpus import Corpus
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.schedules import Schedule, cosine_restarts

Stages = list[tuple[int, float, str | Schedule]]
"""Epochs, learning rate and schedule of each stage; the optimiser continues from stage to stage."""


@dataclass
class Row:
    """One line of a seed's table."""

    name: str
    split: str
    printed: float
    kind: str
    model_args: dict[str, Any]
    plan: Stages
    weight_decay: float = 0.0
    long: bool = False  # only when asked for by name


def steady(*stages: tuple[int, float]) -> Stages:
    """Return a plan without annealing inside a stage."""
    return [(epochs, rate, "constant") for epochs, rate in stages]


FAC = {"embedding_dim": 42, "hidden_size": 256}
TWO = {**FAC, "num_layers": 2, "dropout": 0.25, "output_dropout": 0.0}
WIDE = {"embedding_dim": 42, "hidden_size": 512, "num_layers": 2, "dropout": 0.5}
WIDE["output_dropout"] = 0.0
WEEK2 = {"embedding_dim": 42, "hidden_size": 128}
CHAIN: Stages = [*steady((2, 1e-2)), (31, 1e-2, partial(cosine_restarts, cycles=5))]
B_CHAIN: Stages = [*steady((2, 1e-2)), (15, 1e-2, partial(cosine_restarts, cycles=4))]
B_LONG: Stages = [*B_CHAIN, (63, 1e-2, partial(cosine_restarts, cycles=6))]
ROWS = [
    Row("Char3Model (training loss)", "triples", 1.84525, "window_rnn",
        {"window": 3, "combine": "add", **FAC}, steady((1, 1e-2), (1, 1e-3))),
    Row("CharLoopModel", "windows", 1.75103, "window_rnn",
        {"window": 8, "combine": "add", **FAC}, steady((1, 1e-2), (1, 1e-3))),
    Row("CharLoopConcatModel", "windows", 1.69936, "window_rnn",
        {"window": 8, "combine": "concat", **FAC}, steady((1, 1e-3), (1, 1e-4))),
    Row("CharRnn", "windows", 1.5039, "rnn", FAC, steady((4, 1e-3), (2, 1e-4))),
    Row("CharSeqRnn", "sequences", 2.00106, "rnn", FAC, steady((4, 1e-3), (1, 1e-4))),
    Row("CharSeqRnn, identity init", "sequences", 1.83801, "rnn",
        {**FAC, "recurrent_init": "identity"}, steady((4, 1e-2), (4, 1e-3))),
    Row("A: stateful RNN 256", "tail", 1.48223, "rnn", FAC, steady((4, 1e-3), (4, 1e-4))),
    Row("B: RNNCell loop 256", "tail", 1.54217, "rnn", FAC, steady((4, 1e-3))),
    Row("B: GRU 256", "tail", 1.36926, "gru", FAC, steady((6, 1e-3), (3, 1e-4))),
    Row("A: LSTM 256", "tail", 1.35793, "lstm", FAC, steady((6, 1e-2), (3, 1e-3))),
    Row("A: LSTM 2x256, dropout 0.25", "tail", 1.50647, "lstm", TWO, steady((2, 1e-2)), 1e-5),
    Row("A: the same, cosine cycles", "tail", 1.26257, "lstm", TWO, CHAIN, 1e-5),
    Row("B: LSTM 2x512, dropout 0.5", "tail", 1.58176, "lstm", WIDE, steady((2, 1e-2)), 1e-5),
    Row("B: the same, 15 epochs of cycles", "tail", 1.31518, "lstm", WIDE, B_CHAIN, 1e-5, True),
    Row("B: the same, 63 more", "tail", 1.2524, "lstm", WIDE, B_LONG, 1e-5, True),
    Row("week 2: RNN 128", "andersen", 1.878677, "rnn", WEEK2, steady((4, 1e-3), (4, 1e-4))),
    Row("week 2: GRU 128", "andersen", 1.712023, "gru", WEEK2, steady((6, 1e-3), (3, 1e-4))),
    Row("week 2: LSTM 2x128, dropout 0.5, 2 + 15 epochs", "andersen", 1.618179, "lstm",
        {**WEEK2, "num_layers": 2, "dropout": 0.5, "output_dropout": 0.0},
        steady((2, 1e-2), (15, 1e-2)), 1e-5),
]  # fmt: skip


@dataclass
class Data:
    """A split: two texts whose state is carried, or two sets of windows."""

    vocab: Vocab
    train: Any
    valid: Any
    batch_size: int
    seq_len: int
    floor: str


def load(split: str, folder: Path) -> Data:
    """Return a notebook's split."""
    if split == "andersen":
        text = (folder / "andersen_27200.txt").read_text(encoding="utf-8").lower()
        train, valid = text[:1_113_633], text[1_113_633 : 1_113_633 + 304_365]
        return tail(train, valid, batch_size=512, seq_len=4)
    text = (folder / "nietzsche.txt").read_text(encoding="utf-8")
    if split == "tail":
        cut = len("\n".join(text.split("\n")[:7998])) + 1
        return tail(text[:cut].lower(), text[cut:].lower(), batch_size=64, seq_len=8)
    vocab = Vocab(["\0", *sorted(set(text))])  # the notebook's first token is for padding
    ids = torch.from_numpy(vocab.encode(text)).long()
    size, step = {"triples": (3, 3), "windows": (8, 1), "sequences": (8, 8)}[split]
    x = ids[:-1].unfold(0, size, step)  # (N, size)
    y = ids[1:].unfold(0, size, step)
    if split != "sequences":
        y = y[:, -1:]  # only the last prediction counts
    order = torch.from_numpy(np.random.RandomState(42).permutation(len(x)))
    cut = len(x) // 5 if split != "triples" else 1
    windows, held_out = (x[order[cut:]], y[order[cut:]]), (x[order[:cut]], y[order[:cut]])
    return Data(vocab, windows, held_out, 512, size, "none: the windows overlap")


def tail(train: str, valid: str, **sizes: int) -> Data:
    """Return two texts in the tokens that occur at least three times in the first."""
    vocab = Vocab.from_text(train, min_freq=3)
    ids, valid_ids = vocab.encode(train), vocab.encode(valid)
    order, loss = ngram_baseline(ids, valid_ids, len(vocab))
    return Data(vocab, ids, valid_ids, **sizes, floor=f"{loss:.3f} (order {order})")


def train_on_text(row: Row, data: Data, say: Callable[[str], None]) -> tuple[LanguageModel, float]:
    """Train with the state carried; give the model and the last validation loss."""
    model = build(row.kind, len(data.vocab), row.model_args, seed=0)
    settings = OptimizerConfig(
        optimizer="adam", learning_rate=1e-3, weight_decay=row.weight_decay, clip_norm=None
    )
    trainer = Trainer(model, settings, seed=0)
    tell = LambdaCallback(
        on_epoch_end=lambda epoch, logs: say(
            f"epoch {epoch + 1}: {logs['loss']:.5f} / {logs['val_loss']:.5f}"
        )
    )
    done = 0
    for epochs, rate, schedule in row.plan:
        trainer.config, trainer.learning_rate = replace(settings, schedule=schedule), rate
        history = trainer.fit(
            Corpus(data.train, data.valid),
            Plan(
                epochs=done + epochs,
                initial_epoch=done,
                batch_size=data.batch_size,
                seq_len=data.seq_len,
            ),
            callbacks=[tell],
        )
        done += epochs
    return model, history.history["val_loss"][-1]


def train_on_windows(
    row: Row, data: Data, say: Callable[[str], None]
) -> tuple[LanguageModel, float]:
    """Train on shuffled windows by hand; give the model and the last loss.

    That is the loss on the windows for validation, or for the triples the running mean of the
    training loss as fastai keeps it.
    """
    model = build(row.kind, len(data.vocab), row.model_args, seed=0)
    optimizer = torch.optim.Adam(model.parameters())
    generator = torch.Generator().manual_seed(0)
    x, y = data.train
    done = 0
    for epochs, rate, _ in row.plan:
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(epochs):
            running = steps = 0.0
            order = torch.randperm(len(x), generator=generator)
            for rows in torch.split(order, data.batch_size):
                loss = F.cross_entropy(scores(model, x[rows], y.shape[1]), y[rows].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                running, steps = 0.98 * running + 0.02 * loss.item(), steps + 1
            smooth = running / (1 - 0.98**steps)
            with torch.inference_mode():
                losses = [
                    F.cross_entropy(
                        scores(model, bx, y.shape[1]), by.flatten(), reduction="sum"
                    ).item()
                    for bx, by in zip(*(part.split(4096) for part in data.valid), strict=True)
                ]
            valid = sum(losses) / data.valid[1].numel()
            done += 1
            say(f"epoch {done}: {smooth:.5f} / {valid:.5f}")
    return model, smooth if row.split == "triples" else valid


def scores(model: LanguageModel, x: torch.Tensor, wanted: int) -> torch.Tensor:
    """Return the logits of the last ``wanted`` predictions in each window x (N, size)."""
    logits: torch.Tensor
    if wanted == 1 and "window" in model.config:  # the window itself is the state
        logits, _ = model(x[:, -1:], x[:, :-1])
    else:
        logits, _ = model(x)
    return logits[:, -wanted:].flatten(0, 1)


def main() -> None:
    """Train the rows that were asked for and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("words", nargs="*", help="only rows with one of these in their name")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    words = [word.lower() for word in args.words]
    rows = [r for r in ROWS if any(w in r.name.lower() for w in words) or not (words or r.long)]
    print(f"{machine()}\n")
    head("model", "split", "printed", "ours", "difference", "epochs", "CPU-s", "n-gram floor")
    loaded: dict[str, Data] = {}
    for row in rows:
        data = loaded.setdefault(row.split, load(row.split, args.data))
        began = time.process_time()

        def say(line: str, row: Row = row, began: float = began) -> None:
            spent = time.process_time() - began
            print(f"<!-- {row.name}: {line}, {spent:.0f} CPU-s -->", flush=True)

        train = train_on_text if row.split in ("tail", "andersen") else train_on_windows
        _, ours = train(row, data, say)
        spent = time.process_time() - began
        epochs = sum(stage[0] for stage in row.plan)
        losses = f"{row.printed:.5f}", f"{ours:.5f}", f"{ours - row.printed:+.3f}"
        print_row(row.name, row.split, *losses, epochs, f"{spent:.0f}", data.floor)


if __name__ == "__main__":
    main()
