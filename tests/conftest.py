"""What the tests share: a seeded generator, a short text, one small model of each family."""

import codecs
import signal
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from tests.quick import quick
from textrnn.datasets import load_human_numbers
from textrnn.models.registry import MODELS
from textrnn.text.levels import LEVELS, Level
from textrnn.text.tokenizer import Decoder, Tokenizer
from textrnn.text.vocab import Vocab

# Whoever starts the tests in the background of a script has it ignored, and so it would stay.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # the models are tiny: waiting for each other would cost the most

_SIZES = {"embedding_dim": 5, "hidden_size": 16}
SMALL = {
    "ngram": ("ngram", {"order": 3}),
    "window_mlp": ("window_mlp", {"window": 3, **_SIZES}),
    "window_mlp of 1": ("window_mlp", {"window": 1, **_SIZES}),
    "window_rnn": ("window_rnn", {"window": 4, "combine": "concat", **_SIZES}),
    "window_rnn, add": ("window_rnn", {"window": 3, "combine": "add", **_SIZES}),
    "rnn": ("rnn", {"num_layers": 2, **_SIZES}),
    "rnn, relu": ("rnn", {"nonlinearity": "relu", "recurrent_init": "identity", **_SIZES}),
    "gru": ("gru", {"num_layers": 2, **_SIZES}),
    "gru, one-hot": ("gru", {"input": "onehot", "hidden_size": 16}),
    "lstm": ("lstm", {"num_layers": 2, **_SIZES}),
    "lstm, tied": ("lstm", {"tie_weights": True, "hidden_size": 16}),
    "mixture": ("mixture", {"parts": [{"model": "gru", **_SIZES}, {"model": "ngram", "order": 3}]}),
    "mixture of three": (
        "mixture",
        {"parts": [{"model": "rnn", **_SIZES}, {"model": "ngram", "order": 2}, "window_mlp"]},
    ),
    "lstm, one-hot": ("lstm", {"input": "onehot", "hidden_size": 16, "num_layers": 2}),
}
"""A small model of each family in its forms; ``test_every_family_is_tested`` wants them all."""


@pytest.fixture
def generator():
    """A torch generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def text():
    """About 2,000 characters with a clear structure."""
    return load_human_numbers(1, 110)


@pytest.fixture
def vocab(text):
    """The vocabulary of ``text``."""
    return Vocab.from_text(text)


@pytest.fixture
def ids(text, vocab):
    """The ids of ``text``: (N,) uint8."""
    return vocab.encode(text)


@pytest.fixture(params=quick(MODELS))
def family(request):
    """The name of each family in turn."""
    return request.param


def make_model(small, vocab_size, ids=None):
    """Build one of the ``SMALL`` models with fixed weights; a counting one counts ``ids``."""
    kind, arguments = SMALL[small]
    model = MODELS[kind](vocab_size, **arguments)
    model.reset_parameters(torch.Generator().manual_seed(1))
    model.count(np.arange(50) % vocab_size if ids is None else ids)
    return model.eval()


@pytest.fixture(params=quick(SMALL))
def small(request):
    """The name of each of the ``SMALL`` models in turn."""
    return request.param


@pytest.fixture
def kind(small):
    """The family of ``model``."""
    return SMALL[small][0]


@pytest.fixture
def model(small, vocab, ids):
    """Each of the ``SMALL`` models in turn, for the vocabulary of ``text``; not trained."""
    return make_model(small, len(vocab), ids)


class Pairs(Tokenizer):
    """A custom tokenizer: a token is two characters of an alphabet, or the odd last one."""

    def __init__(self, alphabet):
        self.tokens = [*alphabet, *(a + b for a in alphabet for b in alphabet)]

    def __len__(self):
        return len(self.tokens)

    def encode(self, text, *, unknown=None):
        """Return the ids of the pairs."""
        pairs = [text[i : i + 2] for i in range(0, len(text), 2)]
        return np.array([self.tokens.index(pair) for pair in pairs], dtype=np.int32)

    def token_text(self, token):
        """Return one or two characters."""
        return self.tokens[token]

    def to_config(self):
        """Return the alphabet."""
        return {"alphabet": [token for token in self.tokens if len(token) == 1]}

    @classmethod
    def from_config(cls, config):
        """Build the tokenizer from its alphabet."""
        return cls(config["alphabet"])


class Nibbles(Tokenizer):
    """A custom tokenizer whose characters take 2 to 8 tokens: half bytes of UTF-8."""

    def __len__(self):
        return 16

    def encode(self, text, *, unknown=None):
        """Return the halves of the bytes."""
        return np.array([half for byte in text.encode() for half in divmod(byte, 16)], np.uint8)

    def token_text(self, token):
        """Return a hexadecimal digit."""
        return f"{token:x}"

    def decoder(self, after=None):
        """Return a decoder that waits until a character is complete."""
        self._check_after(after)
        return NibbleDecoder()

    def to_config(self):
        """Return nothing: all these tokenizers are alike."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Build the tokenizer."""
        return cls()


class NibbleDecoder(Decoder):
    """Puts half bytes together to bytes, and bytes to characters."""

    def __init__(self):
        self.bytes, self.half = codecs.getincrementaldecoder("utf-8")("replace"), None

    def push(self, token):
        """Return a character where the token completes one."""
        if self.half is None:
            self.half = token
            return ""
        byte, self.half = bytes([16 * self.half + token]), None
        return self.bytes.decode(byte)

    def flush(self):
        """Return a replacement character for bytes that complete none."""
        return self.bytes.decode(b"", final=True)


class LineLevel(Level):
    """A token is a line with its break."""

    limits: Mapping[str, int] = {"min_freq": 2}

    def cut(self, text):
        """Return the lines."""
        return text.splitlines(keepends=True)

    def span(self, text, index):
        """Return where a line begins and ends."""
        start = sum(map(len, self.cut(text)[:index]))
        return start, start + len(self.cut(text)[index])


@pytest.fixture
def line_level(monkeypatch):
    """Put a level "line" into the table of levels, for one test."""
    monkeypatch.setitem(LEVELS, "line", LineLevel())


@pytest.fixture
def pairs():
    """A custom tokenizer of two-character tokens."""
    return Pairs(sorted(set("the café, the cat; the hat 👩‍👩‍👧 and\nTC")))


@pytest.fixture
def nibbles():
    """A custom tokenizer whose decoder holds text back."""
    return Nibbles()
