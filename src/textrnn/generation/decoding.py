"""The decoding loop: one step for every sequence of the batch, after reading the prompts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int
from textrnn.errors import UnknownTokenError
from textrnn.generation.sampling import SamplingParams, TokenHistory
from textrnn.generation.steppers.base import Session
from textrnn.text.tokenizer import Tokenizer, check_ids


class SupportsStepping(Protocol):
    """What the loop runs on: a NumPy stepper, or an adapter for a torch module."""

    max_batch_size: int  # how many sequences to step side by side

    def start(self, texts: int, state: Any = None, *, batched: bool = False) -> Session:
        """Return a session that steps so many texts from a state."""

    def check_state(self, state: Any) -> None:
        """Raise ``ValueError`` unless this model can continue from a state."""


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


class _Sequence:
    """A sequence being generated: its random stream, its history, the text that is safe to emit.

    Args:
        index: its number in the batch.
        begun: the text that it continues.
        tokenizer: turns its ids into text.
        params: how tokens are chosen; some settings need a history.
        stops: the strings that end it.
        rng: its random stream.
    """

    def __init__(
        self,
        index: int,
        begun: TextState,
        tokenizer: Tokenizer,
        params: SamplingParams,
        stops: tuple[str, ...],
        rng: np.random.Generator,
    ) -> None:
        self.index, self.draw = index, rng.random
        self.history = TokenHistory(params, begun.ids) if params.looks_back else None
        self.finish_reason: str | None = None
        self._eot_id = tokenizer.eot_id
        decoder = tokenizer.decoder(begun.ids[-1] if begun.ids else None)
        self._push, self._flush, self._stops = decoder.push, decoder.flush, stops
        self._held = ""  # a possible beginning of a stop string

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

    def _release(self, text: str) -> str:
        """Hold back a possible beginning of a stop string; stop before a complete one."""
        text = self._held + text
        if found := [at for stop in self._stops if (at := text.find(stop)) >= 0]:
            self.finish_reason = "stop"
            return text[: min(found)]
        certain = len(text) - _open_ending(text, self._stops)
        self._held = text[certain:]
        return text[:certain]


class DecodingLoop:
    """Generates sequences, many at a time, one token of each per step.

    Args:
        tokenizer: the model's tokenizer.
        stepper: the model's stepper.
        params: how tokens are chosen.
        max_new_tokens: the length of a sequence, at least 0.
        stop_strings: end a sequence before the first of these.
        seed: of the random streams, at least 0; None for different ones every time.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stepper: SupportsStepping,
        params: SamplingParams,
        max_new_tokens: int,
        stop_strings: str | Iterable[str] | None = None,
        seed: int | None = None,
    ) -> None:
        self._tokenizer, self._stepper, self._params = tokenizer, stepper, params
        self._max_new_tokens = check_int("max_new_tokens", max_new_tokens, 0)
        self._stops = _check_stops(stop_strings)
        if seed is not None:
            check_int("seed", seed, 0)
        self._entropy = np.random.SeedSequence(seed).entropy
        # Without a seed the sequences share one matrix product, which is faster. With one they must
        # not, because it rounds differently from the product of each sequence alone.
        greedy = params.temperature == 0 or params.top_k == 1
        self._batched = seed is None and not greedy

    def generate(self, prompts: list[str], number: int, state: TextState | None) -> list[str]:
        """Return ``number`` texts for each prompt, without the prompts."""
        size = self._stepper.max_batch_size
        texts: list[str] = []
        for first in range(0, len(prompts), size):
            read = self._prefill(prompts[first : first + size], state)
            begun = [(one, i) for one in read for i in range(number)]
            for start in range(0, len(begun), size):
                batch = begun[start : start + size]
                pieces: list[list[str]] = [[] for _ in batch]
                for index, piece in self._decode(batch):
                    pieces[index].append(piece)
                texts += map("".join, pieces)
        return texts

    def stream(self, prompt: str, state: TextState | None) -> Iterator[str]:
        """Return an iterator over the pieces of one text; the prompt is read now."""
        (begun,) = self._prefill([prompt], state)
        return (piece for _, piece in self._decode([(begun, 0)]))

    def _prefill(self, prompts: list[str], state: TextState | None) -> list[TextState]:
        return prefill(self._tokenizer, self._stepper, prompts, state, self._batched)

    def _decode(self, batch: list[tuple[TextState, int]]) -> Iterator[tuple[int, str]]:
        """Continue texts, each with its number's random stream; yield (index, piece)."""
        sequences = [
            _Sequence(i, begun, self._tokenizer, self._params, self._stops, self._rng(number))
            for i, (begun, number) in enumerate(batch)
        ]
        logits, state = _join([begun for begun, _ in batch])
        session = self._start(len(batch), state)
        alive, histories = sequences, _histories(sequences)
        for left in range(self._max_new_tokens, 0, -1):
            draws = [sequence.draw() for sequence in alive]
            tokens = self._params.choose_each(logits, draws, histories)
            finished = False
            for sequence, token in zip(alive, tokens.tolist(), strict=True):
                if piece := sequence.push(token):
                    yield sequence.index, piece
                if sequence.finish_reason:
                    finished = True
            if left == 1:
                break
            if finished:
                rows = [row for row, sequence in enumerate(alive) if not sequence.finish_reason]
                if not rows:
                    break
                alive, tokens = [alive[row] for row in rows], tokens[rows]
                histories = _histories(alive)
                session = self._start(len(rows), session.state(rows))
            logits = session.step(tokens)
        for sequence in sequences:
            if piece := sequence.flush():
                yield sequence.index, piece

    def _start(self, texts: int, state: Any) -> Session:
        return self._stepper.start(texts, state, batched=self._batched)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=(number,)))


