"""What do two trainings at the same time cost each other, with and without a look at the cores?

    python benchmarks/side_by_side.py --data DIR [--seconds 20] [--processes 2]

Each process trains an LSTM of 256 on tinyshakespeare for the same time. "following" is what `fit`
does by itself: as many threads as there are free cores. "fixed" has OMP_NUM_THREADS set to all,
PyTorch's own choice. Printed are tokens a second of all processes together.
"""

import os
import subprocess
import sys
from pathlib import Path

from common import arguments, head, machine, row

CODE = """
import sys, time
from pathlib import Path
from textrnn import LambdaCallback, TextGenerator

steps = []
gen = TextGenerator("lstm", seed=0, hidden_size=256, device="cpu")
note = LambdaCallback(
    on_train_begin=lambda logs: steps.append(time.perf_counter()),
    on_train_batch_end=lambda batch, logs: steps.append(time.perf_counter()),
)
gen.fit(Path(sys.argv[1]), minutes=float(sys.argv[2]) / 60, batch_size=32, seq_len=64, verbose=0,
        callbacks=[note])
print((len(steps) - 1) * 32 * 64 / (steps[-1] - steps[0]))
"""


def together(processes: int, text: Path, seconds: float, threads: int | None) -> float:
    """Return the tokens a second of so many trainings at the same time."""
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if threads:
        env["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, "-c", CODE, str(text), str(seconds)]
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    text, cores = args.data / "tinyshakespeare.txt", os.cpu_count() or 1
    print(f"{machine()}\n")
    head("trainings", "threads", "tokens a second, together")
    for processes in (1, args.processes):
        for name, threads in (("following", None), ("fixed", cores)):
            speed = together(processes, text, args.seconds, threads)
            row(processes, name, f"{speed:,.0f}")


if __name__ == "__main__":
    main()
