"""How does each level cut the scripts of the world, and how fast?

    python benchmarks/levels.py --data DIR [--megabytes 20] [--turns 3]

DIR holds `nonlatin/udhr_scripts.txt`, the Universal Declaration of Human Rights in many languages,
and other texts. The first table has the vocabularies that `fit` would collect from each language
alone; the second is of all texts of DIR together, repeated to 20 MB.
"""

import statistics
import time
from pathlib import Path

import regex
from common import arguments, head, in_turns, machine, row

from textrnn import Vocab
from textrnn.text.levels import LEVELS

LANGUAGES = {
    "Hindi": r"\p{Devanagari}",
    "Tamil": r"\p{Tamil}",
    "Burmese": r"\p{Myanmar}",
    "Thai": r"\p{Thai}",
    "Chinese": r"^(?!.*[\p{Hiragana}\p{Katakana}]).*\p{Han}",
    "Hebrew": r"\p{Hebrew}",
}


def languages(text: str) -> dict[str, str]:
    """Return the lines of each language; the first one is English, up to a Cyrillic letter."""
    lines = text.splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if regex.search(r"\p{Cyrillic}", line))
    found = {"English": "".join(lines[:end])}
    for name, pattern in LANGUAGES.items():
        found[name] = "".join(line for line in lines if regex.search(pattern, line))
    return found


def measure(text: str, level: str) -> str:
    """Return tokens for a word between white space, and the share of unknown ones, in words."""
    full = Vocab.from_text(text, level)
    if full.decode(full.encode(text)) != text:
        raise AssertionError(f"level {level!r} does not give the text back")
    vocab = Vocab.from_text(text, level, **LEVELS[level].limits)
    ids = vocab.encode(text)
    per_word = f"{len(ids) / len(text.split()):.1f}"
    return per_word if vocab.unk_id is None else f"{per_word}, {(ids == vocab.unk_id).mean():.0%}"


def speeds(text: str, turns: int) -> None:
    """Print MB per CPU-second of each level, and how long its vocabulary takes to collect."""
    size = len(text.encode("utf-8", "surrogatepass")) / 1e6
    vocabs, seconds = {}, {}
    for level, kind in LEVELS.items():
        began = time.process_time()
        vocabs[level] = Vocab.from_text(text, level, **kind.limits)
        seconds[level] = time.process_time() - began
    works = {level: lambda v=vocab: v.encode(text) for level, vocab in vocabs.items()}
    times = in_turns(works, turns, time.process_time)
    columns = (
        "level",
        "tokens",
        "characters a token",
        "collect, CPU-seconds",
        "encode, MB a CPU-second",
    )
    head(*columns, title=f"{size:.0f} MB")
    for level, vocab in vocabs.items():
        mean = len(text) / len(vocab.encode(text))
        speed = size / statistics.median(times[level])
        row(level, f"{len(vocab):,}", f"{mean:.2f}", f"{seconds[level]:.1f}", f"{speed:.1f}")


def main() -> None:
    """Print both tables."""
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    path: Path = args.data / "nonlatin" / "udhr_scripts.txt"
    title = "tokens for each word between white space, and the share of unknown ones"
    head("language", *LEVELS, title=title)
    for name, text in languages(path.read_text(encoding="utf-8")).items():
        row(name, *(measure(text, level) for level in LEVELS))
    print("\nEvery text came back from every level.")
    texts = [p.read_text(encoding="utf-8") for p in sorted(args.data.rglob("*.txt"))]
    whole = "".join(texts)
    size = len(whole.encode())
    speeds(whole * int(args.megabytes * 1e6 // size + 1), args.turns)


if __name__ == "__main__":
    main()
