"""RNN, GRU and LSTM: the state is a vector that each token changes.

All three are an embedding, a stack of one-layer recurrent modules and a linear head. They are
written with the time axis first inside, which is the layout that PyTorch's kernels work in.
"""

from typing import Any

import torch
from torch import nn

from textrnn.errors import check_choice, check_int, check_number
from textrnn.models.base import LanguageModel, State


class LockedDropout(nn.Module):
    """Drops the same features at every time step of a window (Gal and Ghahramani 2016).

    Plain dropout draws anew at each step; a recurrent network learns better when what is
    missing stays missing for a while.

    Args:
        p: the probability that a feature is dropped, in [0, 1).

    Attributes:
        generator: where the random numbers come from; None is torch's global generator.

    >>> x = torch.ones(4, 2, 3)  # (T, B, H)
    >>> y = LockedDropout(0.5)(x)
    >>> bool((y == y[0]).all())
    True
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = check_number("dropout", p, "in [0, 1)", lambda p: 0 <= p < 1)
        self.generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop features of x (T, B, H) in training; give x as it is otherwise."""
        if not self.training or self.p == 0:
            return x
        keep = torch.empty_like(x[0]).bernoulli_(1 - self.p, generator=self.generator)  # (B, H)
        return x * keep.div_(1 - self.p)


class _Recurrent(LanguageModel):
    """What RNN, GRU and LSTM share; the subclasses choose the cell."""

    def __init__(
        self,
        cell: type[nn.RNN] | type[nn.GRU] | type[nn.LSTM],
        *,
        vocab_size: int,
        embedding_dim: int | None,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        **options: Any,
    ) -> None:
        check_int("vocab_size", vocab_size, 1)
        embedding_dim = min(vocab_size, 64) if embedding_dim is None else embedding_dim
        check_int("embedding_dim", embedding_dim, 1)
        check_int("hidden_size", hidden_size, 1)
        check_int("num_layers", num_layers, 1)
        super().__init__(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            **options,
        )
        nonlinearity = {k: v for k, v in options.items() if k == "nonlinearity"}
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.layers = nn.ModuleList(
            cell(embedding_dim if i == 0 else hidden_size, hidden_size, **nonlinearity)
            for i in range(num_layers)
        )
        self.dropout = LockedDropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)
        self.reset_parameters()

    def forward(
        self, ids: torch.Tensor, state: tuple[State, ...] | None = None
    ) -> tuple[torch.Tensor, tuple[State, ...]]:
        """Score the token after each of ids (B, T): logits (B, T, V)."""
        x = self.embedding(ids.t())  # (T, B, E)
        new_state = []
        for i, layer in enumerate(self.layers):
            x, layer_state = layer(x, None if state is None else state[i])  # (T, B, H)
            x = self.dropout(x)
            new_state.append(layer_state)
        return self.head(x).transpose(0, 1), tuple(new_state)  # (B, T, V)

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Give embedding, layer0, layer1, ..., head."""
        groups = {"embedding": list(self.embedding.parameters())}
        groups |= {f"layer{i}": list(layer.parameters()) for i, layer in enumerate(self.layers)}
        groups["head"] = list(self.head.parameters())
        return groups

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new initial weights.

        Input weights are Glorot uniform (Glorot and Bengio 2010), each gate's recurrent weights
        orthogonal (Saxe et al. 2014), biases zero but the forget gate's, which is 1
        (Jozefowicz et al. 2015).

        Args:
            generator: where the random numbers come from; None is torch's global generator.
        """
        if self.head.weight.is_meta:
            return
        nn.init.normal_(self.embedding.weight, std=0.1, generator=generator)
        for layer in self.layers:
            h = int(layer.hidden_size)  # type: ignore[arg-type]
            for gate in layer.weight_ih_l0.split(h):  # type: ignore[operator]
                nn.init.xavier_uniform_(gate, generator=generator)
            for gate in layer.weight_hh_l0.split(h):  # type: ignore[operator]
                self._reset_recurrent(gate, generator)
            nn.init.zeros_(layer.bias_ih_l0)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias_hh_l0)  # type: ignore[arg-type]
            if isinstance(layer, nn.LSTM):
                layer.bias_ih_l0[h : 2 * h] = 1  # type: ignore[operator]  # gates are in the order i, f, g, o
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        nn.init.zeros_(self.head.bias)

    def _reset_recurrent(self, gate: torch.Tensor, generator: torch.Generator | None) -> None:
        if self.config.get("recurrent_init") == "identity":
            nn.init.eye_(gate)
        else:
            nn.init.orthogonal_(gate, generator=generator)


class RNNModel(_Recurrent):
    """The simple recurrent network (Elman 1990): h' = tanh(W x + U h + b).

    Args:
        vocab_size: V, the number of symbols.
        embedding_dim: E, the width of a symbol's vector; min(V, 64) if None.
        hidden_size: H, the width of the state.
        num_layers: recurrent layers on top of each other.
        dropout: the probability that a feature of a layer's output is dropped in training, in
            [0, 1); the same features at every step of a window.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        recurrent_init: ``"orthogonal"``, or ``"identity"`` as Le, Jaitly and Hinton (2015) start
            a relu network.

    The state is one tensor (1, B, H) a layer.

    >>> model = RNNModel(65, hidden_size=128)
    >>> logits, state = model(torch.zeros(2, 7, dtype=torch.int64))
    >>> tuple(logits.shape), tuple(state[0].shape)
    ((2, 7, 65), (1, 2, 128))
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        nonlinearity: str = "tanh",
        recurrent_init: str = "orthogonal",
    ) -> None:
        check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        check_choice("recurrent_init", recurrent_init, ("orthogonal", "identity"))
        super().__init__(
            nn.RNN,
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            nonlinearity=nonlinearity,
            recurrent_init=recurrent_init,
        )


class GRUModel(_Recurrent):
    """The gated recurrent unit (Cho et al. 2014).

    Args:
        vocab_size: V, the number of symbols.
        embedding_dim: E, the width of a symbol's vector; min(V, 64) if None.
        hidden_size: H, the width of the state.
        num_layers: recurrent layers on top of each other.
        dropout: the probability that a feature of a layer's output is dropped in training, in
            [0, 1); the same features at every step of a window.

    The state is one tensor (1, B, H) a layer.

    >>> list(GRUModel(65, num_layers=2).layer_groups())
    ['embedding', 'layer0', 'layer1', 'head']
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            nn.GRU,
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
        )


class LSTMModel(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with Gers's forget gate, 2000).

    Args:
        vocab_size: V, the number of symbols.
        embedding_dim: E, the width of a symbol's vector; min(V, 64) if None.
        hidden_size: H, the width of the state.
        num_layers: recurrent layers on top of each other.
        dropout: the probability that a feature of a layer's output is dropped in training, in
            [0, 1); the same features at every step of a window.

    The state is a pair (h, c) of tensors (1, B, H) a layer.

    >>> model = LSTMModel(65, embedding_dim=16, hidden_size=32)
    >>> sum(p.numel() for p in model.parameters())
    9585
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            nn.LSTM,
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
        )
