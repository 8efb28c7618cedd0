"""Why the state starts afresh at each quarter of training: with and without, side by side.

python benchmarks/restarts.py --data DIR
"""

import argparse
from pathlib import Path

from textrnn import TextGenerator
from textrnn.training import trainer


def main() -> None:
    """Train tinyshakespeare for less than an epoch, and for one, with several seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    path = parser.parse_args().data / "tinyshakespeare.txt"
    restarting = trainer._Run.enters_new_quarter
    print("training        seed   state carried through   also restarted at each quarter")
    for name, length in (("6 seconds", {"minutes": 0.1}), ("1 epoch", {"epochs": 1})):
        for seed in range(4):
            losses = []
            for method in (lambda run: False, restarting):
                trainer._Run.enters_new_quarter = method  # type: ignore[method-assign, assignment]
                history = TextGenerator(seed=seed).fit(path, verbose=0, **length)  # type: ignore[arg-type]
                losses.append(history.history["val_loss"][-1])
            print(f"{name:<16}{seed:<7}{losses[0]:<24.3f}{losses[1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
