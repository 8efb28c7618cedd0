"""What to choose where the user chose nothing: by the text, the time and the device."""

from typing import Any

EPOCHS = 10
"""Passes over the text where neither epochs nor minutes are given."""

_MANY = 1000  # symbols: more than an alphabet has


def choose_reading(
    tokens: int, epochs: int | None, minutes: float | None, speed: float, vocab_size: int
) -> int:
    """Return how many tokens a training reads, over all its passes, with a model of 256.

    Args:
        tokens: the length of the text in training.
        epochs: passes over it, or None.
        minutes: wall time instead.
        speed: characters a second that ``training_speed`` measured.
        vocab_size: V; scoring many symbols takes longer.
    """
    if epochs is not None:
        return tokens * epochs
    slower = _cost(256, 65) / _cost(256, vocab_size)
    return int(60 * (minutes or 0) * 0.8 * speed * slower)  # optimiser, dropout and validation


def choose_model(
    kind: str,
    given: dict[str, Any],
    tokens: int,
    reading: int,
    vocab_size: int,
    *,
    timed: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a model for a text of so many tokens.

    The more a training reads, the wider the model that pays; the more often it reads the same
    text, the more dropout it needs against learning it by heart, and on the recurrent weights
    too (``weight_drop``, Merity et al. 2018) where that is very often. Many symbols learn more from
    little text if their vectors serve as the output weights too (``tie_weights``). A model that
    is not recurrent has defaults of its own. The figures behind this are in
    ``benchmarks/RESULTS.md``.

    Args:
        kind: a name in ``MODELS``.
        given: the arguments that the user chose.
        tokens: the length of the text in training.
        reading: how many tokens a model of 256 would read, over all passes (``choose_reading``).
        vocab_size: V.
        timed: whether training ends by time, so that a wider model reads less.
    """
    if kind not in ("rnn", "gru", "lstm"):
        return given
    many = vocab_size > _MANY
    passes = reading / max(tokens, 1)
    # Where 384 would soon know the text by heart, 512 and fewer readings are better.
    wide = 25_000_000 if timed and 30 < passes < 100 else 40_000_000
    hidden = 256 if reading < 9_000_000 else 384 if reading < wide else 512
    if many:  # three readings with twice the width teach more than seven
        hidden = 512 if timed and passes > 6 else 256
    if timed:
        passes *= _cost(256, vocab_size) / _cost(hidden, vocab_size)
    # The wider the model, or the rarer the symbols, the sooner it knows the text by heart.
    knows = passes * hidden / 256 * (2 if many else 1)
    dropout = 0.1 if knows < 7 else 0.25 if knows < 13 else 0.4 if knows < 20 else 0.5
    weight_drop = 0.0 if passes < 20 else 0.2 if passes < 40 else 0.4
    if many and passes > 6:
        dropout, weight_drop = 0.5, 0.4
    chosen = {"hidden_size": hidden, "dropout": dropout, "weight_drop": weight_drop}
    if many and not {"embedding_dim", "input"} & set(given):
        chosen["tie_weights"] = True
    return {**chosen, **given}


def _cost(hidden_size: int, vocab_size: int) -> int:
    """Return the multiplications that an LSTM makes for a token, forwards."""
    width = 64 if vocab_size <= _MANY else hidden_size
    return 4 * hidden_size * (width + hidden_size) + hidden_size * vocab_size


def choose_training(
    tokens: int, reading: int, device_type: str, hidden_size: int = 256
) -> dict[str, Any]:
    """Return batch size, sequence length and peak learning rate.

    On a CPU small batches learn most per second, where there is little time or text very small
    ones; a GPU needs many rows to be busy.
    """
    if device_type == "cpu":
        rows = 16 if reading < 3_000_000 or tokens < 300_000 else 32
        rate = min(0.01, round(2.56 / hidden_size, 4))
        return {"batch_size": rows, "seq_len": 64, "learning_rate": rate}
    return {"batch_size": 128, "seq_len": 128, "learning_rate": 8e-3}


def headline(model: Any, tokens: int, valid_tokens: int, chosen: dict[str, Any]) -> str:
    """Say in one line what was chosen: model (but for what is off), text, how it is learnt."""
    settings = {name: value for name, value in model.config.items() if value not in (False, 0)}
    config = ", ".join(f"{name}={value}" for name, value in settings.items())
    line = f"{type(model).__name__}({config}): {tokens:,} tokens to learn from, "
    line += f"{valid_tokens:,} to validate on"
    if parameters := list(model.parameters()):
        line += f"; {sum(p.numel() for p in parameters):,} parameters on {parameters[0].device}, "
        names = ("learning_rate", "batch_size", "seq_len")
        line += ", ".join(f"{name}={chosen[name]:g}" for name in names)
        if chosen["precision"] != "float32":
            line += f", precision={chosen['precision']}"
    return line
