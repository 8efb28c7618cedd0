"""One token in, one row of logits out: the steppers, and the table of their names."""

from textrnn.stepping.base import Stepper
from textrnn.stepping.ngram import NGramStepper
from textrnn.stepping.recurrent import GRUStepper, LSTMStepper, RNNStepper
from textrnn.stepping.window import WindowMLPStepper, WindowRNNStepper

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
