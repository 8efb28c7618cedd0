"""One sequence of the decoding loop: from a text that was read to a generated text."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textrnn.generation.sampling import SamplingParams, TokenHistory
from textrnn.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class TextState:
    """A text that was read: ``state`` returns it and ``generate(state=...)`` continues it.

    It never changes, so any number of texts may continue it.

    Attributes:
        ids: the ids that were read.
        logits: (1, V) float32, the scores of the token after them.
        state: the model's state after them.

    >>> from textrnn import TextGenerator
    >>> gen = TextGenerator("ngram", order=3)
    >>> history = gen.fit("abc abd abc abd", verbose=0)
    >>> begun = gen.state("abc ab")
    >>> begun
    TextState(6 tokens)
    >>> gen.generate(state=begun, max_new_tokens=5, temperature=0)
    'c abc'
    """

    ids: tuple[int, ...]
    logits: NDArray[np.float32]
    state: Any

    def __repr__(self) -> str:
        return f"TextState({len(self.ids)} tokens)"


@dataclass(frozen=True, eq=False)
class GeneratedText:
    """A generated text with details, as ``generate(return_details=True)`` returns it.

    Attributes:
        text: the text, as ``generate`` returns it without details.
        finish_reason: why it ended: ``"end"`` at the end of a document, ``"stop"`` at a stop
            string, ``"length"`` after ``max_new_tokens``.
        tokens: the n generated tokens, as the tokenizer shows them; the end of a document is
            ``""``.
        log_probabilities: (n,) float32, natural logarithms of the model's probabilities of these
            tokens, before temperature and the other settings.

    >>> from textrnn import TextGenerator
    >>> gen = TextGenerator("ngram", order=3)
    >>> history = gen.fit(["abc", "abd"] * 20, verbose=0)
    >>> gen.generate("a", temperature=0, return_details=True)
    GeneratedText(text='abc', finish_reason='end', tokens=('b', 'c', ''))
    """

    text: str
    finish_reason: str
    tokens: tuple[str, ...] = ()
    log_probabilities: NDArray[np.float32] = field(
        default_factory=lambda: np.empty(0, dtype=np.float32), repr=False
    )


class Sequence:
    """A sequence being generated: its random stream, its history, the text that is safe to emit.

    Args:
        begun: the text that it continues.
        tokenizer: turns its ids into text.
        params: how tokens are chosen; some settings need a history.
        stops: the strings that end it.
        rng: its random stream.
        include_stop: whether the stop string belongs to the text.

    Attributes:
        finish_reason: "end" or "stop" once it has ended; None before.
        pieces: the pieces of the text so far.
    """

    def __init__(
        self,
        begun: TextState,
        tokenizer: Tokenizer,
        params: SamplingParams,
        stops: tuple[str, ...],
        rng: np.random.Generator,
        *,
        include_stop: bool = False,
    ) -> None:
        self.begun, self.draw = begun, rng.random
        self.history = TokenHistory(params, begun.ids) if params.looks_back else None
        self.finish_reason: str | None = None
        self.pieces: list[str] = []
        self._tokenizer, self._eot_id = tokenizer, tokenizer.eot_id
        decoder = tokenizer.decoder(begun.ids[-1] if begun.ids else None)
        self._push, self._flush, self._stops = decoder.push, decoder.flush, stops
        self._include_stop = include_stop
        self._held = ""  # a possible beginning of a stop string
        self._tokens: list[int] = []
        self._log_probabilities: list[float] = []

    def push(self, token: int) -> str:
        """Take the next token; return the text that is now certain."""
        if token == self._eot_id:
            self.finish_reason = "end"
            return ""
        if self.history is not None:
            self.history.add(token)
        text = self._push(token)
        return self._release(text) if self._stops else text

    def flush(self) -> str:
        """Return the text that was held back, once no token follows."""
        if self.finish_reason == "stop":
            return ""
        text = self._flush()
        if not self._stops:
            return text
        text = self._release(text)
        return text if self.finish_reason == "stop" else text + self._held

    def note(self, token: int, logits: NDArray[np.float32]) -> None:
        """Record the next token and its log-probability under the model's logits (V,)."""
        scores = logits.astype(np.float64)
        top = scores.max()
        self._tokens.append(token)
        self._log_probabilities.append(scores[token] - top - np.log(np.exp(scores - top).sum()))

    def result(self) -> GeneratedText:
        """Return the whole text, once it has ended."""
        return GeneratedText(
            "".join(self.pieces),
            self.finish_reason or "length",
            tuple(map(self._tokenizer.token_text, self._tokens)),
            np.array(self._log_probabilities, dtype=np.float32),
        )

    def _release(self, text: str) -> str:
        """Hold back a possible beginning of a stop string; stop at a complete one."""
        text = self._held + text
        if found := [(at, len(stop)) for stop in self._stops if (at := text.find(stop)) >= 0]:
            self.finish_reason = "stop"
            at, length = min(found)
            return text[: at + length if self._include_stop else at]
        certain = len(text) - _open_ending(text, self._stops)
        self._held = text[certain:]
        return text[:certain]


def check_stops(stop_strings: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return stop strings as a tuple, or raise ``TypeError`` or ``ValueError``."""
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
    """Return the length of the longest suffix of the text that begins a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
