"""The command line: a thin reader of the facade."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from textrnn.checks import check_choice
from textrnn.cli.inputs import read_input, read_stdin
from textrnn.cli.parser import make_parser
from textrnn.errors import DataError, NonFiniteError, TextRNNError, UnknownTokenError, visible
from textrnn.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from textrnn.generator import TextGenerator
    from textrnn.text.vocab import Vocab


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, 1 for an error, 2 for wrong usage, 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal may lack some characters of a text
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    args, rest = make_parser().parse_known_args(argv)
    if len(rest) == 1 and args.run == "generate" and not rest[0].startswith("-"):
        args.prompt, rest = rest[0], []  # argparse misses a prompt that follows the options
    if rest:
        make_parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        status: int = COMMANDS[args.run](args)
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as in `textrnn generate | head`
        return 141
    except (TextRNNError, OSError, ValueError, TypeError, ImportError, LookupError) as error:
        if args.debug:
            raise
        _tell(f"textrnn: {_one_line(error)}")
        return 1
    finally:
        _give_up(sys.stdout)
        _give_up(sys.stderr)


def _print(text: str, end: str = "\n") -> None:
    """Write to standard output, without buffering.

    Raises:
        OSError: it is closed or cannot be written.
    """
    if sys.stdout is None:
        raise OSError("Standard output is closed, so there is nowhere to write to.")
    print(text, end=end, flush=True)


def _tell(text: str) -> None:
    """Write a line to standard error, if possible."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def _give_up(stream: TextIO | None) -> None:
    """Discard output that could not be written; otherwise Python fails on it at exit."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        line = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
        return visible(line)
    return visible(" ".join(str(error).split()))


def _demo(args: argparse.Namespace) -> int:
    from textrnn.callbacks import SampleText
    from textrnn.datasets import load_python_docs
    from textrnn.evaluation import metrics, ngram_baseline
    from textrnn.generator import TextGenerator

    _check_outputs(args.output)
    text = load_python_docs()
    _print(f"The text: Python's language reference, {len(text):,} characters.\n")
    gen = TextGenerator("lstm+ngram", seed=0)
    sample = SampleText("The ", 150, temperature=0.7, seed=1, print_fn=_print_sample)
    status = _fit(gen, text, minutes=args.minutes, callbacks=[sample])
    _save(gen, args.output, status)
    if status or gen.vocab is None:
        return status
    cut = int(len(text) * 0.9)
    vocab = gen.vocab
    order, floor = ngram_baseline(vocab.encode(text[:cut]), vocab.encode(text[cut:]), len(vocab))
    _print("\nOn the last tenth of the text, which it has not seen (bits per character):")
    bits = gen.evaluate(text[cut:])["bits_per_char"]  # of all of it: fit may have read a part
    _print(f"    LSTM and counts, mixed         {bits:.3f}")
    _print(f"    the best n-gram, of order {order}    {metrics(floor)['bits_per_char']:.3f}\n")
    _print(str(gen.generate("The ", 600, temperature=0.7, seed=0)))
    _print(f'\nTry: textrnn generate {args.output} "If "')
    return 0


def _fit(gen: "TextGenerator", text: Any, **arguments: Any) -> int:
    """Train; return the exit status: 0, 1 for a loss that is not finite, or a signal's."""
    from textrnn.training.signals import TERMINATIONS, deliver_again, handled

    try:
        with handled(TERMINATIONS, lambda number, frame: sys.exit(128 + number)):
            gen.fit(text, **arguments)
            deliver_again()
    except SystemExit as error:  # a signal, delivered again, or one that came before training
        if gen.history.stopped_by is None:
            raise
        return int(error.code or 0)
    except NonFiniteError as error:  # the weights are the last good ones
        _tell(f"textrnn: {_one_line(error)}")
        return 1
    return 130 if gen.history.stopped_by == "interrupt" else 0


