"""RNN, GRU and LSTM: the state is a vector that every token updates.

Each is an embedding, a stack of one-layer recurrent modules and a linear head. Inside, the time
axis comes first, the layout that PyTorch's kernels use.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from textrnn.checks import check_choice, check_int
from textrnn.models.base import LanguageModel, State
from textrnn.models.layers import Dropout, embedding_width, new_embedding


class _Recurrent(LanguageModel):
    r"""What RNN, GRU and LSTM share: everything but the cell f.

    For layers l = 1 ... L:

        h^0_t = E[x_t]        h^l_t = f(h^(l-1)_t, h^l_(t-1))        logits_t = W h^L_t + b
    """

    cell: type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]

    def __init__(self, **config: Any) -> None:
        config["embedding_dim"] = _width(config)
        if config["output_dropout"] is None:
            config["output_dropout"] = config["dropout"]
        super().__init__(**config)
        v, e = self.vocab_size, config["embedding_dim"]
        h = check_int("hidden_size", config["hidden_size"], 1)
        depth = check_int("num_layers", config["num_layers"], 1)
        options = {k: v for k, v in config.items() if k == "nonlinearity"}
        self.embedding = new_embedding(v, e) if e else None
        self.embedding_dropout = Dropout("embedding_dropout", config["embedding_dropout"])
        self.layers = nn.ModuleList(
            self.cell(h if i else e or v, h, **options) for i in range(depth)
        )
        self.weight_drop = Dropout("weight_drop", config["weight_drop"])
        self.dropouts = nn.ModuleList(Dropout("dropout", config["dropout"]) for _ in range(depth))
        self.dropouts[-1] = Dropout("output_dropout", config["output_dropout"])
        self.head = nn.Linear(h, v)
        if config["tie_weights"]:
            self.head.register_parameter("weight", None)  # the embedding's is used
        self.reset_parameters()

    def forward(
        self, ids: torch.Tensor, state: tuple[State, ...] | None = None
    ) -> tuple[torch.Tensor, tuple[State, ...]]:
        """Score the token after each of ids (B, T): logits (B, T, V)."""
        v = self.vocab_size
        if self.embedding is None:
            x = self.embedding_dropout(F.one_hot(ids.t(), v).float(), mask=(v,))  # (T, B, V)
        else:
            table = self.embedding_dropout(self.embedding.weight, mask=(v, 1))  # (V, E)
            x = F.embedding(ids.t(), table)  # (T, B, E)
        new_state = []
        for i, (layer, dropout) in enumerate(zip(self.layers, self.dropouts, strict=True)):
            x, layer_state = _run(layer, x, None if state is None else state[i], self.weight_drop)
            x = dropout(x, mask=x.shape[1:])  # (T, B, H)
            new_state.append(layer_state)
        if self.embedding is not None and self.config["tie_weights"]:
            logits = F.linear(x, self.embedding.weight, self.head.bias)
        else:
            logits = self.head(x)
        return logits.transpose(0, 1), tuple(new_state)  # (B, T, V)

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return embedding (if there is one), layer0, layer1, ..., head."""
        groups = {f"layer{i}": list(layer.parameters()) for i, layer in enumerate(self.layers)}
        groups["head"] = list(self.head.parameters())
        if self.embedding is not None:
            groups = {"embedding": list(self.embedding.parameters()), **groups}
        return groups

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new initial weights.

        Embeddings have variance 1 (0.01 if they are also the head's weights), input weights are
        Glorot uniform (Glorot and Bengio 2010), each gate's recurrent weights orthogonal (Saxe et
        al. 2014), biases zero. That includes the forget gate's: with 1 (Jozefowicz et al. 2015)
        characters are learned more slowly.

        Args:
            generator: the source of randomness; None for torch's global generator.
        """
        if self.head.bias.is_meta:
            return
        if self.embedding is not None:
            std = 0.1 if self.config["tie_weights"] else 1.0  # small enough for a head
            nn.init.normal_(self.embedding.weight, std=std, generator=generator)
        for layer in self.layers:
            _reset(layer, self.config.get("recurrent_init") == "identity", generator)
        if self.head.weight is not None:
            nn.init.xavier_uniform_(self.head.weight, generator=generator)
        nn.init.zeros_(self.head.bias)


class RNNModel(_Recurrent):
    """The simple recurrent network (Elman 1990).

    The cell f of each layer, with s = tanh or relu:

        h_t = s(W x_t + U h_(t-1) + b)

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        embedding_dim: E, the width of the embedding; if None, V itself, but at most 64, or 128
            for a vocabulary above 1,000.
        hidden_size: H, the width of the state.
        num_layers: how many recurrent layers there are, one on top of the other.
        dropout: the probability that a feature of a layer's output is dropped in training, in
            [0, 1); the same features at every step of a window (Gal and Ghahramani 2016).
        output_dropout: the same for the last layer's output, which goes to the head; equal to
            ``dropout`` if None. With 0, ``dropout`` acts as in ``torch.nn.LSTM``.
        embedding_dropout: the probability that a token is dropped: its vector is zero wherever
            it occurs in a batch (Merity et al. 2018, section 4.3).
        weight_drop: the probability that a weight of U is dropped for a batch, in every layer
            (DropConnect as in AWD-LSTM: Merity et al. 2018, section 2).
        input: ``"embedding"``, or ``"onehot"`` for one-hot vectors of width V.
        tie_weights: use the embedding as the head's weights, too (Press and Wolf 2017); E is H.
        nonlinearity: s, ``"tanh"`` or ``"relu"``.
        recurrent_init: ``"orthogonal"``, or ``"identity"``, which is meant for relu (Le, Jaitly
            and Hinton 2015).

    The state is one tensor (1, B, H) per layer.

    >>> model = RNNModel(65, hidden_size=128)
    >>> logits, state = model(torch.zeros(2, 7, dtype=torch.int64))
    >>> tuple(logits.shape), tuple(state[0].shape)
    ((2, 7, 65), (1, 2, 128))
    """

    blank = 0
    cell = nn.RNN

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        output_dropout: float | None = None,
        embedding_dropout: float = 0.0,
        weight_drop: float = 0.0,
        input: str = "embedding",
        tie_weights: bool = False,
        nonlinearity: str = "tanh",
        recurrent_init: str = "orthogonal",
    ) -> None:
        check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        check_choice("recurrent_init", recurrent_init, ("orthogonal", "identity"))
        super().__init__(**_arguments(locals()))


class _Gated(_Recurrent):
    """What GRU and LSTM share: their arguments."""

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_dim: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        output_dropout: float | None = None,
        embedding_dropout: float = 0.0,
        weight_drop: float = 0.0,
        input: str = "embedding",
        tie_weights: bool = False,
    ) -> None:
        super().__init__(**_arguments(locals()))


class GRUModel(_Gated):
    """The gated recurrent unit (Cho et al. 2014, in the form of cuDNN and torch.nn.GRU).

    The cell f of each layer, with s the logistic function and * the product by element:

        r = s(W_r x_t + U_r h_(t-1) + b_r)                   reset gate
        z = s(W_z x_t + U_z h_(t-1) + b_z)                   update gate
        n = tanh(W_n x_t + b_n + r * (U_n h_(t-1) + c_n))    new content
        h_t = (1 - z) * n + z * h_(t-1)

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        embedding_dim: E, the width of the embedding; chosen by V if None. This and all further
            arguments are those of ``RNNModel``.
        hidden_size: H, the width of the state.
        num_layers: how many recurrent layers there are, one on top of the other.
        dropout: of each layer's output, in [0, 1).
        output_dropout: of the last layer's output; equal to ``dropout`` if None.
        embedding_dropout: of whole tokens.
        weight_drop: of the recurrent weights.
        input: ``"embedding"`` or ``"onehot"``.
        tie_weights: use the embedding as the head's weights, too.

    The state is one tensor (1, B, H) per layer.

    >>> list(GRUModel(65, num_layers=2).layer_groups())
    ['embedding', 'layer0', 'layer1', 'head']
    """

    blank = 0
    cell = nn.GRU


class LSTMModel(_Gated):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with Gers's forget gate, 2000).

    The cell f of each layer, with s the logistic function and * the product by element:

        i = s(W_i x_t + U_i h_(t-1) + b_i)       input gate
        f = s(W_f x_t + U_f h_(t-1) + b_f)       forget gate
        g = tanh(W_g x_t + U_g h_(t-1) + b_g)    new content
        o = s(W_o x_t + U_o h_(t-1) + b_o)       output gate
        c_t = f * c_(t-1) + i * g                h_t = o * tanh(c_t)

    Args:
        vocab_size: V, the number of tokens in the vocabulary.
        embedding_dim: E, the width of the embedding; chosen by V if None. This and all further
            arguments are those of ``RNNModel``.
        hidden_size: H, the width of the state.
        num_layers: how many recurrent layers there are, one on top of the other.
        dropout: of each layer's output, in [0, 1).
        output_dropout: of the last layer's output; equal to ``dropout`` if None.
        embedding_dropout: of whole tokens.
        weight_drop: of the recurrent weights.
        input: ``"embedding"`` or ``"onehot"``.
        tie_weights: use the embedding as the head's weights, too.

    The state is a pair (h, c) of tensors (1, B, H) per layer.

    >>> model = LSTMModel(65, embedding_dim=16, hidden_size=32)
    >>> sum(p.numel() for p in model.parameters())
    9585
    """

    blank = 0
    cell = nn.LSTM


