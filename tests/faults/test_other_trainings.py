"""A backup knows which training it is of, and a fit that is refused changes nothing: row 53."""

import copy
from functools import partial

import pytest
import torch

from tests.faults.training import FIT, TEXT, Killed, kill_at
from textrnn import BackupAndRestore, LambdaCallback, TextGenerator, schedules
from textrnn.errors import UnsupportedFormatError
from textrnn.files import model_file

pytestmark = pytest.mark.faults


def weights(gen):
    """Return the weights as lists, to compare them."""
    return [p.tolist() for p in gen.model.parameters()]


def backed_up(path, *callbacks, gen=None, text=TEXT, **compiled):
    """Train with a backup every few batches."""
    gen = gen or TextGenerator(hidden_size=8, dropout=0.2, seed=0)
    if compiled:
        gen.compile(**compiled)
    gen.fit(text, callbacks=[BackupAndRestore(path, 5), *callbacks], **FIT)
    return gen


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, None])
def test_53_the_second_of_two_fits_is_not_the_first(tmp_path, seed):
    """A program of two equal fits, killed in the second: run again, the first one is refused."""

    def program(*callbacks):
        gen = TextGenerator(hidden_size=8, seed=seed)
        backed_up(tmp_path / "b", gen=gen)
        backed_up(tmp_path / "b", *callbacks, gen=gen)

    with pytest.raises(Killed, match="now"):
        program(kill_at("on_train_batch_end", 30))
    with pytest.raises(ValueError, match="fit was 2 and is 1"):
        program()


@pytest.mark.slow
def test_53_a_fit_that_did_not_end_is_the_same_fit(tmp_path):
    """In a notebook the cell is run again with the generator that was interrupted."""
    whole = backed_up(tmp_path / "whole")
    gen = TextGenerator(hidden_size=8, dropout=0.2, seed=0)
    with pytest.raises(Killed, match="now"):
        backed_up(tmp_path / "b", kill_at("on_train_batch_end", 30), gen=gen)
    assert weights(backed_up(tmp_path / "b", gen=gen)) == weights(whole)


@pytest.mark.slow
def test_53_a_new_model_without_a_seed_is_resumed(tmp_path):
    """Its weights are others in each process, and those of the backup count."""
    steps = []
    count = LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    with pytest.raises(Killed, match="now"):
        backed_up(tmp_path / "b", kill_at("on_train_batch_end", 60), gen=TextGenerator("rnn"))
    backed_up(tmp_path / "b", count, gen=TextGenerator("rnn"))
    assert 0 < len(steps) < 60


@pytest.mark.slow
def test_53_a_loaded_model_is_that_model(tmp_path):
    """A backup of the training of one file is not resumed with another; with the same one it is."""
    for name, seed in (("one", 1), ("two", 2)):
        gen = TextGenerator(hidden_size=8, seed=seed)
        gen.fit(TEXT, **FIT)
        gen.save(tmp_path / name)
    load = partial(TextGenerator.load, device="cpu")
    with pytest.raises(Killed, match="now"):
        backed_up(tmp_path / "b", kill_at("on_train_batch_end", 30), gen=load(tmp_path / "one"))
    with pytest.raises(ValueError, match=r"loaded weights was '\w{16}' and is"):
        backed_up(tmp_path / "b", gen=load(tmp_path / "two"))
    assert len(backed_up(tmp_path / "b", gen=load(tmp_path / "one")).history) == FIT["epochs"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"schedule": lambda p: 1 - p}, {"schedule": lambda p: 0.01}),
        (
            {"schedule": partial(schedules.step_decay, gamma=0.1)},
            {"schedule": partial(schedules.step_decay, gamma=0.9)},
        ),
        ({"precision": "float32"}, {"precision": "bfloat16"}),
        (
            {"optimizer": lambda groups: torch.optim.SGD(groups, momentum=0.9)},
            {"optimizer": lambda groups: torch.optim.SGD(groups, momentum=0.5)},
        ),
    ],
    ids=["two schedules", "a schedule's argument", "precision", "an optimiser's argument"],
)
def test_53_settings_are_told_apart(tmp_path, before, after):
    """Functions by what they return: a name says nothing of a lambda."""
    with pytest.raises(Killed, match="now"):
        backed_up(tmp_path / "b", kill_at("on_train_batch_end", 30), **before)
    with pytest.raises(
        ValueError, match=r"a different run.*(factors|settings|schedule|asked for) was"
    ):
        backed_up(tmp_path / "b", **after)
    assert len(backed_up(tmp_path / "b", **before).history) == FIT["epochs"]


@pytest.mark.parametrize("release", ["0.0.9", "9.0", None])
def test_53_a_backup_of_another_release_is_refused_by_name(tmp_path, release):
    """Its arithmetic may be another one; both releases are named, and the file stays."""
    path = tmp_path / "b"
    with pytest.raises(Killed, match="now"):
        backed_up(path, kill_at("on_train_batch_end", 30))
    header, tensors = model_file.load(path)
    del header["release"]
    model_file.save(path, header | ({"release": release} if release else {}), tensors)
    before = path.read_bytes()
    with pytest.raises(UnsupportedFormatError, match=f"by {release or 'an early one'}$"):
        backed_up(path)
    assert path.read_bytes() == before


def refused_by_a_backup(tmp_path):
    """Return a callback whose backup is of another training."""
    with pytest.raises(Killed, match="now"):
        backed_up(tmp_path / "b", kill_at("on_train_batch_end", 30))
    return BackupAndRestore(tmp_path / "b")


def refused_by_the_disk(tmp_path):
    """Return a callback whose backup has no folder."""
    return BackupAndRestore(tmp_path / "nowhere" / "b")


def refused_by_a_callback(tmp_path):
    """Return a callback that does not begin."""

    def fail(logs):
        raise OSError("not ready")

    return LambdaCallback(on_train_begin=fail)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm", "ngram"])
@pytest.mark.parametrize(
    "refuse", [refused_by_a_backup, refused_by_the_disk, refused_by_a_callback]
)
def test_53_a_fit_that_is_refused_changes_nothing(tmp_path, model, refuse):
    """Vocabulary, model, history and what a next fit does are those of before."""
    arguments = {"order": 3} if model == "ngram" else {"hidden_size": 8}
    gen = TextGenerator(model, seed=1, **arguments)
    gen.fit(TEXT, **FIT)
    gen.stop_training = True
    same, before = copy.deepcopy(gen), dict(vars(gen))
    callback = refuse(tmp_path)
    with pytest.raises((ValueError, OSError), match=r"different run|no folder|not ready"):
        gen.fit(TEXT + "\nZQX" * 9, callbacks=[callback], **FIT)
    assert {name: value for name, value in vars(gen).items() if value is not before[name]} == {}
    assert len(gen.vocab) == len(same.vocab)
    assert gen.history.history == same.history.history
    assert gen.evaluate(TEXT) == same.evaluate(TEXT)
    gen.fit(TEXT + "\nZQX" * 9, **FIT)
    same.fit(TEXT + "\nZQX" * 9, **FIT)
    assert weights(gen) == weights(same)
    assert gen.evaluate(TEXT) == same.evaluate(TEXT)
