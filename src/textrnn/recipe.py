"""What to choose where the user chose nothing: sizes by the length of the text."""

from typing import Any

EPOCHS = 10
"""Passes over the text where neither epochs nor minutes are given."""


def choose_vocab(level: str) -> dict[str, Any]:
    """Give the arguments of ``Vocab.from_text`` for a level.

    Words that occur once teach a model nothing but cost it a row in two matrices.
    """
    return {"max_size": 20_000, "min_freq": 2} if level == "word" else {}


def choose_model(kind: str, tokens: int) -> dict[str, Any]:
    """Give the arguments of a model for a text of so many tokens.

    A longer text carries a larger model; a short one needs dropout against learning it by
    heart. A model that is not recurrent has defaults of its own.
    """
    if kind not in ("rnn", "gru", "lstm"):
        return {}
    return {
        "hidden_size": 256 if tokens < 3_000_000 else 384,
        "num_layers": 1,
        "dropout": 0.5 if tokens < 300_000 else 0.1,
    }


def choose_training(tokens: int, device_type: str) -> dict[str, Any]:
    """Give batch size, sequence length and peak learning rate.

    On a CPU small batches learn most per second; a GPU needs many rows to be busy.
    """
    if device_type == "cpu":
        return {"batch_size": 16 if tokens < 300_000 else 32, "seq_len": 64, "learning_rate": 1e-2}
    return {"batch_size": 128, "seq_len": 128, "learning_rate": 8e-3}


def headline(
    model: Any, tokens: int, valid_tokens: int, learning_rate: float, sizes: dict[str, int]
) -> str:
    """Say in one line what was chosen: model (but for what is off), text, how it is learnt."""
    settings = {name: value for name, value in model.config.items() if value not in (False, 0)}
    config = ", ".join(f"{name}={value}" for name, value in settings.items())
    line = f"{type(model).__name__}({config}): {tokens:,} tokens to learn from, "
    line += f"{valid_tokens:,} to validate on"
    if parameters := list(model.parameters()):
        line += f"; {sum(p.numel() for p in parameters):,} parameters on {parameters[0].device}, "
        line += f"learning_rate={learning_rate:g}, "
        line += ", ".join(f"{name}={value}" for name, value in sizes.items())
    return line
