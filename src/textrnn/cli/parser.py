"""The commands and their options."""

import argparse
from typing import NoReturn

from textrnn import __version__
from textrnn.generation.native.library import backend_name
from textrnn.generation.steppers import STEPPERS
from textrnn.text.levels import LEVELS

UNKNOWN = ("error", "skip", "unk")
"""What ``--unknown`` takes."""

_DEMO_MODEL = "textrnn-demo.safetensors"


class Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Write the message to standard error, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; ``run`` is the name of the command."""
    parser = Parser(prog="textrnn", description="Turn your own text into a text generator.")
    version = f"textrnn {__version__} ({backend_name()})"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="train for a minute on a built-in text")
    demo.add_argument("-o", "--output", default=_DEMO_MODEL, help="where to save the model")
    demo.add_argument("--minutes", type=float, default=1.0, help="default: %(default)s")
    demo.set_defaults(run="demo")

    check = commands.add_parser("check", help="show what to know of a text before training on it")
    check.add_argument("files", nargs="+", metavar="FILE", help="a text, or a folder of texts")
    check.add_argument("--encoding", help="of FILE, such as cp1252 (default: UTF-8)")
    check.set_defaults(run="check")

    tokenize = commands.add_parser("tokenize", help="write a text as ids, larger than memory")
    tokenize.add_argument("file", metavar="FILE", help="a UTF-8 text, of any size")
    tokenize.add_argument("-o", "--output", required=True, help="where to, as FILE.bin")
    tokenize.add_argument("--from", dest="base", metavar="MODEL", help="with a model's vocabulary")
    tokenize.add_argument("--level", help=f"what a token is: {', '.join(LEVELS)} (default: char)")
    tokenize.add_argument("--min-freq", type=int, help="leave out tokens that occur less often")
    tokenize.add_argument("--max-size", type=int, help="keep only this many tokens")
    tokenize.add_argument("--encoding", help="of FILE, such as cp1252 (default: UTF-8)")
    tokenize.set_defaults(run="tokenize")

    train = commands.add_parser("train", help="learn from a text and save the model")
    _add_input(train)
    train.add_argument("-o", "--output", required=True, help="where to save the model")
    length = train.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help="passes over the text (default: 10)")
    length.add_argument("--minutes", type=float, help="wall time instead of epochs")
    train.add_argument("--from", dest="base", metavar="MODEL", help="train a saved model further")
    names = ", ".join(name for name in STEPPERS if name != "mixture")
    train.add_argument("--model", help=f"{names}, or some joined by + (default: lstm+ngram)")
    train.add_argument("--level", help=f"what a token is: {', '.join(LEVELS)} (default: char)")
    train.add_argument("--min-freq", type=int, help="leave out tokens that occur less often")
    train.add_argument("--max-size", type=int, help="keep only this many tokens")
    train.add_argument("--hidden-size", type=int, help="width of the state")
    train.add_argument("--num-layers", type=int, help="recurrent layers")
    train.add_argument("--dropout", type=float, help="probability that a feature is dropped")
    train.add_argument("--order", type=int, help="of an ngram model")
    train.add_argument("--window", type=int, help="of a window model, in tokens")
    train.add_argument("--learning-rate", type=float, help="at the schedule's peak")
    train.add_argument("--batch-size", type=int, help="rows of text read side by side")
    train.add_argument("--seq-len", type=int, help="length of back-propagation, in tokens")
    train.add_argument("--validation-split", type=float, default=0.1, help="default: %(default)s")
    train.add_argument("--seed", type=int, help="makes training repeatable")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    train.add_argument("--sample", metavar="PROMPT", help="print a sample after each epoch")
    train.add_argument(
        "--backup",
        metavar="FILE",
        help="write a backup every minute; run the command again to resume",
    )
    train.set_defaults(run="train")

    generate = commands.add_parser("generate", help="write text with a saved model")
    generate.add_argument("model", help="a file that train or demo saved")
    generate.add_argument("prompt", nargs="?", default="", help="- for standard input")
    generate.add_argument(
        "-n",
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="default: 200, or 1000 for a model of documents, which ends them",
    )
    generate.add_argument("--temperature", type=float, default=1.0, help="0 is greedy")
    generate.add_argument("--top-k", type=int)
    generate.add_argument("--top-p", type=float)
    generate.add_argument("--min-p", type=float)
    generate.add_argument("--repetition-penalty", type=float, default=1.0)
    generate.add_argument("--no-repeat-ngram-size", type=int, metavar="N")
    generate.add_argument("--suppress-tokens", metavar="TEXT", help="never generate its tokens")
    generate.add_argument("--allowed-tokens", metavar="TEXT", help="generate only its tokens")
    generate.add_argument(
        "--stop", action="append", metavar="TEXT", help="end before this text; \\n is a line break"
    )
    generate.add_argument("--include-stop", action="store_true", help="end after it instead")
    generate.add_argument("--num-return-sequences", type=int, default=1, metavar="N")
    generate.add_argument(
        "--novel", action="store_true", help="no document trained on, and none twice"
    )
    generate.add_argument("--unknown", choices=UNKNOWN, help="tokens that the model does not know")
    generate.add_argument("--seed", type=int, help="same seed, same text")
    generate.set_defaults(run="generate")

    evaluate = commands.add_parser("evaluate", help="measure how well a model predicts a text")
    evaluate.add_argument("model", help="a file that train or demo saved")
    _add_input(evaluate)
    evaluate.add_argument("--unknown", choices=UNKNOWN, help="tokens that the model does not know")
    evaluate.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    evaluate.set_defaults(run="evaluate")

    info = commands.add_parser("info", help="show what a model file holds")
    info.add_argument("model", help="a file that train or demo saved")
    info.set_defaults(run="info")
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what text to read."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a UTF-8 text; - for standard input; several, or a folder, are documents",
    )
    parser.add_argument("--encoding", help="of FILE, such as cp1252 (default: UTF-8)")
    records = parser.add_mutually_exclusive_group()
    records.add_argument("--lines", action="store_true", help="each line is a document")
    records.add_argument(
        "--column", metavar="NAME", help="each row is one: of a CSV, a TSV or JSON lines"
    )
