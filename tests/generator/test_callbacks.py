"""Callbacks around a generator's training."""

import numpy as np
import pytest
import torch

from tests.generator.helpers import FIT, make, same, weights
from textrnn.callbacks import Callback, LambdaCallback, SampleText


def test_callbacks_do_not_disturb_training(text):
    """Samples, evaluation and random numbers in callbacks leave the weights bit-equal."""
    quiet, disturbed = make(dropout=0.2), make(dropout=0.2)

    def look(batch, logs):
        disturbed.evaluate("one two")
        disturbed.generate("one", 5)
        disturbed.surprisals("one two")
        torch.rand(3)

    callbacks = [
        SampleText("one", 20, print_fn=len),
        LambdaCallback(on_train_batch_end=look),
    ]
    quiet.fit(text, **FIT)
    disturbed.fit(text, callbacks=callbacks, **FIT)
    assert same(weights(quiet), weights(disturbed))


def test_an_error_in_a_callback_leaves_a_usable_generator(fitted, text):
    """After an exception in a callback the generator evaluates, writes and learns on."""

    def fail(batch, logs):
        raise RuntimeError("my own mistake")

    with pytest.raises(RuntimeError, match="my own mistake"):
        fitted.fit(text, callbacks=[LambdaCallback(on_train_batch_end=fail)], **FIT)
    assert fitted.evaluate(text) == fitted.evaluate(text)
    assert len(fitted.generate("one", 10)) == 13
    assert fitted.fit(text, **FIT).stopped_by is None


def test_an_error_keeps_what_was_measured(fitted, text):
    """After an error in the second epoch ``history`` holds the first one."""

    def fail(epoch, logs):
        assert epoch == 0, "my own mistake"

    with pytest.raises(AssertionError, match="my own mistake"):
        fitted.fit(text, callbacks=[LambdaCallback(on_epoch_begin=fail)], **FIT)
    loss = fitted.evaluate(text[int(len(text) * 0.9) :])["loss"]
    assert fitted.history.epoch == [0]
    np.testing.assert_allclose(fitted.history.history["val_loss"], [loss], rtol=1e-12)


def test_callbacks_see_the_generator(text):
    """``self.model`` is the generator, with its vocabulary, and ``stop_training`` ends training."""
    gen = make()
    seen = []

    class Stop(Callback):
        def on_train_begin(self, logs=None):
            seen.append((self.model is gen, gen.vocab is not None, self.params["steps"]))

        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    history = gen.fit(text, callbacks=[Stop()], **{**FIT, "epochs": 7})
    assert seen == [(True, True, 5)]
    assert history.epoch == [0]
    assert history.stopped_by == "callback"
