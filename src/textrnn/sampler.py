"""Text out: a vocabulary, a stepper and a way to choose. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textrnn import saving
from textrnn.errors import (
    CorruptModelError,
    UnsupportedFormatError,
    VocabError,
    check_int,
    named_arguments,
)
from textrnn.history import History
from textrnn.sampling import Sampling
from textrnn.stepping import STEPPERS
from textrnn.vocab import Vocab


class Steps(Protocol):
    """What text is made with: the steppers, and the adapter for models of a user's own."""

    def step(self, ids: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        """Read one token of each text; give the logits of the token after it, and the state."""


class Speaker(ABC):
    """Whatever can ``generate`` and ``stream``: a ``Sampler``, a ``TextGenerator``."""

    @abstractmethod
    def _voice(self) -> tuple[Vocab, Steps]:
        """Give what text is made with."""

    @named_arguments
    def generate(
        self,
        prompt: str = "",
        max_new_tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop_strings: str | Iterable[str] | None = None,
        num_return_sequences: int = 1,
        seed: int | None = None,
        include_prompt: bool = True,
    ) -> str | list[str]:
        """Write text.

        Args:
            prompt: what the text begins with. The empty prompt begins as after a line break.
            max_new_tokens: the length of the text after the prompt, in tokens (at level "char":
                characters), at least 0.
            temperature: at least 0; lower is more predictable, 0 always takes the likeliest.
            top_k: choose among the k likeliest tokens only.
            top_p: choose among the likeliest that have this probability together, in (0, 1].
            min_p: choose among those at least this fraction as likely as the likeliest, [0, 1].
            repetition_penalty: above 1 makes tokens that were there already less likely.
            stop_strings: end where one of these would begin; it is left out. One in the prompt
                ends nothing.
            num_return_sequences: how many texts to write.
            seed: at least 0; the same seed gives the same text, and text i of several is the
                same whatever their number. None: another text every time.
            include_prompt: begin the text with the prompt.

        Returns:
            The text; a list of texts if ``num_return_sequences`` is above 1.

        Raises:
            UnknownTokenError: the prompt has a symbol that the vocabulary does not hold.
            TypeError, ValueError: an argument is not in its range.

        See ``Sampling`` for the sources of the methods. Unlike in Hugging Face's ``generate``,
        texts are sampled by default, ``temperature=0`` is allowed, and stop strings are cut off.
        """
        check_int("num_return_sequences", num_return_sequences, 1)
        settings = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
        }
        writer = _Writer(self._voice(), prompt, max_new_tokens, settings, stop_strings, seed)
        head = prompt if include_prompt else ""
        texts = [head + "".join(writer.write(i)) for i in range(num_return_sequences)]
        return texts[0] if num_return_sequences == 1 else texts

    @named_arguments
    def stream(
        self,
        prompt: str = "",
        max_new_tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop_strings: str | Iterable[str] | None = None,
        seed: int | None = None,
        include_prompt: bool = True,
    ) -> Iterator[str]:
        """Write text piece by piece, each as soon as it is known.

        The arguments are those of ``generate``, and the pieces put together are its text. What
        might become a stop string is held back until that is clear. Arguments are checked at
        the call, not at the first piece; the iterator can be left at any point.
        """
        settings = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
        }
        writer = _Writer(self._voice(), prompt, max_new_tokens, settings, stop_strings, seed)
        return _chain(prompt if include_prompt else "", writer.write(0))


class Sampler(Speaker):
    """Writes text with a trained model, on NumPy alone. ``load_sampler`` makes one.

    It changes nothing while it writes, so any number of threads may share one.

    Args:
        vocab: the model's vocabulary.
        stepper: the model's stepper.
        header: what the model's file says about it.
    """

    def __init__(self, vocab: Vocab, stepper: Steps, header: dict[str, Any] | None = None) -> None:
        self.vocab, self.stepper, self.header = vocab, stepper, header or {}

    def _voice(self) -> tuple[Vocab, Steps]:
        return self.vocab, self.stepper


