"""A class that breaks the contract is told which part of it, before it is trained."""
# ruff: noqa: D102 (a broken method does what the docstring of its class says)

import copy
from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from textrnn.models import LanguageModel, LSTMModel, NGramModel
from textrnn.models.contract import check_contract

Memory = namedtuple("Memory", "h")


class Good(LanguageModel):
    """Adds up the vectors of the tokens so far; each broken class differs in one thing."""

    def __init__(self, vocab_size, width=4):
        super().__init__(vocab_size=vocab_size, width=width)
        self.embedding = nn.Embedding(vocab_size, width)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, vocab_size)
        self.register_buffer("steps", torch.zeros(1))

    def features(self, ids, state):
        """Return (B, T, width): sums of vectors from the first token to each."""
        x = self.embedding(ids)
        start = torch.zeros_like(x[:, :1]) if state is None else state
        return x.cumsum(1) + start

    def forward(self, ids, state=None):
        """Score sums; the last one is the state."""
        h = self.features(ids, state)
        return self.head(self.dropout(h)), h[:, -1:]

    def layer_groups(self):
        """From input to output."""
        return {
            "embedding": list(self.embedding.parameters()),
            "head": list(self.head.parameters()),
        }


class LogitsOnly(Good):
    """Returns no state at all."""

    def forward(self, ids, state=None):
        return super().forward(ids, state)[0]


class TimeFirst(Good):
    """Has the layout of torch.nn.LSTM."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits.transpose(0, 1), state


class VocabSecond(Good):
    """Has the layout of torch.nn.CrossEntropyLoss."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits.transpose(1, 2), state


class LastOnly(Good):
    """Scores the last token, as Keras's examples do."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits[:, -1], state


class Flat(Good):
    """Scores all tokens in one list, as PyTorch's word language model does."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits.flatten(0, 1), state


class Integers(Good):
    """Gives the likeliest tokens."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits.long(), state


class KeepsState(Good):
    """Remembers the last batch by itself, as fastai's models do."""

    kept = None

    def forward(self, ids, state=None):
        logits, self.kept = super().forward(ids, self.kept)
        return logits, None


class LooksAhead(Good):
    """Reads in both directions."""

    def features(self, ids, state):
        h = super().features(ids, state)
        return h + h.mean(dim=1, keepdim=True)


class ReturnsNone(Good):
    """Begins every batch afresh."""

    def forward(self, ids, state=None):
        return super().forward(ids, state)[0], None


class IgnoresState(Good):
    """Returns a state and does not use the one it gets."""

    def forward(self, ids, state=None):
        return super().forward(ids, None)


class FirstState(Good):
    """Returns the state after the first token, not after the last."""

    def forward(self, ids, state=None):
        h = self.features(ids, state)
        return self.head(h), h[:, :1]


class DictState(Good):
    """Has names for the parts of its state."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits, {"h": state}


class NamedState(Good):
    """Has names for the parts of its state, in a tuple."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits, Memory(state)


class MixesRows(Good):
    """Normalises over the batch, and forgets that rows are texts."""

    def features(self, ids, state):
        h = super().features(ids, state)
        return h - h.mean(dim=0, keepdim=True)


class LosesHead(Good):
    """Leaves the head out of its groups."""

    def layer_groups(self):
        return {"embedding": list(self.embedding.parameters())}


class RepeatsHead(Good):
    """Has the head in two groups."""

    def layer_groups(self):
        groups = super().layer_groups()
        return {**groups, "again": groups["head"]}


class ForeignGroup(Good):
    """Has a parameter in its groups that it does not have."""

    def layer_groups(self):
        return {**super().layer_groups(), "more": [nn.Parameter(torch.zeros(2))]}


class ForgetsWidth(Good):
    """Does not hand on all that it was built with."""

    def __init__(self, vocab_size, width=4):
        super().__init__(vocab_size, width)
        del self.config["width"]


class ForgetsScale(Good):
    """Does not hand on what changes no shape."""

    def __init__(self, vocab_size, scale=1.0):
        super().__init__(vocab_size)
        del self.config["width"]
        self.scale = scale

    def features(self, ids, state):
        return self.scale * super().features(ids, state)

    def forward(self, ids, state=None):
        h = super().features(ids, state)
        return self.scale * self.head(h), h[:, -1:]


class OtherName(Good):
    """Hands an argument on by another name."""

    def __init__(self, vocab_size, size=4):
        super().__init__(vocab_size, size)


