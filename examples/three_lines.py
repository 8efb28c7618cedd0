"""From a text to a generator; for a text of your own: python three_lines.py book.txt ."""

import sys
from pathlib import Path

from textrnn import TextGenerator
from textrnn.datasets import load_python_docs

quick = "--quick" in sys.argv
files = [Path(name) for name in sys.argv[1:] if name != "--quick"]

gen = TextGenerator(seed=0)
gen.fit(files or load_python_docs(), minutes=0.05 if quick else 2)
print(gen.generate("The ", 400, temperature=0.8))
gen.save("three_lines.safetensors")
