"""Hand damaged model files to both loaders, and count what becomes of them.

    python tests/fuzz/fuzz_load.py --files 100000 [--seed 0]

Half of the files are damaged as disks and networks do it: bits, bytes, lengths, parts of other
files. Half are forged: header, tensors and JSON are changed and the checksums computed anew, so
that the checks behind the checksums are reached. Whatever a file holds, a loader may raise only
``TextRNNError`` or ``OSError``, and a model that it gives can write. A file that was damaged and
not forged loads only if it holds what it held before. Otherwise the exit status is 1.
"""

import argparse
import copy
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from textrnn import TextGenerator, load_sampler
from textrnn.errors import NonFiniteError, TextRNNError
from textrnn.files import model_file

DATA = Path(__file__).parents[1] / "data"
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "I8": "|i1", "U8": "|u1"}
ODD_DTYPES = [*DTYPES, "F16", "BF16", "BOOL", "F33", "", None, 3]
ODD_NUMBERS = [0, 1, 2, 3, 7, 8, -1, 2**16, 2**31, 2**63, 2**64, 10**12, 10**30, True, 8.0]
ODD_VALUES = [
    *ODD_NUMBERS, None, False, 0.5, -0.5, 1e308, "", "x", "lstm", "rnn", "ngram", "word", "onehot",
    "\ud800", [], {}, [1], [[97]], {"a": 1}, [[[[]]]], "../../etc/passwd", "nan", "9" * 50,
]  # fmt: skip


class Original:
    """A whole file, and the parts that forgeries are made of."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.head_end = 8 + int.from_bytes(self.data[:8], "little")
        head = json.loads(self.data[8 : self.head_end])
        self.header = json.loads(head.pop("__metadata__")["header"])
        self.tensors = {}  # name to dtype, shape, data
        for name, entry in head.items():
            start, end = (self.head_end + offset for offset in entry["data_offsets"])
            self.tensors[name] = [entry["dtype"], entry["shape"], self.data[start:end]]
        self.loaded = model_file.load(path)

    def is_in(self, path):
        """Return whether a file holds what this one does."""
        try:
            header, tensors = model_file.load(path)
        except TextRNNError:
            return False
        return (header, described(tensors)) == (self.loaded[0], described(self.loaded[1]))


def described(tensors):
    """Return arrays as what can be compared to the bit."""
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in tensors.items()}


def pack(header, tensors, offsets=None, metadata=None):
    """Write a file by hand, with the checksums that belong to what is in it."""
    digests, entries, position = {}, {}, 0
    for name, (dtype, shape, data) in tensors.items():
        sha = hashlib.sha256(f"{DTYPES.get(dtype, dtype)} {as_tuple(shape)}".encode())
        sha.update(data)
        digests[name] = sha.hexdigest()
        span = [position, position + len(data)]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": span}
        position += len(data)
    for name, span in (offsets or {}).items():
        entries[name]["data_offsets"] = span
    digest = hashlib.sha256(header.encode(errors="surrogatepass")).hexdigest()
    own = {"header": header, "digests": json.dumps({"header": digest, "tensors": digests})}
    head = json.dumps(
        {"__metadata__": {"textrnn_format": "1", **own, **(metadata or {})}, **entries}
    )
    data = b"".join(data for _, _, data in tensors.values())
    return len(head).to_bytes(8, "little") + head.encode() + data


def as_tuple(shape):
    """Return a shape as Python writes it, if it is one."""
    return tuple(shape) if isinstance(shape, list) else shape


# Damage: (rng, original, another original) -> bytes. The checksums are not touched.


def flip_bits(rng, file, other):
    """Flip one bit, or a few."""
    data = bytearray(file.data)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flip_a_bit_of_the_header(rng, file, other):
    """Flip one bit where the length and the JSON are."""
    data = bytearray(file.data)
    data[rng.randrange(file.head_end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(rng, file, other):
    """Leave out the end, or a part in the middle."""
    start = rng.randrange(len(file.data))
    end = rng.choice([len(file.data), rng.randrange(start, len(file.data)) + 1])
    return file.data[:start] + file.data[end:]


def splice(rng, file, other):
    """Put in a part of another file, or of this one, or noise."""
    source = rng.choice([other.data, file.data, rng.randbytes(64), bytes(64)])
    start = rng.randrange(len(source))
    part = source[start : start + rng.choice([1, 8, 64, 4096])]
    at = rng.randrange(len(file.data) + 1)
    return file.data[:at] + part + file.data[at + rng.choice([0, len(part)]) :]


def change_length(rng, file, other):
    """Let the header have another length."""
    length = file.head_end - 8
    odd = [0, 1, 2, length - 1, length + 1, len(file.data), 10**8 + 1, 2**63, 2**64 - 1]
    return rng.choice([*odd, rng.getrandbits(16)]).to_bytes(8, "little") + file.data[8:]


# Forgery: the same, with checksums that are right.


def edit_header(rng, file, other):
    """Change some values of the header, anywhere in it."""
    header = copy.deepcopy(file.header)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        edit(rng, header, rng.choice([odd_value, lambda rng: value_from(rng, other.header)]))
    return pack(json.dumps(header), file.tensors)


def edit(rng, tree, value):
    """Change, add or leave out something at a random place of a JSON value."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = rng.choice(keys) if keys else None
        if (
            key is not None
            and isinstance(tree[key], dict | list)
            and tree[key]
            and rng.random() < 0.8
        ):
            tree = tree[key]
            continue
        if key is None or rng.random() < 0.1:
            key = "new"
        if key == "new" and isinstance(tree, list):
            tree.insert(rng.randrange(len(tree) + 1), value(rng))
        elif key != "new" and rng.random() < 0.15:
            del tree[key]
        else:
            tree[key] = value(rng)
        return


