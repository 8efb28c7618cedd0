"""Asked and taken: does ``fit(minutes=...)`` keep its word on every text and level?

    python benchmarks/minutes.py --data DIR [--seconds 18 60 180]

DIR has tinyshakespeare.txt and anna_karenina.txt. Wall time, from the call of ``fit`` to its
return, with a sample after each epoch.
"""

import time

from common import arguments, machine

from textrnn import TextGenerator
from textrnn.callbacks import SampleText


def main() -> None:
    """Print a table."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=[18, 60, 180])
    args = parser.parse_args()
    plays = (args.data / "tinyshakespeare.txt").read_text()
    novel = (args.data / "anna_karenina.txt").read_text()
    texts = [
        ("tinyshakespeare", "char", plays),
        ("40 MB", "char", plays * (40_000_000 // len(plays))),
        ("anna_karenina", "word", novel),
    ]
    print(machine(), end="\n\n")
    print("| text | level | asked | taken | off | epochs | validated on |")
    print("|---|---|---|---|---|---|---|")
    for seconds in args.seconds:
        for name, level, text in texts:
            gen, began = TextGenerator(level=level, seed=0), time.perf_counter()
            sample = SampleText("The ", 200, print_fn=lambda text: None)
            history = gen.fit(text, minutes=seconds / 60, callbacks=[sample], verbose=0)
            took = time.perf_counter() - began
            read = history.history["val_tokens"][-1]
            print(
                f"| {name} | {level} | {seconds:g} s | {took:.1f} s | {took / seconds - 1:+.1%} "
                f"| {len(history)} | {read:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
