"""What the tests of callbacks share: a trainer, and epochs with given losses."""

import numpy as np

from textrnn.callbacks import (
    Callback,
)

NAN = float("nan")
IDS = np.arange(417) % 7
SIZES = {"batch_size": 4, "seq_len": 52}
"""Two batches an epoch of ``IDS``."""
HOOKS = [name for name in vars(Callback) if name.startswith("on_")]
FIT = {"batch_size": 8, "seq_len": 32, "verbose": 0}


def act(callback, owner, losses, each_epoch=lambda epoch: None):
    """Act out a training whose epochs have these val_loss; give the number of epochs it took."""
    owner.stop_training = False
    callback.set_model(owner)
    callback.on_train_begin({})
    epochs = 0
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch, {})
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss})
        each_epoch(epoch)
        epochs += 1
        if owner.stop_training:
            break
    callback.on_train_end({})
    return epochs
