"""Make the golden files: a small model of each kind and format, and what it wrote when saved.

    python tests/data/make.py [--backup]

Every later textrnn must read these files and write the same texts with them, so they are never
made again: this makes those that are missing. A release whose files look different adds files of
its own, under its own name. The files here are from 0.1.0.

With ``--backup`` it makes the backup of a training that was killed, which belongs to its release:
another one refuses it. It is made anew until that release is out.

Rounding differs between machines. So a model's texts are recorded only if they stay the same when
every weight is changed by about one part in 10,000, which is far more than rounding does.
"""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np

from textrnn import BackupAndRestore, LambdaCallback, TextGenerator, load_sampler
from textrnn.files import model_file
from textrnn.generation.sampler import Sampler
from textrnn.generation.steppers import STEPPERS

RELEASE = "0.1.0"
HERE = Path(__file__).parent
LINES = "one two three four\nfive six seven\n" * 60
WORDS = "the cat sat on the mat. the dog lay on the rug, too.\n" * 40 + "Never before.\n"
MODELS = {
    "lstm": ("lstm", LINES, {"num_layers": 2, "embedding_dim": 6}),
    "gru": ("gru", LINES, {"input": "onehot"}),
    "rnn": ("rnn", LINES, {"nonlinearity": "relu", "embedding_dim": 6}),
    "window_mlp": ("window_mlp", LINES, {"window": 5, "embedding_dim": 6}),
    "window_rnn": ("window_rnn", LINES, {"window": 5, "embedding_dim": 6}),
    "ngram": ("ngram", LINES, {"order": 4}),
    "window_rnn_add": (
        "window_rnn",
        LINES,
        {"window": 5, "embedding_dim": 8, "combine": "add"},
    ),
    "kneser_ney": ("ngram", LINES, {"order": 4, "smoothing": "kneser_ney"}),
    "mixture": ("gru+ngram", LINES, {"embedding_dim": 6, "order": 4}),
    "documents": ("lstm", LINES.splitlines(), {"embedding_dim": 6}),
    "split": ("gru", WORDS, {"level": "split"}),
    "byte": ("ngram", LINES, {"level": "byte", "order": 4}),
    "bpe": ("ngram", WORDS, {"level": "bpe", "order": 3}),
    "words": ("lstm", WORDS, {"level": "word", "tie_weights": True}),
}


def make(name):
    """Train and save one model; give what it writes."""
    kind, text, arguments = MODELS[name]
    sizes = {} if kind == "ngram" else {"hidden_size": 8}
    gen = TextGenerator(kind, seed=1, device="cpu", **sizes, **arguments)
    gen.compile(learning_rate=0.03)
    gen.fit(text, epochs=150, batch_size=8, seq_len=16, validation_split=0, verbose=0)
    gen.history.history.clear()  # 150 epochs of it would be most of the file
    gen.history.append(149, {"loss": gen.evaluate(text)["loss"]})
    path = HERE / f"{RELEASE}-{name}.safetensors"
    gen.save(path)
    prompt = "the" if text is WORDS else "one t"
    sampler = load_sampler(path)
    seed = next(seed for seed in range(100) if is_clear(path, prompt, seed))
    return {
        "prompt": prompt,
        "greedy": sampler.generate(prompt, 60, temperature=0),
        "seed": seed,
        "seeded": sampler.generate(prompt, 60, seed=seed),
        "logits": [float(f"{x:.7g}") for x in sampler.state(prompt).logits[0].tolist()],
    }


def is_clear(path, prompt, seed):
    """Return whether both texts of a model stay the same if its weights change a little."""
    header, tensors = model_file.load(path)
    exact = load_sampler(path)
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = {
            name: (tensor * (1 + 1e-4 * rng.standard_normal(tensor.shape))).astype(tensor.dtype)
            if tensor.dtype.kind == "f"
            else tensor
            for name, tensor in tensors.items()
        }
        other = Sampler(exact.vocab, STEPPERS[header["kind"]](header["model"], near))
        for settings in ({"temperature": 0}, {"seed": seed}):
            if other.generate(prompt, 60, **settings) != exact.generate(prompt, 60, **settings):
                return False
    return True


def make_backup(path):
    """Train with a backup and stop in the middle."""

    def stop(batch, logs):
        if logs["progress"] > 0.5:
            raise KeyboardInterrupt

    path.unlink(missing_ok=True)
    with contextlib.suppress(KeyboardInterrupt):
        fit_backed_up(path, LambdaCallback(on_train_batch_end=stop))
    path.with_name(f"{path.name}.previous").unlink()


def fit_backed_up(path, *callbacks):
    """Return a small generator after a training with a backup."""
    gen = TextGenerator("rnn", hidden_size=4, seed=0, device="cpu")
    gen.compile(learning_rate=0.03)
    saving = [*callbacks, BackupAndRestore(path, 5)]
    gen.fit(LINES[:1000], epochs=4, batch_size=4, seq_len=16, verbose=0, callbacks=saving)
    return gen


def main():
    """Make the files that are missing."""
    if sys.argv[1:] == ["--backup"]:
        make_backup(HERE / f"{RELEASE}-backup")
        return
    record = HERE / "golden.json"
    golden = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for name in MODELS:
        if f"{RELEASE}-{name}.safetensors" not in golden:
            golden[f"{RELEASE}-{name}.safetensors"] = made = make(name)
            print(name, made["seed"], repr(made["greedy"]), repr(made["seeded"]), sep="\n    ")
    record.write_text(json.dumps(golden, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
