"""What can be hung into training: hooks, and callbacks that use them."""

from textrnn.callbacks.base import Callback, CallbackList, LambdaCallback
from textrnn.callbacks.control import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from textrnn.callbacks.report import CSVLogger, ProgressBar, SampleText

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "SampleText",
    "TerminateOnNaN",
]
