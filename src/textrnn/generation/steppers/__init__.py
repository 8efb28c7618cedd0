"""Steppers: one token in, one row of logits out, without torch."""

from textrnn.generation.steppers.base import Stepper
from textrnn.generation.steppers.ngram import NGramStepper
from textrnn.generation.steppers.recurrent import GRUStepper, LSTMStepper, RNNStepper
from textrnn.generation.steppers.window import WindowMLPStepper, WindowRNNStepper

__all__ = ["STEPPERS", "NGramStepper", "Stepper"]

STEPPERS: dict[str, type[Stepper]] = {
    "ngram": NGramStepper,
    "window_mlp": WindowMLPStepper,
    "window_rnn": WindowRNNStepper,
    "rnn": RNNStepper,
    "gru": GRUStepper,
    "lstm": LSTMStepper,
}
"""The stepper of each family, by the family's name."""