def _save(gen: "TextGenerator", output: str, status: int) -> None:
    """Save the model; after a training that was cut short, replace no existing model."""
    from textrnn.training.signals import TERMINATIONS, handled

    kept = status and Path(output).exists()
    path = _beside(output) if kept else output
    with handled(TERMINATIONS, signal.SIG_IGN):
        gen.save(path)
    so_far = f"{output} is unchanged; the unfinished model is saved as {path}."
    _tell(so_far if kept else f"Saved as {path}.")


def _check_outputs(output: str, *inputs: str | Path) -> None:
    """Raise an error before training if a finished or an interrupted one cannot be saved."""
    from textrnn.files.output import check_output

    check_output(output, *inputs)
    if Path(output).exists():
        check_output(_beside(output), *inputs)


def _beside(output: str) -> str:
    """Return where to save an interrupted model."""
    return f"{output}.interrupted"


def _print_sample(text: str) -> None:
    from textrnn.callbacks.report import print_above_bar

    print_above_bar("    " + text.replace("\n", "\n    ") + "\n")


def _tokenize(args: argparse.Namespace) -> int:
    from textrnn.generation.loading import load_sampler
    from textrnn.text.pieces import Pieces
    from textrnn.text.sources import open_source
    from textrnn.text.token_file import check_token_output, write_tokens

    output, limits = Path(args.output), _limits(args)
    check_token_output(output)
    if args.base is not None and (limits or args.level):
        raise ValueError("--from takes the model's vocabulary as it is; leave out the others.")
    text = open_source(Path(args.file), args.encoding)
    if isinstance(text, list):
        raise DataError(f"A token file holds one text; name a file. Received: {args.file!r}")
    pieces = Pieces.of(text) if isinstance(text, str) else text
    base = None if args.base is None else load_sampler(args.base).vocab
    vocab = base or _vocab(pieces, args.level or "char", limits)
    tokens = write_tokens(output, pieces, vocab)
    _print(f"{len(tokens.ids):,} tokens of {len(vocab):,} different ones: {output}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from textrnn.callbacks import BackupAndRestore, Callback, SampleText

    callbacks: list[Callback] = [] if args.sample is None else [SampleText(args.sample)]
    inputs: list[str | Path] = [file for file in args.files if file != "-"]
    backup = None
    if args.backup is not None:  # deleted only once the model is saved
        backup = BackupAndRestore(args.backup, timedelta(minutes=1), delete_checkpoint=False)
        callbacks.append(backup)
        inputs += [backup.path, backup.previous]
    _check_outputs(args.output, *inputs)
    text = read_input(args.files, args.encoding, lines=args.lines, column=args.column)
    gen = _generator(args, text)
    if args.learning_rate is not None:
        gen.compile(learning_rate=args.learning_rate)
    status = _fit(
        gen,
        text,
        epochs=args.epochs,
        minutes=args.minutes,
        batch_size=args.batch_size,
        seq_len=args.seq_len,
        validation_split=args.validation_split,
        callbacks=callbacks,
    )
    _save(gen, args.output, status)
    if backup is not None and not status:
        try:
            backup.delete()
        except OSError as error:
            _tell(f"The backup is no longer needed but cannot be deleted: {_one_line(error)}")
    return status


def _generator(args: argparse.Namespace, text: Any) -> "TextGenerator":
    """Return the generator to train: a new one, or that of ``--from``, which is as it is."""
    from textrnn.generator import TextGenerator

    names = ("model", "level", "seed", "hidden_size", "num_layers", "dropout", "order", "window")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    limits = _limits(args)
    if args.base is None:
        if limits:
            given["vocab"] = _vocab(text, given.pop("level", "char"), limits)
        return TextGenerator(given.pop("model", "lstm+ngram"), device=args.device, **given)
    if given or limits:
        flag = next(iter(given | limits)).replace("_", "-")
        raise ValueError(f"--from takes the model as it is; leave out --{flag}.")
    return TextGenerator.load(args.base, device=args.device)


def _limits(args: argparse.Namespace) -> dict[str, int]:
    """Return the limits of a vocabulary that were given."""
    names = ("min_freq", "max_size")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _vocab(text: Any, level: str, limits: dict[str, int]) -> "Vocab":
    """Return the vocabulary of what ``read_input`` gave, within these limits and the level's."""
    from textrnn.text.levels import LEVELS
    from textrnn.text.pieces import Pieces
    from textrnn.text.sources import open_source
    from textrnn.text.vocab import Vocab

    check_choice("level", level, LEVELS)
    source = text if isinstance(text, Pieces) else open_source(text)
    return Vocab.from_text(source, level, **{**LEVELS[level].limits, **limits})


def _check(args: argparse.Namespace) -> int:
    from textrnn.text.doctor import examine

    for file in args.files:
        _print(f"{file}\n{examine(Path(file), args.encoding)}")
    return 0


def _generate(args: argparse.Namespace) -> int:
    from textrnn.generation.loading import load_sampler

    prompt = read_stdin().removesuffix("\n") if args.prompt == "-" else args.prompt
    names = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"]
    names += ["no_repeat_ngram_size", "include_stop", "unknown"]
    settings = {name: getattr(args, name) for name in names}
    sampler = load_sampler(args.model)
    settings["stop_strings"] = [_unescape(stop, sampler.vocab) for stop in args.stop or ()]
    for name in ("suppress_tokens", "allowed_tokens"):
        text = getattr(args, name)
        if text is not None:
            settings[name] = text
    if args.num_return_sequences != 1 or args.novel:
        several = {"num_return_sequences": args.num_return_sequences, "novel": args.novel}
        texts = sampler.generate([prompt], args.max_new_tokens, **several, **settings)
        records = not any("\n" in text for text in texts)
        _print(_shown(("\n" if records else "\n----\n").join(texts)))
        return 0
    for piece in sampler.stream(prompt, args.max_new_tokens, **settings):
        _print(_shown(piece), end="")
    _print("")
    return 0


def _shown(text: str) -> str:
    """Return a text that a model wrote so that it steers no terminal; elsewhere as it is."""
    return visible(text, keep="\n\t") if sys.stdout is not None and sys.stdout.isatty() else text


def _unescape(stop: str, vocab: Tokenizer) -> str:
    r"""Return a stop string with escapes such as ``\n`` replaced.

    Raises:
        ValueError: the model can never generate it.
    """
    try:
        stop = stop.encode("latin-1", "backslashreplace").decode("unicode_escape")
        vocab.encode(stop)
    except (UnknownTokenError, UnicodeDecodeError) as error:
        raise ValueError(f"--stop {stop!r} can never occur: {error}") from None
    return stop


def _evaluate(args: argparse.Namespace) -> int:
    from textrnn.generator import TextGenerator

    gen = TextGenerator.load(args.model, device=args.device)
    text = read_input(args.files, args.encoding, lines=args.lines, column=args.column)
    for name, value in gen.evaluate(text, unknown=args.unknown).items():
        _print(f"{name:<20}{value:.4f}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from textrnn.generation.loading import DOCUMENTS, read_model
    from textrnn.generation.native.library import backend_name

    header, vocab, history, tensors = read_model(args.model)
    documents = tensors.pop(DOCUMENTS, None)
    own = header["model"]
    for part in own.get("parts") or [{"model": header["kind"], **own}]:
        _print(visible(f"model               {part['model']}"))
        for name, value in part.items():
            if name not in ("model", "vocab_size"):
                _print(visible(f"  {name:<18}{value}"))
    _print(f"vocabulary          {len(vocab)} tokens, level {vocab.name}")
    numbers = sum(tensor.size for tensor in tensors.values())
    _print(f"numbers             {numbers:,} in the tensors")
    if documents is not None:
        _print(f"documents           {len(documents):,} different ones were trained on")
    _print(f"backend             {backend_name(header['kind'])}")
    _print(f"epochs              {len(history)}")
    for name in ("loss", "val_loss", "val_bits_per_char"):
        if values := history.history.get(name):
            _print(f"{name:<20}{values[-1]:.4f}  (of the last epoch)")
    return 0


COMMANDS = {
    "check": _check,
    "demo": _demo,
    "tokenize": _tokenize,
    "train": _train,
    "generate": _generate,
    "evaluate": _evaluate,
    "info": _info,
}
"""The function of each command, by name."""