def _arguments(names: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments among the local names at the beginning of an ``__init__``."""
    return {name: value for name, value in names.items() if name not in ("self", "__class__")}


def _width(config: Mapping[str, Any]) -> int | None:
    """Return the width of the embedding, None for one-hot input, or raise ``ValueError``."""
    e, h, tied = config["embedding_dim"], config["hidden_size"], config["tie_weights"]
    check_choice("input", config["input"], ("embedding", "onehot"))
    check_choice("tie_weights", tied, (False, True))
    if config["input"] == "onehot":
        if e is not None or tied:
            raise ValueError(
                "`input='onehot'` has no embedding: leave out `embedding_dim` and `tie_weights`. "
                f"Received: embedding_dim={e!r}, tie_weights={tied!r}"
            )
        return None
    if tied and e not in (None, h):
        raise ValueError(
            "`tie_weights` needs an embedding as wide as the state: leave out `embedding_dim`. "
            f"Received: embedding_dim={e!r}, hidden_size={h!r}"
        )
    return embedding_width(h if tied else e, config["vocab_size"])


def _run(
    layer: Any, x: torch.Tensor, state: State, weight_drop: Dropout
) -> tuple[torch.Tensor, State]:
    """Run one recurrent layer over x (T, B, ·); in training, drop weights of its U."""
    if not weight_drop.training or weight_drop.p == 0:
        result: tuple[torch.Tensor, State] = layer(x, state)
        return result
    # The functions that torch's modules call take their weights as arguments, so no parameter has
    # to be replaced and restored.
    weights = [layer.weight_ih_l0, weight_drop(layer.weight_hh_l0)]
    weights += [layer.bias_ih_l0, layer.bias_hh_l0]
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    options = True, 1, 0.0, True, False, False
    start = x.new_zeros((1, x.shape[1], layer.hidden_size))
    if isinstance(layer, nn.LSTM):
        y, h, c = torch.lstm(x, state or (start, start), weights, *options)
        return y, (h, c)
    run = torch.gru if isinstance(layer, nn.GRU) else torch.rnn_tanh
    if isinstance(layer, nn.RNN) and layer.nonlinearity == "relu":
        run = torch.rnn_relu
    return run(x, start if state is None else state, weights, *options)


def _reset(layer: Any, identity: bool, generator: torch.Generator | None) -> None:
    """Draw the initial weights of one recurrent layer, gate by gate."""
    h = layer.hidden_size
    for gate in layer.weight_ih_l0.split(h):
        nn.init.xavier_uniform_(gate, generator=generator)
    for gate in layer.weight_hh_l0.split(h):
        if identity:
            nn.init.eye_(gate)
        else:
            nn.init.orthogonal_(gate, generator=generator)
    nn.init.zeros_(layer.bias_ih_l0)
    nn.init.zeros_(layer.bias_hh_l0)