class NoJSON(Good):
    """Was built with something that no file can hold."""

    def __init__(self, vocab_size, width=4, activation=torch.tanh):
        super().__init__(vocab_size, width)
        self.config["activation"] = activation


Lstm = type("lstm", (Good,), {})


@pytest.mark.parametrize("vocab_size", [1, 2, 5, 65])
def test_a_class_that_keeps_the_contract_passes(vocab_size):
    """Whatever the vocabulary's size, in any mode."""
    check_contract(Good(vocab_size))
    check_contract(Good(vocab_size, width=7).eval())


def test_every_family_passes(model):
    """What the families promise is what a custom class is held to."""
    check_contract(model)


@pytest.mark.parametrize(
    ("cls", "error", "match"),
    [
        (LogitsOnly, TypeError, r"pair \(logits, state\)\. Received: Tensor"),
        (TimeFirst, ValueError, r"\(2, 5, 7\): the time axis.*second\. Received: \(5, 2, 7\)"),
        (VocabSecond, ValueError, r"\(2, 5, 7\): the vocabulary comes last.*\(2, 7, 5\)"),
        (LastOnly, ValueError, r"a row for every token.*Received: \(2, 7\)"),
        (Flat, ValueError, r"keep the first two axes apart\. Received: \(10, 7\)"),
        (Integers, ValueError, r"floating-point numbers\. Received: torch.int64"),
        (KeepsState, ValueError, "Keep no state on the module"),
        (LooksAhead, ValueError, r"depend on ids\[:, :t \+ 1\] only"),
        (ReturnsNone, ValueError, "Received: None as the state"),
        (IgnoresState, ValueError, "Received: a state that forward does not use"),
        (FirstState, ValueError, "in two parts.*Received: other logits after t"),
        (DictState, TypeError, r"None, a tensor, or a tuple of such\. Received: dict"),
        (NamedState, TypeError, r"None, a tensor, or a tuple of such\. Received: Memory"),
        (MixesRows, ValueError, "Each row of a batch is a separate text"),
        (LosesHead, ValueError, "'head.weight' in none of embedding"),
        (RepeatsHead, ValueError, "'head.weight' in 2 of embedding, head, again"),
        (ForeignGroup, ValueError, "own parameters only.*Received: 1 others"),
        (NoJSON, TypeError, r"saved as JSON.*Received: \{'vocab_size': 7"),
        (Lstm, ValueError, r"rename it\. Received: class lstm"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_breaks_the_contract_is_named(cls, error, match):
    """The message says which part, and what was received."""
    with pytest.raises(error, match=match):
        check_contract(cls(7))


@pytest.mark.parametrize(
    ("cls", "argument", "match"),
    [
        (ForgetsWidth, 9, r"every argument.*Received: config=\{'vocab_size': 7\} \(.*shape"),
        (ForgetsScale, 2.0, "has other logits with the same weights"),
        (OtherName, 4, "by its name.*unexpected keyword argument 'width'"),
    ],
)
def test_a_config_that_does_not_rebuild_the_model_is_refused(cls, argument, match):
    """Before the training, not when the file is loaded."""
    with pytest.raises(ValueError, match=match):
        check_contract(cls(7, argument))


def test_nothing_is_changed():
    """Weights, buffers, modes and the global random numbers are what they were."""

    class Counts(Good):
        """Counts how often it is called, which no logit depends on."""

        steps: torch.Tensor

        def forward(self, ids, state=None):
            self.steps += 1
            return super().forward(ids, state)

    model = Counts(7)
    model.dropout.eval()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    check_contract(model)
    assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert not torch.is_inference_mode_enabled()


def test_a_mixture_passes():
    """A model made of models keeps the contract if they do."""

    class Mixture(LanguageModel):
        """The mean of an LSTM's probabilities and an n-gram's."""

        def __init__(self, vocab_size):
            super().__init__(vocab_size=vocab_size)
            self.lstm = LSTMModel(vocab_size, hidden_size=8)
            self.ngram = NGramModel(vocab_size, order=2)

        def forward(self, ids, state=None):
            one, other = state or (None, None)
            logits, one = self.lstm(ids, one)
            scores, other = self.ngram(ids, other)
            both = torch.stack([logits.log_softmax(-1), scores.log_softmax(-1)])
            return both.logsumexp(0), (one, other)

        def layer_groups(self):
            return self.lstm.layer_groups()

    check_contract(Mixture(9))
