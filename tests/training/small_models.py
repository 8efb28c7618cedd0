"""What the tests of the trainer share: a text of ids, small models, and faults to train into."""

import numpy as np
import torch
from torch import nn

from textrnn.callbacks import Callback, LambdaCallback
from textrnn.models.base import LanguageModel
from textrnn.models.registry import MODELS
from textrnn.training.optim import OptimizerConfig

V = 7
IDS = np.random.default_rng(0).integers(0, V, 417).astype(np.uint8)
"""Four rows of 104: with seq_len 26 or 16, four or seven batches an epoch."""
SIZES = {"batch_size": 4, "seq_len": 26}
NEURAL = [family for family in MODELS if family != "ngram"]
HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class Sums(LanguageModel):
    """Scores by the sum of the embeddings so far, (B, E), which is its state; notes all it gets."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size=vocab_size)
        self.table, self.head = nn.Embedding(vocab_size, 3), nn.Linear(3, vocab_size)
        self.ids, self.received, self.given = [], [], []

    def forward(self, ids, state=None):
        """Score the token after each of ids."""
        self.ids.append(ids)
        self.received.append(state)
        sums = self.table(ids).cumsum(1) + (0 if state is None else state[:, None])
        self.given.append(sums[:, -1])
        return self.head(sums.tanh()), sums[:, -1]

    def layer_groups(self):
        """Return table and head."""
        return {"table": list(self.table.parameters()), "head": list(self.head.parameters())}


class Faulty(Sums):
    """Breaks in some of the batches it is trained on, the third if not told otherwise."""

    def __init__(self, fault, batches=(3,)):
        super().__init__(V)
        self.fault, self.batches = fault, batches

    def forward(self, ids, state=None):
        """Score, and spoil the scores of those batches."""
        logits, state = super().forward(ids, state)
        if len(self.ids) in self.batches:
            logits = self.fault(logits)
        return logits, state


FAULTS = {
    "the loss is NaN": lambda logits: logits * np.nan,
    "the loss is infinite, its gradient finite": lambda logits: logits.index_fill(
        2, torch.tensor([0]), -np.inf
    ),
    "the gradient is NaN, the loss finite": lambda logits: logits + (logits.sum() * 0).sqrt(),
}


def small(family, dropout=0.0, hidden_size=8, seed=1):
    """Return a small model with fixed weights."""
    model = MODELS[family](V, embedding_dim=4, hidden_size=hidden_size, dropout=dropout)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model


def weights(model):
    """Return a copy of a model's weights as one vector."""
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def plain(**settings):
    """Return settings for SGD and nothing else, as exact as a CPU is."""
    usual = {"clip_norm": None, "schedule": "constant", "weight_decay": 0.0, "precision": "float32"}
    return OptimizerConfig(optimizer="sgd", **{**usual, **settings})


def each_batch(function):
    """Return a callback that calls a function with the logs after every batch."""
    return LambdaCallback(on_train_batch_end=lambda batch, logs: function(logs))
