"""What a type checker sees. ``mypy`` reads this file; nothing runs it."""

from collections.abc import Iterable
from typing import assert_type

from textrnn import Sampler, TextGenerator, Vocab, load_sampler


def texts(gen: TextGenerator, sampler: Sampler, number: int, prompts: Iterable[str]) -> None:
    """One prompt gives a ``str``, several prompts a list; a number of texts may give either."""
    assert_type(gen.generate(), str)
    assert_type(gen.generate("a", 5, temperature=0.5, seed=1).upper(), str)
    assert_type(sampler.generate("a", num_return_sequences=1), str)
    assert_type(sampler.generate("a", num_return_sequences=number), str | list[str])
    assert_type(sampler.generate(["a", "b"], stop_strings=["\n"]), list[str])
    assert_type(sampler.generate(prompts, num_return_sequences=number), list[str])
    assert_type("".join(sampler.stream("a", 5)), str)
    assert_type(sampler.generate(state=sampler.state("a")), str)
    sampler.generate("a", temperture=1)  # type: ignore[call-overload]
    sampler.generate(5)  # type: ignore[call-overload]


def files(path: str) -> None:
    """What is loaded has the types that the documentation says."""
    assert_type(load_sampler(path), Sampler)
    assert_type(TextGenerator.load(path), TextGenerator)
    assert_type(Vocab.from_text("abc"), Vocab)
    assert_type(Vocab.from_text("abc").extend("d"), Vocab)
