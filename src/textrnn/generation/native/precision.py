"""The choice of what computes a step: NumPy, or the kernel with floats or with whole numbers."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textrnn.generation.native.library import load_kernel
from textrnn.generation.native.packing import MAX_WIDTH
from textrnn.generation.native.stepper import NativeStepper
from textrnn.generation.steppers.base import Stepper
from textrnn.generation.steppers.recurrent import RecurrentStepper

Precision = Literal["float32", "int8", "auto"]
_MAX_DIVERGENCE = 1e-4
"""In nats per token. Losses on real text then differed by less than 0.001."""


def accelerated(stepper: Stepper, precision: Precision = "float32") -> Stepper | NativeStepper:
    """Return the native stepper of a recurrent model where there is a kernel, else the same.

    Args:
        stepper: the model's NumPy stepper.
        precision: "float32"; "int8", weights as whole numbers with a scale for each row; "auto",
            int8 where the processor is fast at it and it hardly changes the probabilities.

    Raises:
        ValueError: int8 was asked for and cannot be had.
    """
    kernel = load_kernel()
    recurrent = isinstance(stepper, RecurrentStepper) and stepper.width <= MAX_WIDTH
    if precision == "int8" and not (recurrent and kernel):
        raise ValueError(
            "`precision='int8'` needs an RNN, GRU or LSTM and the native kernel, which is built "
            "where there is a C compiler when textrnn is installed; 'auto' takes what there is. "
            f"Received: {'another model' if kernel else 'no kernel'}"
        )
    if kernel is None or not isinstance(stepper, RecurrentStepper):
        return stepper
    exact = NativeStepper(stepper, kernel)
    if precision == "float32" or not recurrent:
        return exact
    if precision == "auto" and kernel.level == 0:
        return exact
    rounded = NativeStepper(stepper, kernel, "int8")
    if precision == "int8" or divergence(exact, rounded) <= _MAX_DIVERGENCE:
        return rounded
    return exact


def divergence(exact: NativeStepper, other: NativeStepper) -> float:
    """Return how far another stepper is from the exact one, on texts that the exact one writes.

    That is the Kullback-Leibler divergence in nats per token, over 8 texts of 32 tokens: what the
    loss of such texts would grow by. NaN where probabilities are no numbers.
    """
    texts, rng = 8, np.random.default_rng(0)
    left, right = exact.start(texts), other.start(texts)
    ids, total = np.zeros(texts, dtype=np.int64), 0.0
    with np.errstate(all="ignore"):
        for _ in range(32):
            a, b = _log_softmax(left.step(ids)), _log_softmax(right.step(ids))
            p = np.exp(a)
            total += float((p * (a - b)).sum()) / texts
            draws = rng.random((texts, 1)) * p.sum(axis=1, keepdims=True)
            ids = (p.cumsum(axis=1) > draws).argmax(axis=1)
    return total / 32


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    scores = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
