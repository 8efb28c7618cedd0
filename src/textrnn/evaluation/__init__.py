"""How well a model predicts a text."""

from textrnn.evaluation.floor import ngram_baseline
from textrnn.evaluation.loss import evaluate, metrics, surprisals

__all__ = ["evaluate", "metrics", "ngram_baseline", "surprisals"]
