"""Call two methods of one generator from two threads at once, every pair of them, many times.

    python tests/fuzz/pairs.py [--rounds 200] [--seed 0]

The second one begins after a random number of function calls of the first. A call must give what it
gives alone, before or after the other one, or a ``RuntimeError`` of ours. Exit status 1 if one did
not, or if two waited for each other. The tests run it with small numbers.
"""

import argparse
import copy
import hashlib
import itertools
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textrnn import TextGenerator
from textrnn.datasets import load_human_numbers
from textrnn.files import model_file
from textrnn.models import GRUModel

TEXT = load_human_numbers(1, 40)
LONG = load_human_numbers(1, 150)
FIT = {"epochs": 1, "batch_size": 4, "seq_len": 16, "verbose": 0}
REFUSED = "refused"
STEPS = 3000  # the most function calls of one method before the other begins
PATIENCE = 60.0  # seconds; then two calls wait for each other


class Own(GRUModel):
    """A custom class, which is stepped through its torch module."""


def weights(gen: TextGenerator) -> str:
    """Return a digest of a generator's weights."""
    digest = hashlib.sha256()
    assert gen.model is not None
    for tensor in gen.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]


def calls(folder: Path) -> dict[str, Callable[[TextGenerator], Any]]:
    """Return the methods, each as a function that gives something to compare."""

    def save(gen: TextGenerator) -> str:
        path = folder / f"{threading.get_ident()}"
        gen.save(path)
        tensors = model_file.load(path)[1]
        return hashlib.sha256(b"".join(tensors[k].tobytes() for k in sorted(tensors))).hexdigest()

    return {
        "fit": lambda gen: gen.fit(TEXT, **FIT).history["loss"],
        "evaluate": lambda gen: gen.evaluate(LONG),
        "generate": lambda gen: gen.generate("one ", 40, seed=1),
        "stream": lambda gen: "".join(gen.stream("one ", 40, seed=1)),
        "save": save,
        "surprisals": lambda gen: gen.surprisals(LONG),
    }


def run(call: Callable[[TextGenerator], Any], gen: TextGenerator) -> Any:
    """Return what a call gives, or that it was refused."""
    try:
        return call(gen)
    except RuntimeError as error:
        if "being trained" not in str(error):
            raise
        return REFUSED


def together(
    pair: tuple[Callable[[TextGenerator], Any], ...], gen: TextGenerator, first: int, steps: int
) -> list[Any]:
    """Return what two calls give in two threads.

    Args:
        pair: the calls.
        gen: what they are calls of.
        first: the one that begins, 0 or 1.
        steps: after how many function calls of the first, or after its end, the second begins.
    """
    begin, results = threading.Event(), [None, None]

    def lead() -> None:
        left = itertools.count(steps, -1)

        def count(*_: object) -> None:
            if next(left) <= 0:
                sys.setprofile(None)
                begin.set()

        sys.setprofile(count)
        try:
            results[first] = run(pair[first], gen)
        finally:
            sys.setprofile(None)
            begin.set()

    def follow() -> None:
        begin.wait()
        results[1 - first] = run(pair[1 - first], gen)

    threads = [threading.Thread(target=target, daemon=True) for target in (lead, follow)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "two calls wait for each other"
    return results


def check_pair(
    names: tuple[str, str], base: TextGenerator, rounds: int, chance: random.Random, folder: Path
) -> Counter[str]:
    """Count the rounds of one pair that were as in a row, refused, or wrong."""
    every = calls(folder)
    pair = tuple(every[name] for name in names)
    allowed = []  # what the two give one after the other, in both orders, and the weights then
    for order in ((0, 1), (1, 0)):
        gen, results = copy.deepcopy(base), [REFUSED, REFUSED]
        for i in order:
            results[i] = run(pair[i], gen)
        allowed.append((*results, weights(gen)))
    for i in (0, 1):  # the other one was refused
        gen = copy.deepcopy(base)
        results = [REFUSED, REFUSED]
        results[i] = run(pair[i], gen)
        allowed.append((*results, weights(gen)))
    counts: Counter[str] = Counter()
    for _ in range(rounds):
        gen = copy.deepcopy(base)
        first, steps = chance.randrange(2), chance.choice((0, chance.randrange(STEPS)))
        got = (*together(pair, gen, first, steps), weights(gen))
        counts["wrong" if got not in allowed else REFUSED if REFUSED in got else "as serial"] += 1
    return counts


def main() -> int:
    """Run as many rounds as asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    return int(check_all(args.rounds, args.seed)["wrong"] > 0)


def check_all(rounds: int, seed: int = 0) -> Counter[str]:
    """Run every pair with a model of ours and with one that is stepped through torch."""
    sys.setswitchinterval(1e-5)
    chance, total = random.Random(seed), Counter[str]()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for model in ("lstm", Own):
                base = TextGenerator(model, hidden_size=8, dropout=0.3, seed=0, device="cpu")
                base.fit(LONG, **FIT)
                pairs = itertools.combinations_with_replacement(calls(Path(folder)), 2)
                for names in pairs:
                    counts = check_pair(names, base, rounds, chance, Path(folder))
                    total += counts
                    print(base.model.__class__.__name__, *names, dict(counts), flush=True)
    finally:
        sys.setswitchinterval(0.005)
    print(f"{total.total()} rounds: {dict(total)}")
    return total


if __name__ == "__main__":
    raise SystemExit(main())
