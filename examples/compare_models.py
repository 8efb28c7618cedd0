"""Which model predicts a text best? From counting to LSTM, on the same text and split."""

import sys

from textrnn import TextGenerator
from textrnn.datasets import load_python_docs

quick = "--quick" in sys.argv
text = load_python_docs()[: 15_000 if quick else None]

print(f"{'model':<12}{'bits per character on the last tenth':>40}")
for model in ("ngram", "window_mlp", "window_rnn", "rnn", "gru", "lstm"):
    gen = TextGenerator(model, seed=0)
    history = gen.fit(text, verbose=0, epochs=1 if quick else 5)
    print(f"{model:<12}{history.history['val_bits_per_char'][-1]:>40.3f}")
