"""What the benchmarks share: the machine, turns, tables, and the loop that tutorials write."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from textrnn.models import LanguageModel

Name = TypeVar("Name")


def arguments(doc: str | None, *, data: bool = True) -> argparse.ArgumentParser:
    """Return a parser with a script's first line and, where it reads texts, ``--data DIR``."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    if data:
        parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    return parser


def machine() -> str:
    """Return a line that says on what, and with which versions, something was measured."""
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {_processor()}, {os.cpu_count()} "
        f"cores, Python {platform.python_version()}, torch {torch.__version__} on "
        f"{torch.get_num_threads()} threads, numpy {np.__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(": ", 1)[1] for x in lines if x.startswith("model name")), "processor")


def in_turns(
    works: Mapping[Name, Callable[[], object]],
    turns: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, list[float]]:
    """Return the seconds of each work in each turn.

    The works are done one after the other, every second time in the opposite order, so that a
    machine that becomes busier is so for all of them. One turn before is not counted.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for turn in range(-1, turns):
        for name in sorted(works, key=str, reverse=bool(turn % 2)):
            began = clock()
            works[name]()
            if turn >= 0:
                seconds[name].append(clock() - began)
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the turns' ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def head(*columns: str, title: str = "") -> None:
    """Print the head of a table, below a title."""
    if title:
        print(f"\n{title}:\n")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)


def row(*cells: object) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


class PlainLSTM(LanguageModel):
    """The model of the tutorials; it follows textrnn's contract so that ``evaluate`` can score it.

    Args:
        vocab_size: V.
        width: of the embedding and of each layer.
        num_layers: of the LSTM.
    """

    def __init__(self, vocab_size: int, width: int = 256, num_layers: int = 2) -> None:
        super().__init__(vocab_size=vocab_size, width=width, num_layers=num_layers)
        self.embedding = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, num_layers, batch_first=True)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, ids: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Return the logits (B, T, V) of the tokens after each of ids (B, T), and the state."""
        x, state = self.lstm(self.embedding(ids), state)
        return self.head(x), state

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all in one."""
        return {"all": list(self.parameters())}


def plain_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ids: torch.Tensor,
    *,
    batch_size: int = 32,
    seq_len: int = 64,
) -> Iterator[int]:
    """Train an epoch the way a tutorial does it, and yield the number of tokens of each step.

    Args:
        model: from ids (B, T) and a state to logits (B, T, V) and the next state.
        optimizer: of its parameters; gradients are clipped at a norm of 1.
        ids: (N,) int64, cut into so many rows; the state is carried from batch to batch.
        batch_size: rows.
        seq_len: tokens of a row in a batch.
    """
    rows = ids[: (len(ids) - 1) // batch_size * batch_size].view(batch_size, -1)
    targets = ids[1 : rows.numel() + 1].view(batch_size, -1)
    state = None
    for x, y in zip(torch.split(rows, seq_len, 1), torch.split(targets, seq_len, 1), strict=True):
        logits, state = model(x, state)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = _detached(state)
        yield x.numel()


def _detached(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach()
    return tuple(map(_detached, state))


@torch.inference_mode()
def plain_write(model: nn.Module, tokens: int, texts: int = 1) -> torch.Tensor:
    """Write texts the way a tutorial does it: a step at a time, the state carried.

    Args:
        model: as for ``plain_epoch``; each text begins with token 0.
        tokens: how many to write in each text.
        texts: how many to write side by side.

    Returns:
        Tokens (texts, tokens) int64.
    """
    ids, state, written = torch.zeros(texts, 1, dtype=torch.long), None, []
    for _ in range(tokens):
        logits, state = model(ids, state)
        ids = torch.multinomial(torch.softmax(logits[:, -1], dim=-1), 1)
        written.append(ids)
    return torch.cat(written, dim=1)
