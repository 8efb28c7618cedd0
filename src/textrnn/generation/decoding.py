"""How texts are written: a token of each, then the next of each. No torch here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int
from textrnn.errors import UnknownTokenError
from textrnn.generation.sampling import SamplingParams, TokenHistory
from textrnn.generation.steppers.base import Session
from textrnn.text.tokens import join_words
from textrnn.text.vocab import Vocab


class SupportsStepping(Protocol):
    """What text is made with: the steppers, and the adapters for what torch holds."""

    max_batch_size: int  # texts that are best written side by side

    def start(self, texts: int, state: Any = None, *, batched: bool = False) -> Session:
        """Begin to step so many texts from a state, token after token."""


@dataclass(frozen=True)
class TextState:
    """Where a text has come to: what ``state`` gives and ``generate(state=...)`` goes on from.

    It is a value: nothing changes it, any number of texts may go on from it.

    Attributes:
        ids: the tokens that were read.
        logits: (1, V) float32, the scores of the token after them.
        state: the model's own.

    >>> from textrnn import TextGenerator
    >>> gen = TextGenerator("ngram", order=3)
    >>> history = gen.fit("abc abd abc abd", verbose=0)
    >>> begun = gen.state("abc ab")
    >>> gen.generate(state=begun, max_new_tokens=5, temperature=0)
    'c abc'
    """

    ids: tuple[int, ...]
    logits: NDArray[np.float32]
    state: Any


class _Text:
    """A text in the making: its own chance, its own past, and what of it is certain."""

    def __init__(
        self,
        vocab: Vocab,
        sampling: SamplingParams,
        begun: TextState,
        stops: tuple[str, ...],
        rng: Any,
    ) -> None:
        self.symbols, self.joins, self.stops = vocab.itos, vocab.level == "word", stops
        self.past = TokenHistory(sampling, begun.ids) if sampling.looks_back else None
        self.draw = rng.random
        self.last = self.symbols[begun.ids[-1]] if begun.ids else ""
        self.held = ""  # what may turn out to begin a stop string
        self.stopped = False

    def add(self, token: int) -> str:
        """Take the next token; give what is certain by now."""
        if self.past is not None:
            self.past.add(token)
        symbol, before, self.last = self.symbols[token], self.last, self.symbols[token]
        if self.joins:
            symbol = join_words([symbol], before)
        if not self.stops:
            return symbol
        self.held += symbol
        if found := [at for stop in self.stops if (at := self.held.find(stop)) >= 0]:
            self.held, self.stopped = self.held[: min(found)], True
            return self.rest()
        certain = len(self.held) - _open_ending(self.held, self.stops)
        piece, self.held = self.held[:certain], self.held[certain:]
        return piece

    def rest(self) -> str:
        """Return what was held back, when no token will follow."""
        piece, self.held = self.held, ""
        return piece


class Writer:
    """Writes texts, many at a time: a token of each, then the next of each."""

    def __init__(
        self,
        voice: tuple[Vocab, SupportsStepping],
        max_new_tokens: int,
        settings: dict[str, Any],
        masks: tuple[Iterable[str], Iterable[str] | None],
        stop_strings: str | Iterable[str] | None,
        seed: int | None,
    ) -> None:
        self.voice = voice
        self.max_new_tokens = check_int("max_new_tokens", max_new_tokens, 0)
        self.sampling = SamplingParams(**settings, suppressed=_suppressed(voice[0], *masks))
        self.stops = _check_stops(stop_strings)
        if seed is not None:
            check_int("seed", seed, 0)
        self.entropy = np.random.SeedSequence(seed).entropy
        # Products of all texts together round otherwise than each text's own: nobody can tell
        # where every text is another, but where it could be asked for again, it is the same.
        greedy = self.sampling.temperature == 0 or self.sampling.top_k == 1
        self.batched = seed is None and not greedy

    def write(self, prompts: list[str], number: int, state: TextState | None) -> list[str]:
        """Return ``number`` texts for each prompt, without the prompts."""
        max_batch_size = self.voice[1].max_batch_size
        written: list[str] = []
        for first in range(0, len(prompts), max_batch_size):
            some = read(self.voice, prompts[first : first + max_batch_size], state, self.batched)
            begun = [(one, i) for one in some for i in range(number)]
            for start in range(0, len(begun), max_batch_size):
                pieces = [""] * len(begun[start : start + max_batch_size])
                for k, piece in self._pieces(begun[start : start + max_batch_size]):
                    pieces[k] += piece
                written += pieces
        return written

    def stream(self, prompt: str, state: TextState | None) -> Iterator[str]:
        """Return an iterator over the pieces of one text; the prompt is read now."""
        (begun,) = read(self.voice, [prompt], state, self.batched)
        return (piece for _, piece in self._pieces([(begun, 0)]))

    def _pieces(self, begun: list[tuple[TextState, int]]) -> Iterator[tuple[int, str]]:
        """Write the texts that go on from states; yield (number of the text, piece)."""
        vocab, stepper = self.voice
        texts = [_Text(vocab, self.sampling, one, self.stops, self._rng(i)) for one, i in begun]
        logits, state = _join([one for one, _ in begun])
        walk = stepper.start(len(texts), state, batched=self.batched)
        alive = list(enumerate(texts))
        pasts = [text.past for text in texts if text.past]
        for left in range(self.max_new_tokens, 0, -1):
            draws = [text.draw() for _, text in alive]
            tokens = self.sampling.choose_each(logits, draws, pasts)
            for (k, text), token in zip(alive, tokens.tolist(), strict=True):
                if piece := text.add(token):
                    yield k, piece
            if left == 1:
                break
            if self.stops:
                going = [row for row, (_, text) in enumerate(alive) if not text.stopped]
                if not going:
                    break
                if len(going) < len(alive):
                    alive, tokens = [alive[row] for row in going], tokens[going]
                    pasts, state = [pasts[row] for row in going if pasts], walk.state(going)
                    walk = stepper.start(len(going), state, batched=self.batched)
            logits = walk.step(tokens)
        for k, text in enumerate(texts):
            if piece := text.rest():
                yield k, piece

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(index,)))


def read(
    voice: tuple[Vocab, SupportsStepping],
    prompts: list[str],
    state: TextState | None,
    batched: bool = False,
) -> list[TextState]:
    """Read several prompts side by side, all after the same state; the longest go on alone.

    Without a state, the empty prompt begins as after a line break.
    """
    vocab, stepper = voice
    said = [vocab.encode(prompt).tolist() for prompt in prompts]
    start = [] if state is not None else [vocab.start_id]
    tokens = [ids or start for ids in said]
    before = () if state is None else state.ids
    done = {} if state is None else {i: state for i, ids in enumerate(tokens) if not ids}
    alive = sorted((i for i, ids in enumerate(tokens) if ids), key=lambda i: -len(tokens[i]))
    own = None if state is None or not alive else _join([state] * len(alive))[1]
    walk = stepper.start(len(alive), own, batched=batched)
    for t in range(max(map(len, tokens), default=0)):
        going = [i for i in alive if len(tokens[i]) > t]
        if len(going) < len(alive):
            own = walk.state(list(range(len(going))))
            alive, walk = going, stepper.start(len(going), own, batched=batched)
        logits = walk.step(np.array([tokens[i][t] for i in alive]))
        for row, i in enumerate(alive):
            if len(tokens[i]) == t + 1:
                now = logits[row : row + 1].copy()
                done[i] = TextState((*before, *said[i]), now, walk.state([row]))
    return [done[i] for i in range(len(prompts))]


def _join(states: list[TextState]) -> tuple[NDArray[np.float32], Any]:
    """Put the logits and the states of texts side by side."""
    if len(states) == 1:
        return states[0].logits, states[0].state
    parts = zip(*(one.state for one in states), strict=True)
    logits = np.concatenate([one.logits for one in states])
    return logits, tuple(np.concatenate(part) for part in parts)


def _suppressed(
    vocab: Vocab, suppress: Iterable[str], allowed: Iterable[str] | None
) -> tuple[int, ...]:
    """Return the ids that are never written: the unknown symbol, and what the user rules out."""
    banned = set() if vocab.unk_id is None else {vocab.unk_id}
    for name, symbols in (("suppress_tokens", suppress), ("allowed_tokens", allowed)):
        if symbols is None:
            continue
        symbols = list(symbols)
        if odd := [symbol for symbol in symbols if symbol not in vocab.stoi]:
            raise UnknownTokenError(
                f"`{name}` must hold symbols of the vocabulary. Received: {odd[0]!r}"
            )
        ids = {vocab.stoi[symbol] for symbol in symbols}
        banned |= ids if name == "suppress_tokens" else set(range(len(vocab))) - ids
    if len(banned) == len(vocab):
        raise ValueError(
            "`suppress_tokens` and `allowed_tokens` must leave a symbol to write. "
            f"Received: {suppress!r:.40}, {allowed!r:.40}"
        )
    return tuple(sorted(banned))


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
    """Return the length of the longest ending of the text that begins a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