def _histories(sequences: list[_Sequence]) -> list[TokenHistory]:
    return [sequence.history for sequence in sequences if sequence.history]


def prefill(
    tokenizer: Tokenizer,
    stepper: SupportsStepping,
    prompts: list[str],
    state: TextState | None = None,
    batched: bool = False,
) -> list[TextState]:
    """Read prompts of any lengths side by side, all after the same state.

    Without a state, a prompt begins a document where the tokenizer has a boundary between them;
    elsewhere the empty one begins after the tokenizer's ``start_id``.

    Raises:
        TypeError, ValueError: ``state`` is not a state of this model.
    """
    encoded = [_encode(tokenizer, prompt) for prompt in prompts]
    ids = [tokens or [tokenizer.start_id] for tokens in encoded]
    if tokenizer.eot_id is not None and state is None:
        ids = [[tokenizer.eot_id, *tokens] for tokens in encoded]
    seen: tuple[int, ...] = ()
    read: dict[int, TextState] = {}
    if state is not None:
        _check_state(state, tokenizer, stepper)
        seen, read = state.ids, {i: state for i, tokens in enumerate(encoded) if not tokens}
    alive = sorted((i for i in range(len(ids)) if i not in read), key=lambda i: -len(ids[i]))
    start = None if state is None or not alive else _join([state] * len(alive))[1]
    session = stepper.start(len(alive), start, batched=batched)
    for t in range(len(ids[alive[0]]) if alive else 0):
        rows = [row for row, i in enumerate(alive) if len(ids[i]) > t]
        if len(rows) < len(alive):
            alive = alive[: len(rows)]
            session = stepper.start(len(rows), session.state(rows), batched=batched)
        logits = session.step(np.array([ids[i][t] for i in alive]))
        for row, i in enumerate(alive):
            if len(ids[i]) == t + 1:
                scores = logits[row : row + 1].copy()
                read[i] = TextState((*seen, *encoded[i]), scores, session.state([row]))
    return [read[i] for i in range(len(prompts))]


def suppressed_ids(
    tokenizer: Tokenizer, suppress: Iterable[str], allowed: Iterable[str] | None
) -> tuple[int, ...]:
    """Return the ids that are never generated: the unknown token, and what the user rules out.

    Args:
        tokenizer: the model's tokenizer.
        suppress: a text that contains the tokens, or several tokens.
        allowed: likewise, the only tokens to generate; None for all.

    Raises:
        UnknownTokenError: the vocabulary does not hold one of them.
        ValueError: no token is left.
    """
    ids = set() if tokenizer.unk_id is None else {tokenizer.unk_id}
    ids |= _token_ids(tokenizer, "suppress_tokens", suppress)
    if allowed is not None:  # a text may end, whatever it is made of
        ids |= set(range(len(tokenizer))) - _token_ids(tokenizer, "allowed_tokens", allowed)
        ids.discard(-1 if tokenizer.eot_id is None else tokenizer.eot_id)
    if len(ids) >= len(tokenizer) - (tokenizer.eot_id is not None):
        raise ValueError(
            "`suppress_tokens` and `allowed_tokens` must leave a token to generate. "
            f"Received: {suppress!r:.40}, {allowed!r:.40}"
        )
    return tuple(sorted(ids))


def _token_ids(tokenizer: Tokenizer, name: str, tokens: Iterable[str]) -> set[int]:
    if isinstance(tokens, str):
        try:
            return set(_encode(tokenizer, tokens, unknown="error"))
        except UnknownTokenError as error:
            raise UnknownTokenError(f"`{name}`: {error}") from None
    if not isinstance(tokens, Iterable):
        raise TypeError(f"`{name}` must be a str or several tokens. Received: {tokens!r}")
    ids = {token: tokenizer.token_id(token) for token in tokens}
    if odd := [token for token, i in ids.items() if i is None]:
        raise UnknownTokenError(
            f"`{name}` must hold tokens of the vocabulary. Received: {odd[0]!r}"
        )
    return {i for i in ids.values() if i is not None}


def _encode(tokenizer: Tokenizer, text: str, unknown: str | None = None) -> list[int]:
    ids = tokenizer.encode(text, unknown=unknown)
    tokens: list[int] = check_ids(ids, len(tokenizer), "tokenizer.encode(text)").tolist()
    return tokens


def _check_state(state: TextState, tokenizer: Tokenizer, stepper: SupportsStepping) -> None:
    """Raise an error unless a state belongs to this tokenizer and this stepper."""
    if not isinstance(state, TextState):
        raise TypeError(f"`state` must be what state() returned. Received: {state!r:.60}")
    expected, found = (1, len(tokenizer)), state.logits.shape
    if found != expected:
        raise ValueError(
            "`state` comes from a model with another vocabulary; call state() of this one. "
            f"Expected: logits of shape {expected}. Received: {found}"
        )
    check_ids(state.ids, len(tokenizer), "state.ids")
    stepper.check_state(state.state)


def _join(states: list[TextState]) -> tuple[NDArray[np.float32], Any]:
    """Return the logits and the states of texts side by side."""
    if len(states) == 1:
        return states[0].logits, states[0].state
    parts = zip(*(one.state for one in states), strict=True)
    logits = np.concatenate([one.logits for one in states])
    return logits, tuple(np.concatenate(part) for part in parts)


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
    """Return the length of the longest suffix of the text that begins a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
