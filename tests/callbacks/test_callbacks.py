"""Each callback's contract; epochs are acted out by hand where their numbers matter."""

import numpy as np
import pytest
import torch

from tests.callbacks.acting import FIT, HOOKS, IDS, NAN, SIZES, act
from textrnn import TextGenerator
from textrnn.callbacks import (
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SampleText,
)
from textrnn.models import GRUModel
from textrnn.text.corpus import Corpus
from textrnn.training.plan import Plan
from textrnn.training.trainer import Trainer

# The hooks


def test_hooks_are_called_in_order():
    """Two epochs of two batches with validation call every hook at its place, with its number."""
    calls = []
    hooks = {h: (lambda *args, h=h: calls.append((h, *args[:-1]))) for h in HOOKS}
    trainer = Trainer(GRUModel(7, hidden_size=4))
    trainer.fit(Corpus(IDS, IDS), Plan(epochs=2, **SIZES), callbacks=[LambdaCallback(**hooks)])
    epochs = [
        [
            ("on_epoch_begin", epoch),
            ("on_train_batch_begin", 0),
            ("on_train_batch_end", 0),
            ("on_train_batch_begin", 1),
            ("on_train_batch_end", 1),
            ("on_test_begin",),
            *(("on_test_batch_end", piece) for piece in range(-(-(len(IDS) - 1) // 64))),
            ("on_test_end",),
            ("on_epoch_end", epoch),
        ]
        for epoch in (0, 1)
    ]
    assert calls == [("on_train_begin",), *epochs[0], *epochs[1], ("on_train_end",)]


def test_logs_hold_what_the_docs_say():
    """Each hook gets the quantities that the module's docstring lists; the last are History's."""
    logs = {}
    keep = {h: (lambda *args, h=h: logs.update({h: args[-1]})) for h in HOOKS}
    trainer = Trainer(GRUModel(7, hidden_size=4))
    history = trainer.fit(
        Corpus(IDS, IDS), Plan(epochs=2, **SIZES), callbacks=[LambdaCallback(**keep)]
    )
    batch = {"loss", "gradient_norm", "learning_rate", "progress", "tokens_per_second"}
    trained = {"loss", "bits_per_char", "perplexity"}
    tested = {f"val_{name}" for name in trained | {"accuracy"}}
    assert set(logs["on_train_batch_end"]) == batch
    assert set(logs["on_test_end"]) == tested
    besides = {"gradient_norm", "learning_rate", "seconds"}
    assert set(logs["on_epoch_end"]) == trained | tested | besides
    assert logs["on_epoch_end"] == {name: values[-1] for name, values in history.history.items()}
    assert logs["on_train_batch_end"]["loss"] == history.history["loss"][-1]
    assert logs["on_train_batch_end"]["progress"] == 1.0
    begins = ("on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_test_begin")
    assert [logs[h] for h in (*begins, "on_train_end")] == [{}] * 5


def test_callbacks_are_called_in_their_order():
    """Of several callbacks, each hook calls the first one first, ``on_train_end`` too."""
    calls = []
    callbacks = [
        LambdaCallback(
            on_train_begin=lambda logs, i=i: calls.append(i),
            on_train_end=lambda logs, i=i: calls.append(i),
        )
        for i in range(3)
    ]
    Trainer(GRUModel(7, hidden_size=4)).fit(IDS, Plan(epochs=1, **SIZES), callbacks=callbacks)
    assert calls == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("hook", ["on_epoch", "epoch_end", "set_model", "on_batch_end"])
def test_lambda_callback_knows_the_hooks(hook):
    """A hook that does not exist is refused, with those that do."""
    with pytest.raises(TypeError, match=f"no hook '{hook}'.*on_train_begin.*on_test_end"):
        LambdaCallback(**{hook: print})


# EarlyStopping


@pytest.mark.parametrize(
    ("settings", "losses", "epochs", "best_epoch"),
    [
        ({}, [3, 2, 2, 1], 3, 1),
        ({}, [3, 2, 1, 0], 4, 3),
        ({"patience": 2}, [3, 2, 2, 1], 4, 3),
        ({"patience": 2}, [3, 2, 2, 2, 1], 4, 1),
        ({"patience": 3}, [3, 4, 4, 2, 3, 3, 3, 1], 7, 3),
        ({"min_delta": 0.5}, [3, 2.75, 1], 2, 0),
        ({"min_delta": 0.5}, [3, 2.25, 2], 3, 1),
        ({"patience": 2}, [NAN, 2, NAN, NAN, 1], 4, 1),
        ({"patience": 2}, [float("inf"), 2, 3, 3, 1], 4, 1),
        ({"baseline": 2.5}, [3, 2], 1, None),
        ({"baseline": 2.5, "patience": 2}, [3, 2.4, 2.3], 3, 2),
        ({"start_from_epoch": 2}, [1, 1, 3, 2, 2, 1], 5, 3),
        ({"mode": "max"}, [1, 2, 2, 3], 3, 1),
        ({"mode": "max", "baseline": 2}, [1, 3], 1, None),
        ({"mode": "min"}, [1, 2, 0], 2, 0),
    ],
)
def test_early_stopping_counts_epochs(trainer, settings, losses, epochs, best_epoch):
    """It stops after ``patience`` epochs without improvement, as in Keras, and NaN is none."""
    callback = EarlyStopping(**settings)
    assert act(callback, trainer, losses) == epochs
    assert callback.best_epoch == best_epoch
    assert callback.stopped_epoch == (epochs - 1 if trainer.stop_training else None)


@pytest.mark.parametrize(("restore", "weight"), [(True, 2.0), (False, 5.0)])
def test_early_stopping_restores_the_best_weights(trainer, restore, weight):
    """At the end the weights are those of the best epoch, if asked for, and else the last."""

    def learn(epoch):
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter.fill_(epoch + 1.0)  # in epoch e they are e

    learn(-1)
    callback = EarlyStopping(patience=2, restore_best_weights=restore)
    assert act(callback, trainer, [3, 2, 1, 5, 4], learn) == 5
    for parameter in trainer.model.parameters():
        assert torch.equal(parameter, torch.full_like(parameter, weight))


def test_early_stopping_restores_nothing_that_never_got_better(trainer):
    """Where no epoch beat the baseline, the last weights stay."""
    callback = EarlyStopping(baseline=0.5, restore_best_weights=True)
    before = trainer.model.head.weight.detach().clone()
    assert act(callback, trainer, [3, 2]) == 1
    assert torch.equal(trainer.model.head.weight, before)


def test_early_stopping_restores_after_a_whole_training(text):
    """After ``fit`` the generator's loss is the best epoch's val_loss, not the last one's."""
    gen = TextGenerator("rnn", hidden_size=8, embedding_dim=4, seed=0, device="cpu")
    gen.compile(optimizer="sgd", learning_rate=4.0, schedule=lambda p: 0.1 if p < 0.4 else 30.0)
    stop = EarlyStopping(patience=9, restore_best_weights=True)
    history = gen.fit(text, epochs=4, callbacks=[stop], **FIT).history["val_loss"]
    assert min(history) == history[stop.best_epoch] < history[-1]
    valid = text[int(len(text) * 0.9) :]
    assert gen.evaluate(valid)["loss"] == history[stop.best_epoch]


def test_early_stopping_begins_afresh(trainer):
    """The same callback in a second training knows nothing of the first."""
    callback = EarlyStopping()
    assert act(callback, trainer, [1, 2]) == 2
    assert act(callback, trainer, [5, 4, 3]) == 3
    assert callback.best_epoch == 2
    assert callback.stopped_epoch is None


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping("val_los"),
        ReduceLROnPlateau("val_los"),
        ModelCheckpoint("x", "val_los", save_best_only=True),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_a_quantity_that_is_not_there(trainer, callback):
    """A ``monitor`` that is not in the logs is refused with the names of those that are."""
    message = r"`monitor` must be one of loss, val_loss in this training. Received: 'val_los'"
    with pytest.raises(ValueError, match=message):
        act(callback, trainer, [1.0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(patience=-1), ValueError, "`patience` must be at least 0"),
        (lambda: EarlyStopping(patience=1.5), TypeError, "`patience` must be a whole number"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, "`min_delta` must be a number of at"),
        (
            lambda: EarlyStopping(mode="mx"),
            ValueError,
            "`mode` must be one of.*Did you mean 'max'",
        ),
        (lambda: EarlyStopping(start_from_epoch=-1), ValueError, "`start_from_epoch` must be at"),
        (lambda: ModelCheckpoint("x", save_freq=0), ValueError, "`save_freq` must be at least 1"),
        (
            lambda: ModelCheckpoint("x", save_freq="batch"),
            ValueError,
            "`save_freq` must be 'epoch'",
        ),
        (lambda: ReduceLROnPlateau(factor=1), ValueError, r"`factor` must be a number in \(0, 1\)"),
        (lambda: ReduceLROnPlateau(patience=-1), ValueError, "`patience` must be at least 0"),
        (lambda: ReduceLROnPlateau(cooldown=-1), ValueError, "`cooldown` must be at least 0"),
        (lambda: ReduceLROnPlateau(min_lr=-1), ValueError, "`min_lr` must be a number of at least"),
        (lambda: SampleText(every=0), ValueError, "`every` must be at least 1"),
        (lambda: SampleText("", -1), ValueError, "`max_new_tokens` must be at least 0"),
    ],
)
def test_settings_out_of_range(make, error, message):
    """A setting that cannot be meant is refused by name."""
    with pytest.raises(error, match=message):
        make()


# ModelCheckpoint


def test_checkpoints_are_named_by_epoch_and_logs(tmp_path, text):
    """Each epoch's file has the epoch (from 1) and its logs in the name, and its weights inside."""
    gen = TextGenerator("gru", hidden_size=8, seed=0, device="cpu")
    save = ModelCheckpoint(tmp_path / "m-{epoch:02d}-{val_loss:.3f}.safetensors")
    history = gen.fit(text, epochs=2, callbacks=[save], **FIT)
    losses = history.history["val_loss"]
    names = [f"m-{epoch + 1:02d}-{loss:.3f}.safetensors" for epoch, loss in enumerate(losses)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    valid = text[int(len(text) * 0.9) :]
    for name, loss in zip(names, losses, strict=True):
        saved = TextGenerator.load(tmp_path / name, device="cpu")
        np.testing.assert_allclose(saved.evaluate(valid)["loss"], loss, rtol=1e-6)


def test_a_checkpoint_knows_its_history(tmp_path, text):
    """A file saved after epoch 2 of 3 holds what was measured in the two epochs so far."""
    gen = TextGenerator("gru", hidden_size=8, seed=0, device="cpu")
    save = ModelCheckpoint(tmp_path / "{epoch}")
    history = gen.fit(text, epochs=3, callbacks=[save], **FIT)
    saved = TextGenerator.load(tmp_path / "2", device="cpu").history
    assert saved.epoch == [0, 1]
    assert saved.history == {name: values[:2] for name, values in history.history.items()}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["1", "2", "3", "4"]),
        ({"save_best_only": True}, ["1", "2", "4"]),
        ({"save_best_only": True, "mode": "max"}, ["1", "3"]),
        ({"save_best_only": True, "initial_value_threshold": 1.5}, ["4"]),
    ],
)
def test_checkpoints_of_the_best_only(tmp_path, counted, settings, names):
    """With ``save_best_only`` an epoch that is not better than all before leaves no file."""
    callback = ModelCheckpoint(str(tmp_path / "{epoch}"), **settings)
    act(callback, counted, [3.0, 2.0, 4.0, 1.0])
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_checkpoints_by_batches(tmp_path, counted):
    """With a number as ``save_freq`` batches are counted across epochs, and epochs save nothing."""
    callback = ModelCheckpoint(tmp_path / "{epoch}-{loss}", save_freq=3)
    callback.set_model(counted)
    for epoch in range(2):
        callback.on_epoch_begin(epoch, {})
        for batch in range(4):
            callback.on_train_batch_end(batch, {"loss": batch})
        callback.on_epoch_end(epoch, {"loss": 9})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-2", "2-1"]


def test_a_checkpoint_that_cannot_be_written(tmp_path, counted):
    """A folder or file that is wrong is an error before training, a full disk a warning in it."""
    with pytest.raises(FileNotFoundError, match="There is no folder to save in"):
        ModelCheckpoint(tmp_path / "nowhere" / "model").on_train_begin()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a textrnn model"):
        ModelCheckpoint(tmp_path / "notes.txt").on_train_begin()
    callback = ModelCheckpoint(tmp_path / "{epoch}" / "model")  # folders that nobody made
    with pytest.warns(
        UserWarning, match=r"could not be saved .*; training continues\. Received: '"
    ):
        act(callback, counted, [1.0])
