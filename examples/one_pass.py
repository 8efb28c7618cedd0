"""One pass over a text, as one stream, with samples on the way: python one_pass.py book.txt ."""

import sys
from pathlib import Path

from textrnn import LambdaCallback, SampleText, TextGenerator
from textrnn.datasets import load_python_docs
from textrnn.text.sources import read_text

quick = "--quick" in sys.argv
files = [Path(name) for name in sys.argv[1:] if name != "--quick"]
text = read_text(files or load_python_docs())[: 40_000 if quick else None]
every = 100 if quick else 1000


def sample(batch: int, logs: dict[str, float]) -> None:
    """Print a text every so many chunks."""
    if batch % every == 0:
        print(f"--- {logs['progress']:.0%} read, loss so far {logs['loss']:.2f}")
        print(gen.generate("The ", 100, temperature=0.8, seed=0))


gen = TextGenerator("lstm", input="onehot", hidden_size=128, dropout=0, seed=0)
gen.compile(optimizer="adam", learning_rate=3e-3, weight_decay=0, schedule="cosine")
print(f"{len(text):,} characters, on {gen.device}")
callbacks = [LambdaCallback(on_train_batch_end=sample), SampleText("The ", 300, seed=0)]
gen.fit(text, epochs=1, batch_size=1, seq_len=100, callbacks=callbacks)
