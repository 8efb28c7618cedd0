"""An app that only writes text: the model is loaded without torch, each request streams."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from textrnn import load_sampler

MODEL = Path("streaming_app.safetensors")


def train() -> None:
    """Make a small model, as another program would have done."""
    from textrnn import TextGenerator
    from textrnn.datasets import load_human_numbers

    gen = TextGenerator("ngram", order=6)
    gen.fit(load_human_numbers(), verbose=0)
    gen.save(MODEL)


if not MODEL.exists():
    train()
sampler = load_sampler(MODEL)

for piece in sampler.stream("one hundred ", 120, seed=1):
    print(piece, end="", flush=True)
print()

prompts = ["two ", "three ", "four "]
with ThreadPoolExecutor() as pool:  # one sampler, many threads
    for text in pool.map(lambda prompt: sampler.generate(prompt, 40, seed=2), prompts):
        print(repr(text))

if "--quick" in sys.argv:
    MODEL.unlink()
