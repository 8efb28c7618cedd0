"""Text out: a vocabulary, a stepper and a way to choose. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from textrnn.checks import check_int, named_arguments
from textrnn.generation.decoding import SupportsStepping, TextState, Writer, read
from textrnn.text.vocab import Vocab


class GenerationMixin(ABC):
    """Whatever can ``generate`` and ``stream``: a ``Sampler``, a ``TextGenerator``."""

    @abstractmethod
    def _tokenizer_and_stepper(self) -> tuple[Vocab, SupportsStepping]:
        """Return what text is made with."""

    @named_arguments
    def generate(
        self,
        prompt: str | list[str] | tuple[str, ...] = "",
        max_new_tokens: int = 200,
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
        num_return_sequences: int = 1,
        seed: int | None = None,
        state: TextState | None = None,
        include_prompt: bool = True,
    ) -> str | list[str]:
        """Write text, or many texts at once.

        Args:
            prompt: what the text begins with. The empty prompt begins as after a line break.
                A list of prompts gives a list of texts.
            max_new_tokens: the length of the text after the prompt, in tokens (at level "char":
                characters), at least 0.
            temperature: at least 0; lower is more predictable, 0 always takes the likeliest.
            top_k: choose among the k likeliest tokens only.
            top_p: choose among the likeliest that have this probability batched, in (0, 1].
            min_p: choose among those at least this fraction as likely as the likeliest, [0, 1].
            repetition_penalty: above 1 makes tokens that were there already less likely.
            no_repeat_ngram_size: n; a run of n tokens that was there already is not repeated.
            suppress_tokens: symbols that are never written, such as ``"0123456789"``.
            allowed_tokens: the only symbols that are written; None for all.
            stop_strings: end where one of these would begin; it is left out. One in the prompt
                ends nothing.
            num_return_sequences: how many texts to write for each prompt.
            seed: at least 0; the same seed gives the same text, and text i of several is the
                same whatever their number. None: another text every time.
            state: go on from here, where ``state()`` has come to; ``prompt`` follows.
            include_prompt: begin the text with the prompt.

        Returns:
            The text. A list if ``num_return_sequences`` is above 1 or ``prompt`` is a list:
            the texts of the first prompt, then those of the second, and so on.

        Raises:
            UnknownTokenError: the prompt has a symbol that the vocabulary does not hold.
            TypeError, ValueError: an argument is not in its range.

        See ``SamplingParams`` for the sources of the methods. Unlike Hugging Face's ``generate``,
        texts are sampled by default, ``temperature=0`` is allowed, and stop strings are cut off.
        """
        check_int("num_return_sequences", num_return_sequences, 1)
        settings = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
            "no_repeat_ngram_size": no_repeat_ngram_size,
        }
        masks = suppress_tokens, allowed_tokens
        writer = Writer(
            self._tokenizer_and_stepper(), max_new_tokens, settings, masks, stop_strings, seed
        )
        prompts = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
        texts = writer.write(prompts, num_return_sequences, state)
        if include_prompt:
            texts = [prompts[i // num_return_sequences] + text for i, text in enumerate(texts)]
        return texts[0] if isinstance(prompt, str) and num_return_sequences == 1 else texts

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
        no_repeat_ngram_size: int | None = None,
        suppress_tokens: Iterable[str] = (),
        allowed_tokens: Iterable[str] | None = None,
        stop_strings: str | Iterable[str] | None = None,
        seed: int | None = None,
        state: TextState | None = None,
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
            "no_repeat_ngram_size": no_repeat_ngram_size,
        }
        masks = suppress_tokens, allowed_tokens
        writer = Writer(
            self._tokenizer_and_stepper(), max_new_tokens, settings, masks, stop_strings, seed
        )
        return _chain(prompt if include_prompt else "", writer.stream(prompt, state))

    @named_arguments
    def state(self, prompt: str = "", *, state: TextState | None = None) -> TextState:
        """Read a text and give where the model has come to, to go on from there many times.

        Args:
            prompt: the text; the empty one begins as after a line break.
            state: go on from here.

        Raises:
            UnknownTokenError: the text has a symbol that the vocabulary does not hold.
        """
        return read(self._tokenizer_and_stepper(), [prompt], state)[0]


class Sampler(GenerationMixin):
    """Writes text with a trained model, on NumPy alone. ``load_sampler`` makes one.

    It changes nothing while it writes, so any number of threads may share one.

    Args:
        vocab: the model's vocabulary.
        stepper: the model's stepper.
        header: what the model's file says about it.
    """

    def __init__(
        self, vocab: Vocab, stepper: SupportsStepping, header: dict[str, Any] | None = None
    ) -> None:
        self.vocab, self.stepper, self.header = vocab, stepper, header or {}

    def _tokenizer_and_stepper(self) -> tuple[Vocab, SupportsStepping]:
        return self.vocab, self.stepper


def _chain(head: str, pieces: Iterator[str]) -> Iterator[str]:
    if head:
        yield head
    for piece in pieces:
        if piece:
            yield piece