def odd_value(rng):
    """Return a JSON value that somebody may not have thought of."""
    if rng.random() < 0.3:
        return rng.choice([rng.getrandbits(rng.randrange(1, 80)), rng.uniform(-9, 9), rng.random()])
    return copy.deepcopy(rng.choice(ODD_VALUES))


def value_from(rng, tree):
    """Return a value that stands somewhere in a JSON value."""
    while isinstance(tree, dict | list) and tree and rng.random() < 0.8:
        tree = tree[rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))]
    return copy.deepcopy(tree)


def edit_text(rng, file, other):
    """Change the text of the header, as JSON would not."""
    text = json.dumps(file.header)
    at = rng.randrange(len(text))
    odd = ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 5000, '"', "{", "}", ",", "\\ud800", "\0"]
    odd += ['"kind": "rnn", ', " ", "0", "-", ".", "e", "\ud800", "\ufeff"]
    return pack(text[:at] + rng.choice(odd) + text[at + rng.choice([0, 1, 5]) :], file.tensors)


def edit_tensors(rng, file, other):
    """Change names, types, shapes and data of tensors."""
    tensors = {name: list(tensor) for name, tensor in file.tensors.items()}
    for _ in range(rng.choice([1, 1, 2])):
        name = rng.choice(list(tensors))
        what = rng.randrange(8)
        if what == 0:
            tensors[name][0] = rng.choice(ODD_DTYPES)
        elif what == 1:
            shape = [n for n in tensors[name][1] or [] if type(n) is int]
            odd = [
                [],
                [0],
                shape[::-1],
                [*shape, 1],
                [1, *shape],
                [2**62, *shape],
                [-n for n in shape],
            ]
            tensors[name][1] = rng.choice(
                [*odd, [rng.choice(ODD_NUMBERS) for _ in shape], None, "x"]
            )
        elif what == 2:
            tensors[rng.choice(["x", "", "../../etc/passwd", name + ".", "0"])] = tensors.pop(name)
        elif what == 3:
            tensors[rng.choice(["x", f"{name}2"])] = list(tensors[name])
        elif what == 4 and len(tensors) > 1:
            del tensors[name]
        elif what == 5:
            a, b = tensors[name], rng.choice(list(tensors.values()))
            a[1], b[1], a[2], b[2] = b[1], a[1], b[2], a[2]
        elif what == 6:
            tensors[name][1:] = [[0], b""]
        else:
            tensors[name][2] = odd_data(rng, tensors[name])
    return pack(json.dumps(file.header), tensors)


def odd_data(rng, tensor):
    """Return the data of a tensor with some of its numbers changed."""
    if tensor[0] not in ("F32", "I32", "I64"):
        return tensor[2][: rng.randrange(len(tensor[2]) + 1)]
    dtype = np.dtype(DTYPES[tensor[0]])
    whole = len(tensor[2]) // dtype.itemsize * dtype.itemsize  # it may be another tensor's data
    array = np.frombuffer(tensor[2][:whole], dtype).copy()
    floats = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, 1.0]
    bits = 31 if tensor[0] == "I32" else 63
    numbers = [0, 1, -1, 5, 100, 2**bits - 1, -(2**bits), rng.getrandbits(bits)]
    for _ in range(rng.choice([1, 1, 3, 50])):
        if array.size:
            odd = floats if tensor[0] == "F32" else numbers
            array[rng.randrange(array.size)] = rng.choice(odd)
    return rng.choice([array, array, np.sort(array), array[:-1]]).tobytes()


