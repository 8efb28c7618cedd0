"""Counting alone, and mixed with an LSTM: losses on the last tenth of texts, and their cost.

    python benchmarks/counting.py --data DIR [--texts tinyshakespeare alice] [--epochs 1 4]

Kneser-Ney and Witten-Bell of order 7; then ``TextGenerator("lstm+ngram", seed=0)`` after some
epochs, counting and validation included. Losses in nats per character, state carried; CPU-seconds
of one thread.
"""

import time
from pathlib import Path

import torch
from common import arguments, machine

from textrnn import NGramModel, TextGenerator, Vocab
from textrnn.evaluation import evaluate


def count(text: str, smoothing: str) -> tuple[float, float]:
    """Return the loss of counting, and what counting cost in CPU-seconds."""
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text)
    cut = int(len(ids) * 0.9)
    began = time.process_time()
    model = NGramModel(len(vocab), order=7, smoothing=smoothing)
    model.count(ids[:cut])
    seconds = time.process_time() - began
    return evaluate(model, ids[cut:])["loss"], seconds


def mix(text: str, epochs: int) -> tuple[float, float]:
    """Return the loss of the mixture after some epochs, and what ``fit`` cost in CPU-seconds."""
    began = time.process_time()
    history = TextGenerator("lstm+ngram", seed=0).fit(text, epochs=epochs, verbose=0)
    return history.history["val_loss"][-1], time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--texts", nargs="+", default=["tinyshakespeare", "alice", "nietzsche"])
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    print("\n| text | model | loss | CPU-s |\n|---|---|---|---|")
    for name in args.texts:
        text = Path(args.data, f"{name}.txt").read_text(encoding="utf-8-sig")
        rows = [(f"{how}, order 7", *count(text, how)) for how in ("kneser_ney", "witten_bell")]
        rows += [(f"lstm+ngram, {epochs} epochs", *mix(text, epochs)) for epochs in args.epochs]
        for model, loss, seconds in rows:
            print(f"| {name} | {model} | {loss:.4f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