def load_sampler(path: str | Path) -> Sampler:
    """Load a saved model for writing only, without importing torch.

    Args:
        path: a file that ``TextGenerator.save`` wrote.

    Raises:
        UnsupportedFormatError: it is no such file, or holds a model class of a user's own.
        CorruptModelError: the file is damaged.
        OSError: it cannot be read.
    """
    header, vocab, _, tensors = read_model(path)
    kind = header["kind"]
    if kind not in STEPPERS:
        raise UnsupportedFormatError(
            f"The file holds a model class of its author's own, {kind!r:.60}; only "
            "TextGenerator.load(path, model_class=...) can read it. "
            f"Received: {str(path)!r}"
        )
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise CorruptModelError(
                f"The tensor {name!r} holds numbers that are infinite or NaN; the model cannot "
                f"be used. Received: {str(path)!r}"
            )
    try:
        stepper = STEPPERS[kind](header["model"], tensors)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, CorruptModelError):
            raise
        raise CorruptModelError(
            f"The file's model config cannot be used ({error!r}). Received: {str(path)!r}"
        ) from None
    return Sampler(vocab, stepper, header)


def read_model(
    path: str | Path,
) -> tuple[dict[str, Any], Vocab, History, dict[str, NDArray[Any]]]:
    """Read a model file: its header with the keys a model needs, and what that describes."""
    header, tensors = saving.load(path)
    try:
        kind, config, vocab = header["kind"], header["model"], Vocab.from_config(header["vocab"])
        history = History.from_config(header["history"]) if "history" in header else History()
        if not isinstance(kind, str) or config["vocab_size"] != len(vocab):
            raise VocabError(f"{len(vocab)} symbols for a {kind} model {config}")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptModelError(
            f"The file's header does not describe a model ({error!r:.200}). Received: {str(path)!r}"
        ) from None
    return header, vocab, history, tensors


class _Writer:
    """Writes texts after one prompt: the prompt is read once, each text has its own chance."""

    def __init__(
        self,
        voice: tuple[Vocab, Steps],
        prompt: str,
        max_new_tokens: int,
        settings: dict[str, Any],
        stop_strings: str | Iterable[str] | None,
        seed: int | None,
    ) -> None:
        self.vocab, self.stepper = voice
        self.max_new_tokens = check_int("max_new_tokens", max_new_tokens, 0)
        unk = self.vocab.unk_id
        self.sampling = Sampling(**settings, banned=() if unk is None else (unk,))
        self.stops = _check_stops(stop_strings)
        if seed is not None:
            check_int("seed", seed, 0)
        self.entropy = np.random.SeedSequence(seed).entropy
        self.prompt_ids = self.vocab.encode(prompt)
        ids = self.prompt_ids if len(self.prompt_ids) else [self.vocab.start_id]
        self.state = None
        for token in ids:
            self.logits, self.state = self.stepper.step(np.array([token]), self.state)

    def write(self, index: int) -> Iterator[str]:
        """Yield the text number ``index``, without its prompt."""
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(index,)))
        held = ""  # text that may turn out to begin a stop string
        for piece in self._pieces(rng):
            held += piece
            if found := [at for stop in self.stops if (at := held.find(stop)) >= 0]:
                yield held[: min(found)]
                return
            keep = _open_ending(held, self.stops)
            if len(held) > keep:
                yield held[: len(held) - keep]
                held = held[len(held) - keep :]
        yield held

    def _pieces(self, rng: np.random.Generator) -> Iterator[str]:
        logits, state = self.logits, self.state
        penalised = self.sampling.repetition_penalty != 1
        previous = set(self.prompt_ids.tolist()) if penalised else set()
        last = int(self.prompt_ids[-1]) if len(self.prompt_ids) else None
        for n in range(self.max_new_tokens):
            if n:
                logits, state = self.stepper.step(np.array([last]), state)
            token = self.sampling.choose(logits[0], rng, sorted(previous))
            yield self.vocab.decode([token], after=last)
            last = token
            if penalised:
                previous.add(token)


def _check_stops(stop_strings: str | Iterable[str] | None) -> tuple[str, ...]:
    if stop_strings is None:
        return ()
    if isinstance(stop_strings, str):
        stop_strings = (stop_strings,)
    stops = tuple(stop_strings) if isinstance(stop_strings, Iterable) else (stop_strings,)
    if not all(isinstance(stop, str) and stop for stop in stops):
        raise (ValueError if "" in stops else TypeError)(
            f"`stop_strings` must be a non-empty str or several of them. Received: {stop_strings!r}"
        )
    return stops


def _open_ending(text: str, stops: tuple[str, ...]) -> int:
    """Give the length of the longest ending of the text that begins a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0


def _chain(head: str, pieces: Iterator[str]) -> Iterator[str]:
    if head:
        yield head
    for piece in pieces:
        if piece:
            yield piece