def edit_offsets(rng, file, other):
    """Let tensors lie elsewhere in the file."""
    offsets = {}
    for name in rng.sample(list(file.tensors), rng.choice([1, 2])):
        start = rng.choice([0, 4, -4, len(file.data), 2**63, rng.randrange(2000)])
        span = [start, start + rng.choice([0, 4, len(file.tensors[name][2])])]
        offsets[name] = rng.choice([span, span, span[::-1], span[:1], [0.0, 4], None])
    return pack(json.dumps(file.header), file.tensors, offsets)


def edit_metadata(rng, file, other):
    """Change what stands around the header."""
    key = rng.choice(["textrnn_format", "header", "digests", "more"])
    values = [
        *ODD_VALUES,
        "{}",
        "[]",
        '{"header": 1, "tensors": {}}',
        "2",
        json.dumps(other.header),
    ]
    return pack(json.dumps(file.header), file.tensors, metadata={key: rng.choice(values)})


DAMAGE = [flip_bits, flip_a_bit_of_the_header, cut, splice, change_length]
FORGERY = [edit_header, edit_header, edit_text, edit_tensors, edit_offsets, edit_metadata]


def originals():
    """Return the files that damage is done to: the golden ones."""
    return [Original(path) for path in sorted(DATA.glob("*.safetensors"))]


def outcome(load, path, times):
    """Return what becomes of a file: the name of an error of ours, an escape, or "loaded"."""
    began = time.perf_counter()
    try:
        model = load(path)
    except (TextRNNError, OSError) as error:
        return type(error).__name__
    except BaseException as error:
        return f"ESCAPED from {load.__name__}: {type(error).__name__}: {error!s:.100}"
    finally:
        times.append(time.perf_counter() - began)
    try:
        with np.errstate(all="ignore"):
            model.generate("", 3, temperature=0)
            model.generate("", 3, seed=0)
    except NonFiniteError:
        return "loaded"  # forged weights may be absurd, and that is said
    except BaseException as error:
        return f"ESCAPED in writing after {load.__name__}: {type(error).__name__}: {error!s:.100}"
    return "loaded"


def load_generator(path):
    """Load a file with torch, on the CPU."""
    return TextGenerator.load(path, device="cpu")


def run(files, seed, path, say=None):
    """Load so many damaged files; give (kind of damage, outcome) to number, and the worst time.

    ``load_sampler`` gets every file, ``TextGenerator.load`` every eighth, and all that load.
    """
    rng, sound = random.Random(seed), originals()
    table, times = Counter(), []
    load_generator(DATA / "0.1.0-lstm.safetensors")  # what is imported once is imported now
    for i in range(files):
        file, other = rng.choice(sound), rng.choice(sound)
        forged = rng.random() < 0.5
        damage = rng.choice(FORGERY if forged else DAMAGE)
        path.unlink(missing_ok=True)  # some file systems wait for the disk if it is overwritten
        path.write_bytes(damage(rng, file, other))
        result = outcome(load_sampler, path, times)
        if result == "loaded":
            equal = file.is_in(path)
            result = "loaded equal" if equal else "loaded differently"
            if not equal and not forged:
                result = "LOADED DIFFERENTLY, in silence"
        second = None
        if i % 8 == 0 or result.startswith("loaded"):
            second = outcome(load_generator, path, times)
            if second.startswith("ESCAPED"):
                result = second
            elif result.startswith("loaded") and second != "loaded":
                result = f"loaded without torch, with torch {second}"
        table[damage.__name__, result] += 1
        if say and faults({(damage, result): 1}):
            path.with_name(f"file{i}").write_bytes(path.read_bytes())
            say(f"file {i}, {damage.__name__}: {result}")
    return table, max(times)


def faults(table):
    """Return those outcomes of a table that must not be."""
    return {key: n for key, n in table.items() if key[1].startswith(("ESCAPED", "LOADED"))}


def limit_memory():
    """Turn a file that asks for more than 2 GiB into a MemoryError, where the system can."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    most = pages * resource.getpagesize() + 2 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main():
    """Read the arguments, run, print the table; give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", metavar="FOLDER", help="for the files that must not be")
    args = parser.parse_args()
    limit_memory()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(args.keep or folder, "model")
        table, worst = run(args.files, args.seed, path, print)
    for (damage, result), n in sorted(table.items()):
        print(f"{damage:<26}{result:<60}{n:>8,}")
    totals = Counter()
    for (_, result), n in table.items():
        totals[result] += n
    print()
    for result, n in totals.most_common():
        print(f"{'all':<26}{result:<60}{n:>8,}")
    wrong = sum(faults(table).values())
    print(
        f"\n{args.files:,} files (seed {args.seed}) in {time.perf_counter() - began:.0f} s; ",
        end="",
    )
    print(f"the slowest loaded in {worst:.3f} s; {wrong} that must not be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
