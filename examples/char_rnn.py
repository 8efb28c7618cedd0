"""An LSTM on one-hot characters, and what it writes at three temperatures."""

import sys
from pathlib import Path

from textrnn import TextGenerator
from textrnn.datasets import load_python_docs
from textrnn.text.sources import read_text

quick = "--quick" in sys.argv
files = [Path(name) for name in sys.argv[1:] if name != "--quick"]
text = read_text(files or load_python_docs())[: 40_000 if quick else None]

gen = TextGenerator("lstm", input="onehot", hidden_size=150, dropout=0, seed=0)
gen.fit(text, epochs=1 if quick else 10)
for temperature in (1, 0.5, 0.1, 1e-7):  # the last is as good as 0: the likeliest always
    print(f"--- temperature {temperature}")
    print(gen.generate("The ", 200, temperature=temperature, seed=0))
