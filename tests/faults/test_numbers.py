"""Numbers that are not finite, and random numbers: rows 66 to 71 of the fault table."""

import math

import numpy as np
import pytest
import torch

from textrnn import (
    BackupAndRestore,
    Callback,
    EarlyStopping,
    KeepBestWeights,
    LambdaCallback,
    ModelCheckpoint,
    NonFiniteError,
    SampleText,
    TextGenerator,
    Trainer,
)
from textrnn.datasets import load_human_numbers
from textrnn.files import model_file
from textrnn.models import LSTMModel
from textrnn.models.registry import build
from textrnn.training.optim import OptimizerConfig
from textrnn.training.plan import Plan
from textrnn.training.train_step import TrainStep, clip

pytestmark = pytest.mark.faults

TEXT = load_human_numbers(1, 150)
IDS = np.random.default_rng(0).integers(0, 7, 2000)
FIT = {"epochs": 2, "batch_size": 4, "seq_len": 24, "verbose": 0}
SIZES = {"batch_size": 4, "seq_len": 16}


def lstm(**settings):
    """Build a small LSTM and something to train it with."""
    model = build("lstm", 7, {"hidden_size": 8, "dropout": 0.2}, seed=0)
    return model, Trainer(model, OptimizerConfig(**settings), seed=0)


def finite(model):
    """Return whether every weight is a finite number."""
    return all(bool(p.isfinite().all()) for p in model.parameters())


class Poisoned(LSTMModel):
    """An LSTM whose logits are infinite from the n-th batch on."""

    poisoned_from = 4
    calls = 0

    def forward(self, ids, state=None):
        """Score as an LSTM does, for a while."""
        logits, state = super().forward(ids, state)
        self.calls += self.training
        return logits * (
            math.inf if self.training and self.calls > self.poisoned_from else 1
        ), state


def test_66_a_loss_that_is_not_finite_never_reaches_the_weights():
    """The first time the step is refused, the second time it is an error that says where."""
    model, seen = Poisoned(7, hidden_size=8), []
    watch = LambdaCallback(
        on_train_batch_end=lambda *_: seen.append([p.detach().clone() for p in model.parameters()])
    )
    with (
        pytest.warns(UserWarning, match=r"the step was refused\. Training continues with"),
        pytest.raises(
            NonFiniteError, match=r"epoch 1, batch 6;.*Received: loss nan, learning rate"
        ),
    ):
        Trainer(model, seed=0).fit(IDS, Plan(epochs=1, **SIZES), callbacks=[watch])
    assert finite(model)
    assert all(map(torch.equal, model.parameters(), seen[3]))  # the last good ones
    assert not all(map(torch.equal, seen[2], seen[3]))


def test_66_an_absurd_rate():
    """It is an error with the rate in the message; the weights are finite numbers."""
    model, trainer = lstm(learning_rate=3e38, schedule="constant", optimizer="sgd", clip_norm=None)
    with (
        pytest.warns(UserWarning, match="refused"),
        pytest.raises(NonFiniteError, match=r"learning rate 7\.5e\+37"),
    ):
        trainer.fit(IDS, Plan(epochs=3, **SIZES))
    assert finite(model)


def test_66_a_poisoned_training_leaves_the_last_good_backup(tmp_path):
    """What lies on the disk are finite numbers, from before."""
    backup = BackupAndRestore(tmp_path / "b", 1)
    with pytest.warns(UserWarning, match="refused"), pytest.raises(NonFiniteError, match="batch 6"):
        Trainer(Poisoned(7, hidden_size=8), seed=0).fit(
            IDS, Plan(epochs=1, **SIZES), callbacks=[backup]
        )
    for path in (backup.path, backup.previous):
        tensors = model_file.load(path)[1].values()
        assert all(np.isfinite(t).all() for t in tensors if t.dtype.kind == "f")


def test_67_a_gradient_that_overflows_in_half_precision():
    """The scaler skips the step, lowers its scale, and training continues."""
    model, _ = lstm()
    learner = TrainStep(model, OptimizerConfig(precision="float32"), seed=0)
    learner._scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    overflow = model.head.weight.register_hook(lambda gradient: gradient * math.inf)
    x = torch.from_numpy(IDS[:64].reshape(4, 16))
    before = [p.detach().clone() for p in model.parameters()]
    learner(x, x)
    assert all(map(torch.equal, model.parameters(), before))
    assert learner._scaler.get_scale() == 512.0
    overflow.remove()
    learner(x, x)
    assert not all(map(torch.equal, model.parameters(), before))
    assert finite(model)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e15, 1e20, 1e37])
