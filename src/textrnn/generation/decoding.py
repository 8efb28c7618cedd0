"""The decoding loop: one step for every sequence of the batch, after reading the prompts."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int, warn
from textrnn.errors import UnknownTokenError
from textrnn.generation.sampling import SamplingParams, TokenHistory
from textrnn.generation.sequence import GeneratedText, Sequence, TextState, check_stops
from textrnn.generation.steppers.base import Session
from textrnn.text.novelty import are_known
from textrnn.text.tokenizer import Tokenizer, check_ids


class SupportsStepping(Protocol):
    """What the loop runs on: a NumPy stepper, or an adapter for a torch module."""

    max_batch_size: int  # how many sequences to step side by side

    def start(self, texts: int, state: Any = None, *, batched: bool = False) -> Session:
        """Return a session that steps so many texts from a state."""

    def check_state(self, state: Any) -> None:
        """Raise ``ValueError`` unless this model can continue from a state."""


_TRIES = 40  # how often to draw a text that should be new

Key = tuple[int, ...]
"""The random stream of a text: its number, and how often it was drawn again."""


class DecodingLoop:
    """Generates sequences, many at a time, one token of each per step.

    Args:
        tokenizer: the model's tokenizer.
        stepper: the model's stepper.
        params: how tokens are chosen.
        max_new_tokens: the length of a sequence, at least 0.
        stop_strings: end a sequence before the first of these.
        seed: of the random streams, at least 0; None for different ones every time.
        include_stop: end it after the stop string instead.
        unknown: what to do about an unknown token of a prompt, as in ``Tokenizer.encode``.
        details: whether to keep the tokens and their log-probabilities.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stepper: SupportsStepping,
        params: SamplingParams,
        max_new_tokens: int,
        stop_strings: str | Iterable[str] | None = None,
        seed: int | None = None,
        *,
        include_stop: bool = False,
        unknown: str | None = None,
        details: bool = False,
    ) -> None:
        self._tokenizer, self.stepper, self._params = tokenizer, stepper, params
        self._max_new_tokens = check_int("max_new_tokens", max_new_tokens, 0)
        self._stops, self._include_stop = check_stops(stop_strings), include_stop
        self._unknown, self._details = unknown, details
        if seed is not None:
            check_int("seed", seed, 0)
        self._entropy = np.random.SeedSequence(seed).entropy
        # Without a seed the sequences share one matrix product, which is faster. With one they must
        # not, because it rounds differently from the product of each sequence alone.
        greedy = params.temperature == 0 or params.top_k == 1
        self._batched = seed is None and not greedy

    def generate(
        self, prompts: list[str], keys: list[list[Key]], state: TextState | None
    ) -> list[GeneratedText]:
        """Return one text per prompt and key, without the prompts."""
        size = self.stepper.max_batch_size
        texts: list[GeneratedText] = []
        for first in range(0, len(prompts), size):
            part = slice(first, first + size)
            read = self._prefill(prompts[part], state)
            begun = [(one, k) for one, ks in zip(read, keys[part], strict=True) for k in ks]
            for start in range(0, len(begun), size):
                sequences = self._sequences(begun[start : start + size])
                for sequence, piece in self._decode(sequences):
                    sequence.pieces.append(piece)
                texts += [sequence.result() for sequence in sequences]
        return texts

    def replace_known(
        self,
        prompts: list[str],
        results: list[GeneratedText],
        number: int,
        state: TextState | None,
        documents: NDArray[np.uint64] | None,
    ) -> None:
        """Draw texts again that are not new documents, each with a new random stream.

        Args:
            prompts: the prompt of each text.
            results: what ``generate`` returned, changed in place.
            number: how many texts each prompt has.
            state: the state that they all continue.
            documents: the hashes of the training documents; None if there were none.
        """
        if documents is None:
            raise ValueError(
                "`novel` needs a model of documents: train one on a list of texts, or with "
                "textrnn train --lines. Received: novel=True"
            )
        begun = self._tokenizer.decode(state.ids) if state else ""
        for attempt in range(1, _TRIES + 1):
            pairs = zip(prompts, results, strict=True)
            texts = [begun + prompt + result.text for prompt, result in pairs]
            old = np.flatnonzero(are_known(texts, documents)).tolist()
            if not old or attempt == _TRIES:
                break
            keys: list[list[Key]] = [[(i % number, attempt)] for i in old]
            drawn = self.generate([prompts[i] for i in old], keys, state)
            for i, result in zip(old, drawn, strict=True):
                results[i] = result
        if old:
            warn(
                f"{len(old)} of {len(results)} texts are not new, though they were drawn {_TRIES} "
                "times; a higher temperature generates more new texts."
            )

    def stream(self, prompt: str, state: TextState | None) -> Iterator[str]:
        """Return an iterator over the pieces of one text; the prompt is read now."""
        sequences = self._sequences([(self._prefill([prompt], state)[0], (0,))])
        return (piece for _, piece in self._decode(sequences))

    def _prefill(self, prompts: list[str], state: TextState | None) -> list[TextState]:
        how = (self._batched, self._unknown)
        return prefill(self._tokenizer, self.stepper, prompts, state, *how)

    def _sequences(self, batch: list[tuple[TextState, Key]]) -> list[Sequence]:
        """Return sequences that continue texts, each with the random stream of its key."""
        how = (self._tokenizer, self._params, self._stops)
        keep = self._include_stop
        return [Sequence(begun, *how, self._rng(key), include_stop=keep) for begun, key in batch]

    def _decode(self, sequences: list[Sequence]) -> Iterator[tuple[Sequence, str]]:
        """Continue texts side by side; yield each piece with its sequence."""
        logits, state = _join([sequence.begun for sequence in sequences])
        session = self._start(len(sequences), state)
        alive, histories = sequences, _histories(sequences)
        for left in range(self._max_new_tokens, 0, -1):
            draws = [sequence.draw() for sequence in alive]
            tokens = self._params.choose_each(logits, draws, histories)
            finished = False
            if self._details:
                for sequence, row, token in zip(alive, logits, tokens.tolist(), strict=True):
                    sequence.note(token, row)
            for sequence, token in zip(alive, tokens.tolist(), strict=True):
                if piece := sequence.push(token):
                    yield sequence, piece
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
                yield sequence, piece

    def _start(self, texts: int, state: Any) -> Session:
        return self.stepper.start(texts, state, batched=self._batched)

    def _rng(self, key: Key) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=key))


def _histories(sequences: list[Sequence]) -> list[TokenHistory]:
    return [sequence.history for sequence in sequences if sequence.history]


def prefill(
    tokenizer: Tokenizer,
    stepper: SupportsStepping,
    prompts: list[str],
    state: TextState | None = None,
    batched: bool = False,
    unknown: str | None = None,
) -> list[TextState]:
    """Read prompts of any lengths side by side, all after the same state.

    Without a state, a prompt begins a document if the tokenizer has a boundary between documents;
    otherwise the empty prompt begins after the tokenizer's ``start_id``.

    Raises:
        TypeError, ValueError: ``state`` is not a state of this model.
    """
    encoded = [_encode(tokenizer, prompt, unknown) for prompt in prompts]
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
    if allowed is not None:  # a text may always end
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
