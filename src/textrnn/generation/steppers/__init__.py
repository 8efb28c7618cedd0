"""Steppers: one token in, one row of logits out, without torch."""

from textrnn.generation.steppers.base import Stepper
from textrnn.generation.steppers.mixture import PARTS, MixtureStepper
from textrnn.generation.steppers.ngram import NGramStepper

__all__ = ["STEPPERS", "NGramStepper", "Stepper"]

STEPPERS: dict[str, type[Stepper]] = {**PARTS, "mixture": MixtureStepper}
"""The stepper of each family, by the family's name."""
