"""Generation of text from a tokenizer and a stepper, without torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from textrnn.checks import check_int, named_arguments
from textrnn.generation.blas import limited, one_blas_thread
from textrnn.generation.decoding import (
    DecodingLoop,
    Key,
    SupportsStepping,
    prefill,
    suppressed_ids,
)
from textrnn.generation.sampling import SamplingArguments, SamplingParams
from textrnn.generation.sequence import GeneratedText, TextState
from textrnn.text.tokenizer import Tokenizer


class _Arguments(SamplingArguments, total=False):
    """The arguments of ``generate`` that do not change the type of its result."""

    suppress_tokens: Iterable[str]
    allowed_tokens: Iterable[str] | None
    stop_strings: str | Iterable[str] | None
    include_stop: bool
    novel: bool
    seed: int | None
    state: TextState | None
    unknown: str | None
    include_prompt: bool


class GenerationMixin(ABC):
    """The methods ``generate``, ``stream`` and ``state`` of ``Sampler`` and ``TextGenerator``."""

    _hashes: NDArray[np.uint64] | None = None  # of the documents trained on

    @abstractmethod
    def _tokenizer_and_stepper(self) -> tuple[Tokenizer, SupportsStepping]:
        """Return what generates the text."""

    @overload
    def generate(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self,
        prompt: str = "",
        max_new_tokens: int | None = ...,
        *,
        num_return_sequences: Literal[1] = 1,
        **arguments: Unpack[_Arguments],
    ) -> str: ...
    @overload
    def generate(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self,
        prompt: str = "",
        max_new_tokens: int | None = ...,
        *,
        num_return_sequences: int,
        **arguments: Unpack[_Arguments],
    ) -> str | list[str]: ...
    @overload
    def generate(
        self,
        prompt: str = "",
        max_new_tokens: int | None = ...,
        *,
        num_return_sequences: Literal[1] = 1,
        return_details: Literal[True],
        **arguments: Unpack[_Arguments],
    ) -> GeneratedText: ...
    @overload
    def generate(
        self,
        prompt: str | Iterable[str] = "",
        max_new_tokens: int | None = ...,
        *,
        num_return_sequences: int = 1,
        return_details: Literal[True],
        **arguments: Unpack[_Arguments],
    ) -> GeneratedText | list[GeneratedText]: ...
    @overload
    def generate(
        self,
        prompt: Iterable[str],
        max_new_tokens: int | None = ...,
        *,
        num_return_sequences: int = 1,
        **arguments: Unpack[_Arguments],
    ) -> list[str]: ...
    @named_arguments
    def generate(
        self,
        prompt: str | Iterable[str] = "",
        max_new_tokens: int | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int | None = None,
        suppress_tokens: Iterable[str] = (),
        allowed_tokens: Iterable[str] | None = None,
        stop_strings: str | Iterable[str] | None = None,
        include_stop: bool = False,
        num_return_sequences: int = 1,
        novel: bool = False,
        seed: int | None = None,
        state: TextState | None = None,
        unknown: str | None = None,
        include_prompt: bool = True,
        return_details: bool = False,
    ) -> str | list[str] | GeneratedText | list[GeneratedText]:
        """Generate text, or many texts at once.

        Args:
            prompt: the beginning of the text. The empty prompt begins as after a line break, or a
                new document if the model has documents. For several prompts (a list, an array, a
                Series, a generator) the result is a list.
            max_new_tokens: the length of the text after the prompt, in tokens (at level "char":
                characters), at least 0. None is 200, or 1,000 for a model of documents, whose texts
                end where a document ends.
            temperature: at least 0; lower is more predictable, 0 always takes the likeliest token.
            top_k: choose among the k likeliest tokens only.
            top_p: choose among the fewest likeliest tokens with this total probability, in (0, 1].
            min_p: choose among tokens at least this fraction as likely as the likeliest, in [0, 1].
            repetition_penalty: above 1 makes tokens that are already in the text less likely.
            no_repeat_ngram_size: n; a run of n tokens that is already in the text is not repeated.
            suppress_tokens: tokens that are never generated: a text that contains them, such as
                ``"0123456789"``, or a list of tokens.
            allowed_tokens: likewise, the only tokens that are generated; None for all.
            stop_strings: end before the first of these; it is left out. Occurrences in the prompt
                are ignored.
            include_stop: end after the stop string instead.
            num_return_sequences: how many texts to generate for each prompt.
            novel: draw a text again if it is a training document or was already generated in this
                call. A warning says how many could not be replaced.
            seed: at least 0. The same seed generates the same text, and text i of a batch does not
                depend on the size of the batch. None: a different text every time.
            state: what ``state()`` returned, to continue the text that it read; ``prompt`` follows
                it.
            unknown: what to do about a token of the prompt that the vocabulary does not hold:
                "error", "skip" or "unk", as in ``Vocab.encode``.
            include_prompt: begin the text with the prompt.
            return_details: return each text as a ``GeneratedText``, with why it ended, its tokens
                and their log-probabilities.

        Returns:
            The text. A list if ``num_return_sequences`` is above 1 or there are several prompts:
            the texts of the first prompt, then those of the second, and so on.

        Raises:
            UnknownTokenError: the prompt has a token that the vocabulary does not hold.
            TypeError, ValueError: an argument is not in its range.

        See ``SamplingParams`` for the sources of the methods. Unlike Hugging Face's ``generate``,
        texts are sampled by default, ``temperature=0`` is allowed, and stop strings are left out.
        """
        number = check_int("num_return_sequences", num_return_sequences, 1)
        prompts = _check_prompts(prompt)
        loop = self._loop(
            max_new_tokens,
            suppress_tokens,
            allowed_tokens,
            stop_strings,
            seed,
            {"include_stop": include_stop, "unknown": unknown, "details": return_details},
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
        )
        each = [one for one in prompts for _ in range(number)]
        keys: list[list[Key]] = [[(i,) for i in range(number)]] * len(prompts)
        with one_blas_thread(loop.stepper):
            results = loop.generate(prompts, keys, state)
            if novel:
                loop.replace_known(each, results, number, state, self._hashes)
        if include_prompt:
            pairs = zip(each, results, strict=True)
            results = [replace(result, text=one + result.text) for one, result in pairs]
        texts = results if return_details else [result.text for result in results]
        return texts[0] if isinstance(prompt, str) and number == 1 else texts

    @named_arguments
    def stream(
        self,
        prompt: str = "",
        max_new_tokens: int | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int | None = None,
        suppress_tokens: Iterable[str] = (),
        allowed_tokens: Iterable[str] | None = None,
        stop_strings: str | Iterable[str] | None = None,
        include_stop: bool = False,
        seed: int | None = None,
        state: TextState | None = None,
        unknown: str | None = None,
        include_prompt: bool = True,
    ) -> Iterator[str]:
        """Generate text piece by piece, each as soon as it is certain.

        The arguments are those of ``generate``, and the pieces joined together are its text. A
        possible beginning of a stop string is held back until the next tokens decide. Arguments
        are checked at the call, not at the first piece; iteration may end at any point.
        """
        _check_prompt(prompt)
        loop = self._loop(
            max_new_tokens,
            suppress_tokens,
            allowed_tokens,
            stop_strings,
            seed,
            {"include_stop": include_stop, "unknown": unknown},
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
        )
        with one_blas_thread(loop.stepper):
            pieces = limited(loop.stream(prompt, state), loop.stepper)
        return _chain(prompt, pieces) if include_prompt and prompt else pieces

    @named_arguments
    def state(
        self, prompt: str = "", *, state: TextState | None = None, unknown: str | None = None
    ) -> TextState:
        """Read a text once, to continue it any number of times.

        Args:
            prompt: the text; the empty one begins as after a line break.
            state: what ``state()`` returned for the text before it.
            unknown: as in ``generate``.

        Returns:
            The ``state`` argument of ``generate``, ``stream`` and ``state``.

        Raises:
            UnknownTokenError: the text has a token that the vocabulary does not hold.
            ValueError: ``state`` comes from another model.
        """
        _check_prompt(prompt)
        tokenizer, stepper = self._tokenizer_and_stepper()
        with one_blas_thread(stepper):
            return prefill(tokenizer, stepper, [prompt], state, unknown=unknown)[0]

    def _loop(
        self,
        max_new_tokens: int | None,
        suppress_tokens: Iterable[str],
        allowed_tokens: Iterable[str] | None,
        stop_strings: str | Iterable[str] | None,
        seed: int | None,
        options: dict[str, Any],
        **sampling: Unpack[SamplingArguments],
    ) -> DecodingLoop:
        tokenizer, stepper = self._tokenizer_and_stepper()
        suppressed = suppressed_ids(tokenizer, suppress_tokens, allowed_tokens)
        params = SamplingParams(**sampling, suppressed=suppressed)
        if max_new_tokens is None:
            max_new_tokens = 200 if tokenizer.eot_id is None else 1000
        how = (max_new_tokens, stop_strings, seed)
        return DecodingLoop(tokenizer, stepper, params, *how, **options)


class Sampler(GenerationMixin):
    """Generates text with a trained model, on NumPy alone. ``load_sampler`` makes one.

    Generating changes nothing in it, so any number of threads may share one.

    Args:
        vocab: the model's tokenizer.
        stepper: the model's stepper.
        header: the header of the model's file.
        documents: the hashes of the training documents; None if there were none.
    """

    def __init__(
        self,
        vocab: Tokenizer,
        stepper: SupportsStepping,
        header: dict[str, Any] | None = None,
        documents: NDArray[np.uint64] | None = None,
    ) -> None:
        self.vocab, self.stepper, self.header = vocab, stepper, header or {}
        self._hashes = documents

    def _tokenizer_and_stepper(self) -> tuple[Tokenizer, SupportsStepping]:
        return self.vocab, self.stepper

    def __repr__(self) -> str:
        kind = self.header.get("kind", type(self.stepper).__name__)
        return f"Sampler({kind}, {self.vocab!r}, {getattr(self.stepper, 'backend', 'custom')})"


def _check_prompts(prompt: str | Iterable[str]) -> list[str]:
    """Return one or several prompts as a list of ``str``."""
    if isinstance(prompt, str | bytes | bytearray | Mapping) or not isinstance(prompt, Iterable):
        return [_check_prompt(prompt, "prompt", "str, or several of them in a list or the like")]
    return [_check_prompt(one, f"prompt[{i}]") for i, one in enumerate(prompt)]


def _check_prompt(prompt: object, name: str = "prompt", allowed: str = "str") -> str:
    if not isinstance(prompt, str):
        advice = "; decode bytes first" if isinstance(prompt, bytes | bytearray) else ""
        kind = type(prompt).__name__
        raise TypeError(f"`{name}` must be {allowed}{advice}. Received: {kind} {prompt!r:.60}")
    return prompt


def _chain(head: str, pieces: Iterator[str]) -> Iterator[str]:
    yield head
    yield from pieces
