"""What a callback needs is checked before the first step."""

import pytest

from textrnn import TextGenerator
from textrnn.callbacks import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SampleText,
)
from textrnn.callbacks.control import _BATCH_LOGS
from textrnn.errors import UnknownTokenError

FIT = {"epochs": 1, "batch_size": 8, "seq_len": 32, "verbose": 0}


def refused(text, callback, error, message, kind="gru"):
    """Check that training with a callback ends in an error before its first epoch."""
    begun = []
    note = LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    gen = TextGenerator(kind, device="cpu")
    with pytest.raises(error, match=message):
        gen.fit(text, callbacks=[callback, note], **FIT)
    assert begun == []


def begin(callback, metrics):
    """Begin a training whose epochs' logs will have these names."""
    callback.set_model(TextGenerator())
    callback.set_params({"metrics": metrics})
    callback.on_train_begin({})


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (EarlyStopping("val_los"), "`monitor` must be one of loss, val_loss in this training. Rec"),
        (ReduceLROnPlateau("val_los"), "`monitor` must be one of loss, val_loss in this training"),
        (ModelCheckpoint("x", "val_los", save_best_only=True), "`monitor` must be one of loss, v"),
        (ModelCheckpoint("{epoch}-{val_los}"), r"filepath` may name .* \(loss, val_loss\)"),
        (ModelCheckpoint("{epoch}-{loss:d}"), "filepath` may name .*Unknown format code 'd'"),
        (
            ModelCheckpoint("x", save_best_only=True, save_freq=9),
            "`monitor` must be one of loss, gradient_norm, learning_rate, progress, tokens_per_s",
        ),
    ],
)
def test_a_quantity_that_will_not_be_there_is_refused_at_the_start(callback, message):
    """The names are known before the first step."""
    with pytest.raises(ValueError, match=message):
        begin(callback, ["loss", "val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"), [("gru", "val_los"), ("ngram", "loss"), ("ngram", "gradient_norm")]
)
def test_fit_knows_what_it_will_measure(text, kind, name):
    """A misspelled name is refused, and so is the training loss of a model that counts."""
    message = rf"must be one of .*val_loss, .*seconds in this training\. Received: '{name}'"
    refused(text, EarlyStopping(name), ValueError, message, kind)
    gen = TextGenerator(kind, device="cpu")
    gen.fit(text, **FIT)
    names = gen.history.history
    assert gen.fit(text, callbacks=[EarlyStopping(last) for last in names], **FIT).epoch == [0]


def test_without_validation_data_the_message_says_so():
    """The default quantity is that of validation, so this is what most will see."""
    with pytest.raises(ValueError, match=r"It has no validation data\. Received: 'val_loss'"):
        begin(EarlyStopping(), ["loss", "seconds"])


def test_a_quantity_of_one_s_own_can_be_monitored(tmp_path):
    """A callback that adds one to the logs adds its name to the list that all see."""
    metrics = ["loss", "mine"]
    begin(EarlyStopping("mine"), metrics)
    begin(ReduceLROnPlateau("mine"), metrics)
    begin(ModelCheckpoint(tmp_path / "{epoch}-{mine}", "mine", save_best_only=True), metrics)


def test_the_logs_of_a_batch_have_the_names_that_are_checked(text):
    """What a checkpoint by batches may name is what the trainer measures."""
    names = []
    note = LambdaCallback(on_train_batch_end=lambda batch, logs: names.append(tuple(logs)))
    TextGenerator("gru", hidden_size=4, device="cpu").fit(text, callbacks=[note], **FIT)
    assert set(names) == {_BATCH_LOGS}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"prompt": "é"}, UnknownTokenError, "'é'"),
        ({"temperature": -1}, ValueError, "`temperature` must be"),
        ({"temprature": 1}, TypeError, "Did you mean 'temperature'"),
        ({"allowed_tokens": "é"}, UnknownTokenError, "'é'"),
        ({"stop_strings": ""}, ValueError, "`stop_strings` must be"),
        ({"num_return_sequences": 0}, ValueError, "`num_return_sequences` must be"),
    ],
)
@pytest.mark.parametrize("kind", ["gru", "ngram"])
def test_a_sample_that_cannot_be_written_is_refused_at_the_start(
    text, kind, settings, error, message
):
    """The prompt and every setting are checked once the vocabulary is there."""
    refused(text, SampleText(**settings), error, message, kind)


@pytest.mark.parametrize("append", [True, False])
def test_a_log_takes_the_place_of_nothing_but_a_log(tmp_path, text, append):
    """A text or a table of the user's is refused at the start, and is as before."""
    path = tmp_path / "book.csv"
    path.write_text("title,year\nEmma,1815\n")
    logger = CSVLogger(path, append=append)
    refused(text, logger, FileExistsError, "not a log of epochs; choose another name")
    assert path.read_text() == "title,year\nEmma,1815\n"
