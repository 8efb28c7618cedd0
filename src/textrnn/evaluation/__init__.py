"""How well a model predicts a text."""

from textrnn.evaluation.scoring import evaluate, metrics, ngram_baseline, surprisals

__all__ = ["evaluate", "metrics", "ngram_baseline", "surprisals"]
