"""fast.ai's lesson 6, from windows to an LSTM. With your own text: python lesson6.py book.txt ."""

import sys
from pathlib import Path
from typing import Any

from textrnn import TextGenerator
from textrnn.datasets import load_python_docs
from textrnn.text.sources import read_text

quick = "--quick" in sys.argv
files = [Path(name) for name in sys.argv[1:] if name != "--quick"]
text = read_text(files or load_python_docs())[: 15_000 if quick else 300_000]

sizes: dict[str, Any] = {"embedding_dim": 42, "hidden_size": 64 if quick else 256, "dropout": 0}
models: dict[str, tuple[str, dict[str, Any]]] = {
    "3 characters, added": ("window_rnn", {"window": 3, "combine": "add"}),
    "8 characters, added": ("window_rnn", {"window": 8, "combine": "add"}),
    "8 characters, joined": ("window_rnn", {"window": 8, "combine": "concat"}),
    "RNN": ("rnn", {}),
    "GRU": ("gru", {}),
    "LSTM": ("lstm", {}),
}
for name, (model, arguments) in models.items():
    gen = TextGenerator(model, seed=0, **sizes, **arguments)
    gen.compile(optimizer="adam", learning_rate=3e-3, weight_decay=0, schedule="constant")
    gen.fit(text, verbose=0, epochs=1 if quick else 3)
    gen.learning_rate = 3e-4  # the optimiser keeps its moments
    history = gen.fit(text, verbose=0, epochs=1)
    print(f"{name:<22} val_loss {history.history['val_loss'][-1]:.3f} nats per character")

print("greedy: ", repr(gen.generate("The ", 80, temperature=0)))
print("sampled:", repr(gen.generate("The ", 80, temperature=0.8, seed=0)))