def test_68_clipping_is_that_of_exact_numbers(size):
    """The norm and the clipped gradients are those of float64; nothing becomes zero."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(n)) for n in (3, 50)]
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator) * size
    exact = torch.cat([p.grad for p in parameters]).double()
    norm = clip(parameters, 0.5, waits=True)
    expected = exact * min(1.0, 0.5 / float(exact.norm()))
    torch.testing.assert_close(norm.double(), exact.norm(), rtol=1e-5, atol=0)
    got = torch.cat([p.grad for p in parameters]).double()
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("limit", [1.0, math.inf])
def test_68_a_gradient_that_is_not_finite_stays_one(odd, limit):
    """So that the step is refused; the other gradients are left as they are."""
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1.0, odd, 2.0])
    assert not bool(clip([p], limit, waits=True).isfinite())
    assert p.grad[::2].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("first", [math.nan, math.inf])
def test_69_a_number_that_is_none_is_never_the_best(tmp_path, first):
    """Neither to stop by, nor to keep weights or files by."""
    owner = TextGenerator("ngram")
    owner.fit("abcabcabc" * 9, verbose=0)
    stopping, keeping = EarlyStopping(patience=9), KeepBestWeights()
    saving_best = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True)
    for callback in (stopping, keeping, saving_best):
        callback.set_model(owner)
        callback.on_train_begin({})
        for epoch, loss in enumerate((first, 2.0, first, 1.0, math.nan)):
            callback.on_epoch_begin(epoch, {})
            callback.on_epoch_end(epoch, {"val_loss": loss})
    assert stopping.best_epoch == keeping.best_epoch == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4"]


def test_70_out_of_memory_says_what_would_need_less():
    """The error is torch's own, with the sizes; afterwards the model can be used."""

    class Greedy(LSTMModel):
        def forward(self, ids, state=None):
            if self.training:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().forward(ids, state)

    model = Greedy(7, hidden_size=8)
    with pytest.raises(
        torch.OutOfMemoryError, match=r"smaller batch_size.*batch_size=4, seq_len=16"
    ):
        Trainer(model).fit(IDS, Plan(epochs=1, **SIZES))
    assert not model.training
    assert model(torch.zeros(1, 3, dtype=torch.int64))[0].isfinite().all()


def meddle(gen):
    """Do all that a callback may do with a generator in training."""
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    gen.generate("", 20)
    "".join(gen.stream("", 5, seed=1))
    gen.evaluate(TEXT[:300])
    gen.surprisals("one two")
    gen.lr_find(TEXT, steps=3)
    gen.embeddings(2)
    gen.summary()


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end", "on_epoch_end"])
def test_71_looking_does_not_change_the_course(hook):
    """Bit-equal weights with and without sampling, evaluation and lr_find in between."""
    results = []
    for meddles in (False, True):
        callbacks: list[Callback] = []
        gen = TextGenerator(hidden_size=12, dropout=0.3, weight_drop=0.3, seed=0)
        if meddles:
            calls = []

            def act(number, logs, gen=gen, calls=calls):
                calls.append(number)
                if len(calls) < 4:
                    meddle(gen)

            quiet = SampleText("", 10, print_fn=lambda text: None)
            callbacks = [LambdaCallback(**{hook: act}), quiet]
        gen.fit(TEXT, callbacks=callbacks, **FIT)
        results.append(list(gen.model.state_dict().values()))
    assert all(map(torch.equal, *results))


def test_71_global_generators_are_left_alone(tmp_path):
    """Neither fit nor anything else draws from them or seeds them."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    gen = TextGenerator(hidden_size=12, dropout=0.3, seed=0)
    gen.fit(TEXT, callbacks=[BackupAndRestore(tmp_path / "b", 1)], **FIT)
    gen.generate("", 20, num_return_sequences=3)
    gen.evaluate(TEXT[:300])
    gen.lr_find(TEXT, steps=3)
    gen.save(tmp_path / "m")
    TextGenerator.load(tmp_path / "m").generate("", 5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
