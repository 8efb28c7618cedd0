"""Models that look at the last w tokens only.

Both read all windows of a text in parallel, so they train on contiguous batches like the other
families. Their state is the last w-1 ids. Positions before the text are zero vectors.
"""

from abc import abstractmethod

import torch
from torch import nn

from textrnn.checks import check_choice, check_int
from textrnn.generation.steppers.window import MAX_WINDOW
from textrnn.models.base import LanguageModel
from textrnn.models.layers import Dropout, embedding_width, new_embedding


class _Window(LanguageModel):
    """What the window models share: the state, and the embedding of all tokens in the window."""

    blank = -1
    embedding: nn.Embedding
    dropout: Dropout
    head: nn.Linear

    def forward(
        self, ids: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score the token after each of ids (B, T): logits (B, T, V)."""
        before = self.config["window"] - 1
        if state is None:
            state = ids.new_full((len(ids), before), -1)
        reach = torch.cat([state, ids], dim=1)  # (B, w - 1 + T)
        x = self.embedding(reach.clamp(min=0)) * (reach >= 0)[..., None]  # (B, w - 1 + T, E)
        features = self.dropout(self._read(x, ids.shape[1]))  # (B, T, H)
        return self.head(features), reach[:, reach.shape[1] - before :]

    @abstractmethod
    def _read(self, x: torch.Tensor, t: int) -> torch.Tensor:
        """Return the features (B, T, H) of the T windows in the vectors x (B, w - 1 + T, E)."""

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parts from embedding to head, with their parameters."""
        parts = {name: list(part.parameters()) for name, part in self.named_children()}
        return {name: parameters for name, parameters in parts.items() if parameters}

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new initial weights.

        Embeddings have variance 1, weights are Glorot uniform (Glorot and Bengio 2010), biases
        zero.

        Args:
            generator: the source of randomness; None for torch's global generator.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear) and not module.weight.is_meta:
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
        if not self.embedding.weight.is_meta:
            nn.init.normal_(self.embedding.weight, generator=generator)


class WindowMLPModel(_Window):
    """The neural probabilistic language model (Bengio et al. 2003), with relu.

    The embeddings of the last w tokens, side by side, go through one hidden layer:

        h_t = relu(U [E[x_(t-w+1)]; ...; E[x_t]] + b)        logits_t = W h_t + c

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        window: w, how many tokens it sees, from 1 to 4,096.
        embedding_dim: E, the width of the embedding; chosen by V if None, as in ``RNNModel``.
        hidden_size: H, the width of the hidden layer.
        dropout: the probability that a feature of h_t is dropped in training, in [0, 1).

    The state is the last w-1 ids, (B, w - 1) int64, -1 for "before the text". The layer groups
    are embedding, hidden, head.

    >>> model = WindowMLPModel(65, window=4)
    >>> logits, state = model(torch.zeros(2, 7, dtype=torch.int64))
    >>> tuple(logits.shape), tuple(state.shape)
    ((2, 7, 65), (2, 3))
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        window: int = 8,
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            vocab_size=vocab_size,
            window=check_int("window", window, 1, MAX_WINDOW),
            embedding_dim=embedding_width(embedding_dim, vocab_size),
            hidden_size=check_int("hidden_size", hidden_size, 1),
            dropout=dropout,
        )
        e = self.config["embedding_dim"]
        self.embedding = new_embedding(vocab_size, e)
        self.hidden = nn.Linear(window * e, hidden_size)
        self.dropout = Dropout("dropout", dropout)
        self.head = nn.Linear(hidden_size, vocab_size)
        self.reset_parameters()

    def _read(self, x: torch.Tensor, t: int) -> torch.Tensor:
        windows = torch.cat([x[:, k : k + t] for k in range(self.config["window"])], dim=-1)
        return torch.relu(self.hidden(windows))  # (B, T, w * E) -> (B, T, H)


class WindowRNNModel(_Window):
    """A recurrent network that starts afresh in each window: fast.ai's first RNNs.

    Each window of w tokens is read from a zero state h, with the same weights at every step k:

        combine="add"       h <- tanh(U (h + relu(W E[x_k] + a)) + b)
        combine="concat"    h <- tanh(U relu(W [h; E[x_k]] + a) + b)

    and the head scores the last h: logits = W' h + c. Source: fast.ai's lesson 6 (Practical Deep
    Learning for Coders, 2018), where "add" is the Char3Model with window=3 and the CharLoopModel
    with 8, and "concat" with 8 is the CharLoopConcatModel. It costs w times as much as an
    ``RNNModel``, which carries h along.

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        window: w, how many tokens it sees, from 1 to 4,096.
        combine: how a token and the state are combined, ``"add"`` or ``"concat"``.
        embedding_dim: E, the width of the embedding; chosen by V if None, as in ``RNNModel``.
        hidden_size: H, the width of h.
        dropout: the probability that a feature of the last h is dropped in training, in [0, 1).

    The state is the last w-1 ids, (B, w - 1) int64, -1 for "before the text".

    >>> model = WindowRNNModel(85, window=3, combine="add")
    >>> list(model.layer_groups())
    ['embedding', 'input', 'recurrent', 'head']
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        window: int = 8,
        combine: str = "concat",
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        dropout: float = 0.0,
    ) -> None:
        check_choice("combine", combine, ("add", "concat"))
        super().__init__(
            vocab_size=vocab_size,
            window=check_int("window", window, 1, MAX_WINDOW),
            combine=combine,
            embedding_dim=embedding_width(embedding_dim, vocab_size),
            hidden_size=check_int("hidden_size", hidden_size, 1),
            dropout=dropout,
        )
        e = self.config["embedding_dim"]
        self.embedding = new_embedding(vocab_size, e)
        self.input = nn.Linear(e + hidden_size if combine == "concat" else e, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size)
        self.dropout = Dropout("dropout", dropout)
        self.head = nn.Linear(hidden_size, vocab_size)
        self.reset_parameters()

    def _read(self, x: torch.Tensor, t: int) -> torch.Tensor:
        add = self.config["combine"] == "add"
        if add:
            x = torch.relu(self.input(x))  # (B, w - 1 + T, H): once for all windows
        h = x.new_zeros(len(x), t, self.config["hidden_size"])
        for k in range(self.config["window"]):
            token = x[:, k : k + t]  # the k-th token of each window
            mixed = h + token if add else torch.relu(self.input(torch.cat([h, token], dim=-1)))
            h = torch.tanh(self.recurrent(mixed))  # (B, T, H)
        return h
