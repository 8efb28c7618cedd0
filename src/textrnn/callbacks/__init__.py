"""Callbacks: the base class and the built-in ones."""

from textrnn.callbacks.backup import BackupAndRestore
from textrnn.callbacks.base import Callback, CallbackList, LambdaCallback
from textrnn.callbacks.control import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from textrnn.callbacks.report import CSVLogger, ProgressBar, SampleText
from textrnn.callbacks.weights import KeepBestWeights, SwapEMAWeights

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "KeepBestWeights",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "SampleText",
    "SwapEMAWeights",
    "TerminateOnNaN",
]
