"""The facade from end to end: text in, text out, files, and everything a user may get wrong."""

import io
import json
import math
import os
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from textrnn import TextGenerator, Vocab, load_sampler
from textrnn.callbacks import Callback, LambdaCallback, SampleText
from textrnn.datasets import load_human_numbers
from textrnn.errors import (
    CorruptModelError,
    DataError,
    FileFormatError,
    NonFiniteError,
    NotFittedError,
    TextRNNError,
    UnknownTokenError,
    UnsupportedFormatError,
)
from textrnn.files import model_file
from textrnn.models import LSTMModel, NGramModel
from textrnn.models.base import LanguageModel
from textrnn.models.registry import MODELS
from textrnn.training.defaults import EPOCHS

NEURAL = [family for family in MODELS if family != "ngram"]
FIT = {"epochs": 2, "batch_size": 8, "seq_len": 32, "verbose": 0}
SEED = {"seed": 0}


def make(family="gru", **arguments):
    """Make a small generator with a seed, on the CPU; nothing is fitted."""
    sizes = {"order": 3} if family == "ngram" else {"hidden_size": 12, "embedding_dim": 6}
    return TextGenerator(family, **{"seed": 0, "device": "cpu", **sizes, **arguments})


def weights(gen):
    """Return copies of all of a generator's parameters and buffers, by name."""
    return {name: tensor.clone() for name, tensor in gen.model.state_dict().items()}


def same(first, second):
    """Return whether two dicts of tensors are bit-equal."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture
def fitted(text):
    """A small GRU generator after two epochs."""
    gen = make(dropout=0.2)
    gen.fit(text, **FIT)
    return gen


class Bigram(LanguageModel):
    """A model of a user's own."""

    def __init__(self, vocab_size, scale=1.0):
        super().__init__(vocab_size=vocab_size, scale=scale)
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, state=None):
        """Score the token after each of ids by it alone."""
        return self.table(ids) * self.config["scale"], None

    def layer_groups(self):
        """Return the one group."""
        return {"table": list(self.table.parameters())}


# Three lines


def test_three_lines(family, text):
    """Every family learns from a text better than chance, and writes text with its characters."""
    gen = make(family)
    history = gen.fit(text, **{**FIT, "epochs": 10})
    written = gen.generate("one", 30, seed=1)
    assert history is gen.history
    assert history.history["val_loss"][-1] < math.log(len(gen.vocab))
    assert len(written) == 33
    assert written.startswith("one")
    assert set(written) <= set(text)


def test_nothing_happens_in_the_constructor():
    """There is no model, no vocabulary and no history before ``fit``."""
    gen = TextGenerator()
    assert (gen.model, gen.vocab, len(gen.history), gen.learning_rate) == (None, None, 0, None)


def test_what_was_left_open_is_chosen(text):
    """Sizes that were given are used, the others are chosen; without a length it is ten epochs."""
    gen = TextGenerator("rnn", hidden_size=8, device="cpu")
    history = gen.fit(text, verbose=0)
    assert gen.model.config["hidden_size"] == 8
    assert gen.model.config["dropout"] > 0
    assert len(history) == EPOCHS == 10
    assert set(history.history) == {
        *("loss", "bits_per_char", "perplexity"),
        *("val_loss", "val_bits_per_char", "val_perplexity", "val_accuracy"),
        *("gradient_norm", "learning_rate", "seconds"),
    }


def test_what_was_chosen_is_kept_in_the_history(text):
    """With a time the machine's speed too, from which the sizes follow."""
    gen = TextGenerator("rnn", hidden_size=8, seed=3, device="cpu")
    gen.compile(precision="float32")
    params = gen.fit(text, minutes=0.001, seq_len=20, verbose=0).params
    assert params.pop("speed") > 0
    rate = gen.learning_rate
    wish = {"epochs": None, "minutes": 0.001, "seed": 3, "seq_len": 20, "learning_rate": rate}
    assert params == {**wish, "batch_size": 16, "precision": "float32"}
    assert gen.fit(text, epochs=np.int64(2), verbose=0).params["speed"] == 0


@pytest.mark.parametrize(
    ("family", "model_args"),
    [
        ("ngram", {"order": np.int64(2)}),
        ("window_mlp", {"window": np.int32(2), "hidden_size": np.int64(4)}),
        ("window_rnn", {"window": np.uint8(2), "dropout": np.float32(0.25)}),
        ("rnn", {"nonlinearity": np.str_("relu"), "hidden_size": torch.tensor(4)}),
        ("gru", {"num_layers": np.int64(2), "weight_drop": np.float32(0.25)}),
        ("lstm", {"tie_weights": np.True_, "dropout": Fraction(1, 4)}),
    ],
)
def test_numbers_of_a_sweep_are_stored_as_plain_ones(tmp_path, text, family, model_args):
    """What NumPy's or torch's numbers trained can be saved, and reads as if they were Python's."""
    gen = TextGenerator(family, seed=np.int64(3), device="cpu", **model_args)
    sizes = {"batch_size": np.int64(4), "seq_len": np.uint8(9), "initial_epoch": np.int64(1)}
    history = gen.fit(text, epochs=np.int64(2), verbose=0, **sizes)
    gen.save(tmp_path / "m")
    assert TextGenerator.load(tmp_path / "m").model.config == gen.model.config
    values = [*gen.model.config.values(), *history.params.values(), *history.epoch]
    assert {type(value) for value in values} <= {int, float, str, bool, type(None)}
    assert history.params.items() >= {"epochs": 2, "seed": 3, "batch_size": 4, "seq_len": 9}.items()


@pytest.mark.parametrize("family", NEURAL)
def test_the_seed_makes_fit_repeatable(family, text):
    """One seed gives bit-equal weights and the same losses, another seed gives others."""
    gens = [make(family, seed=seed, dropout=0.2) for seed in (1, 1, 2)]
    losses = [gen.fit(text, **FIT).history["val_loss"] for gen in gens]
    assert same(weights(gens[0]), weights(gens[1]))
    assert losses[0] == losses[1] != losses[2]


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


def test_global_random_numbers_are_left_alone(text):
    """Building, fitting and generating draw nothing from torch's or NumPy's global generator."""
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    gen = make("lstm", dropout=0.2, seed=None)
    gen.fit(text, **FIT)
    gen.generate("one", 10)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_dropout_is_off_outside_training(fitted, text):
    """After ``fit`` a model with dropout evaluates and generates the same twice."""
    assert fitted.evaluate(text) == fitted.evaluate(text)
    assert fitted.generate("one", 40, **SEED) == fitted.generate("one", 40, **SEED)


# Validation


@pytest.mark.parametrize("split", [0.1, 0.25])
def test_validation_is_the_end_of_the_text(family, text, split):
    """The last val_loss is what ``evaluate`` says about the end of the text."""
    gen = make(family)
    history = gen.fit(text, validation_split=split, **FIT).history
    for name, value in gen.evaluate(text[int(len(text) * (1 - split)) :]).items():
        np.testing.assert_allclose(history[f"val_{name}"][-1], value, rtol=1e-12)


def test_validation_data_leaves_the_whole_text_for_training(text):
    """With ``validation_data`` all of the text is learnt, and val_loss is about the data."""
    gen, twin = make("ngram"), NGramModel(len(set(text)), order=3)
    history = gen.fit(text, validation_data=["one", "two"], verbose=0).history
    twin.count(gen.vocab.encode(text))
    assert same(gen.model.state_dict(), twin.state_dict())
    assert history["val_loss"] == [gen.evaluate("one\ntwo")["loss"]]


def test_no_validation(family, text):
    """With ``validation_split=0`` there are no val_ quantities, and all of the text is learnt."""
    history = make(family).fit(text, validation_split=0, **FIT).history
    assert "seconds" in history
    assert not [name for name in history if name.startswith("val_")]


# Words


@pytest.mark.parametrize("split", [0.1, 0.13, 0.2, 0.37, 0.5])
def test_the_cut_may_fall_into_a_word(split):
    """A text whose words all recur can be cut anywhere for validation."""
    gen = make("ngram", level="word")
    history = gen.fit(load_human_numbers(1, 500), validation_split=split, verbose=0)
    assert math.isfinite(history.history["val_loss"][0])
    assert gen.vocab.unk_id is None


def test_validation_data_at_word_level():
    """The last word of the text and the first one of the validation text stay two words."""
    gen = make("ngram", level="word")
    gen.fit("one two three " * 20 + "four", validation_data="five four five", verbose=0)
    assert {"one", "two", "three", "four", "five"} <= set(gen.vocab.itos)


def test_rare_words_are_one_symbol():
    """A word that occurs once is unknown and never written, and new words are no error."""
    gen = make("ngram", level="word")
    gen.fit("to be or not to be is the question or not " * 20 + "whether\n", verbose=0)
    assert "whether" not in gen.vocab
    assert gen.vocab.unk_id is not None
    assert math.isfinite(gen.evaluate("to be or nobler")["loss"])
    assert "<unk>" not in gen.generate("to be", 300, temperature=5.0, **SEED)


@pytest.mark.parametrize("level", ["char", "word"])
def test_bits_per_char_counts_characters(level):
    """Bits per character are the loss in bits over the characters, at every level."""
    text = load_human_numbers(1, 500)
    gen = make("ngram", level=level)
    gen.fit(text, validation_split=0, verbose=0)
    result = gen.evaluate(text)
    tokens = len(gen.vocab.encode(text))
    bits = result["loss"] * tokens / math.log(2)
    np.testing.assert_allclose(result["bits_per_char"], bits / len(text), rtol=1e-12)
    np.testing.assert_allclose(result["perplexity"], math.exp(result["loss"]), rtol=1e-12)


def test_validation_counts_its_own_characters():
    """val_bits_per_char goes by the characters of the validation text, as ``evaluate`` does."""
    valid = "twenty seventeen twenty eighteen twenty\n"
    gen = make("ngram", level="word")
    history = gen.fit("a b c d\ntwenty seventeen eighteen\n" * 30, validation_data=valid, verbose=0)
    value = gen.evaluate(valid)["bits_per_char"]
    np.testing.assert_allclose(history.history["val_bits_per_char"], [value], rtol=1e-12)


# Looking at the model


@pytest.mark.parametrize("level", ["char", "word"])
def test_score_is_evaluate_token_by_token(family, text, level):
    """The surprisals are those that ``evaluate`` averages, after a line break."""
    gen = make(family, level=level)
    gen.fit(text, **{**FIT, "batch_size": 2, "seq_len": 16})
    scored = gen.surprisals("twenty one\nthirty")
    tokens, surprisals = zip(*scored, strict=True)
    if level == "char":
        assert "".join(tokens) == "twenty one\nthirty"
    else:
        assert tokens == ("twenty", "one", "\n", "thirty")
    expected = gen.evaluate("\ntwenty one\nthirty")["loss"]
    np.testing.assert_allclose(np.mean(surprisals), expected, rtol=1e-5)
    assert min(surprisals) >= 0


@pytest.mark.parametrize("family", list(MODELS))
def test_summary_adds_up(family, text):
    """The table's parameter counts are the tensors' sizes, and its total is their sum."""
    gen = make(family)
    gen.fit(text, **FIT)
    first, name, *rows, total = str(gen.summary()).splitlines()
    groups = gen.layer_groups
    numbers = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert first == f"{gen.vocab}, on cpu"
    assert name == type(gen.model).__name__
    assert numbers == [p.numel() for parameters in groups.values() for p in parameters]
    assert [row.split()[0] for row in rows] == [g for g in groups for _ in groups[g]]
    assert total.split() == ["total", f"{sum(p.numel() for p in gen.model.parameters()):,}"]


# A second fit


@pytest.mark.parametrize("family", NEURAL)
def test_a_second_fit_goes_on(family, text):
    """It begins with the weights that are there, and keeps the vocabulary."""
    gen = make(family)
    first = gen.fit(text, **FIT)
    vocab = gen.vocab
    second = gen.fit(text, **{**FIT, "epochs": 4}, initial_epoch=2)
    assert gen.vocab is vocab
    assert second.epoch == [2, 3]
    assert second.history["loss"][0] < first.history["loss"][-1]
    assert gen.history is second


def test_a_second_fit_of_a_counting_model_adds_counts(text):
    """An n-gram model that counts two texts knows both."""
    gen, twin = make("ngram"), NGramModel(len(set(text)), order=3)
    for part in (text, "one\ntwo\nthree"):
        gen.fit(part, validation_split=0, verbose=0)
        twin.count(gen.vocab.encode(part))
    assert same(gen.model.state_dict(), twin.state_dict())


# New symbols


def test_a_second_fit_learns_new_symbols(fitted, text):
    """Known symbols keep their ids, new ones come after them and are learnt."""
    old = list(fitted.vocab.itos)
    fitted.fit("é" + text.replace("e", "é"), **FIT)
    assert fitted.vocab.itos == [*old, "é"]
    assert fitted.model.vocab_size == len(old) + 1
    assert fitted.generate("oné", 20, seed=0)
    assert fitted.evaluate("oné")["loss"] < 10


@pytest.mark.parametrize("family", MODELS)
def test_growing_forgets_nothing(family, text):
    """With a rate of almost nothing the old text is predicted as before, with a share less."""
    gen = make(family)
    gen.fit(text, **FIT)
    before = gen.evaluate(text)["loss"]
    gen.compile(learning_rate=1e-9, schedule="constant")
    gen.fit("ONE TWO\nThree", epochs=1, validation_split=0, verbose=0, batch_size=1, seq_len=4)
    assert gen.evaluate(text)["loss"] == pytest.approx(before, abs=0.5)
    capital = gen.vocab.stoi["T"] if family != "ngram" else None
    if capital is not None and hasattr(gen.model, "embedding"):
        rows = gen.model.embedding.weight
        assert torch.allclose(rows[capital], rows[gen.vocab.stoi["t"]], atol=1e-6)


@pytest.mark.parametrize("family", MODELS)
def test_a_loaded_model_learns_new_symbols(tmp_path, family, text):
    """``load``, then ``fit`` on a text with another alphabet; saved and loaded once more."""
    gen = make(family)
    gen.fit(text, **FIT)
    gen.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu")
    loaded.fit(text + "один два три\n" * 30, **FIT)
    assert set("один два три") <= set(loaded.vocab.itos)
    loaded.save(tmp_path / "model")
    again = load_sampler(tmp_path / "model")
    assert again.generate("один", 20, seed=1) == loaded.generate("один", 20, seed=1)


def test_growth_keeps_the_optimiser(fitted, text):
    """The moments of what is known are those of the first fit: steps are counted on."""
    steps = [int(s["step"]) for s in fitted._trainer.train_step.optimizer.state.values()]
    trainer = fitted._trainer
    fitted.fit("é" + text, **{**FIT, "epochs": 1})
    assert fitted._trainer is trainer
    assert trainer.model is fitted.model
    assert min(int(s["step"]) for s in trainer.train_step.optimizer.state.values()) > max(steps)


def test_words_are_added_by_the_rule_of_a_first_fit():
    """Words that occur once in the new text stay unknown, others become symbols."""
    gen = make(level="word")
    gen.fit("the cat sat. the cat sat. once " * 50 + "rarely", **FIT)
    known = list(gen.vocab.itos[:-1])
    gen.fit("the Dog sat. the Dog sat. the bird " * 50 + "never", **FIT)
    assert gen.vocab.itos == [*known, "Dog", "bird", "<unk>"]


def test_a_vocabulary_set_by_hand_is_used_and_does_not_grow(text):
    """It is the user's: with an unknown symbol it takes everything, without one it is an error."""
    gen = make()
    gen.vocab = Vocab.from_text(text, max_size=5)
    for _ in range(2):
        gen.fit(text, **FIT)
    assert len(gen.vocab) == gen.model.vocab_size == 6
    gen = make()
    gen.vocab = vocab = Vocab(["\0", *sorted(set(text))])
    gen.fit(text, **FIT)
    before = weights(gen)
    with pytest.raises(UnknownTokenError, match=r"'é' \(U\+00E9\) at index 1195"):
        gen.fit(text[:1195] + "é" + text, **{**FIT, "validation_split": 0})
    assert gen.vocab is vocab
    assert same(weights(gen), before)


@pytest.mark.parametrize(
    "bad", [{"validation_split": 0.9999}, {"batch_size": 0}, {"validation_data": ""}]
)
def test_a_second_fit_that_is_refused_leaves_everything(fitted, text, bad):
    """Vocabulary, model, weights and history stay, also where the text has new symbols."""
    before = weights(fitted), fitted.vocab, fitted.model, fitted.history
    with pytest.raises(ValueError, match="Received"):
        fitted.fit("é" + text, **{**FIT, **bad})
    assert same(weights(fitted), before[0])
    assert (fitted.vocab, fitted.model, fitted.history) == before[1:]


def test_layer_group_rates_apply_in_fine_tuning(tmp_path, fitted, text):
    """A slice gives the embedding of a loaded, grown model almost no rate, the head a high one."""
    fitted.save(tmp_path / "model")
    gen = TextGenerator.load(tmp_path / "model", device="cpu")
    gen.compile(learning_rate=[1e-12, 1e-12, 0.1])
    before = {name: p.clone() for name, p in gen.model.named_parameters()}
    gen.fit("é" + text, **FIT)
    v = len(before["embedding.weight"])
    assert torch.allclose(gen.model.embedding.weight[:v], before["embedding.weight"], atol=1e-6)
    assert not torch.allclose(gen.model.head.weight[:v], before["head.weight"], atol=1e-3)


# Going on


def test_the_rate_can_be_changed_between_two_fits(fitted, text):
    """Setting ``learning_rate`` keeps the optimiser's moments."""
    state = fitted._trainer.train_step.optimizer.state
    fitted.learning_rate = 1e-4
    history = fitted.fit(text, **FIT)
    assert fitted._trainer.train_step.optimizer.state is state
    assert max(history.history["learning_rate"]) <= 1e-4


def test_stateful_reaches_the_trainer(text):
    """Without state the weights take another course; the default carries it."""
    gens = [make(), make(), make()]
    for gen, arguments in zip(gens, [{}, {"stateful": True}, {"stateful": False}], strict=True):
        gen.fit(text, **FIT, **arguments)
    assert same(weights(gens[0]), weights(gens[1]))
    assert not same(weights(gens[0]), weights(gens[2]))


def test_fit_after_load_goes_on(tmp_path, fitted, text):
    """A loaded model learns on from its weights."""
    fitted.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu")
    loaded.compile(learning_rate=1e-9)
    loss = loaded.fit(text, validation_split=0, **FIT).history["loss"][-1]
    np.testing.assert_allclose(loss, fitted.evaluate(text)["loss"], atol=0.1)


# Files


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Each family, saved here; what another process reads, writes and measures with the file."""
    folder = tmp_path_factory.mktemp("models")
    text = load_human_numbers(1, 110)
    here = {}
    for family in MODELS:
        gen = make(family)
        history = gen.fit(text, **FIT).history
        gen.save(folder / family)
        here[family] = {
            "text": gen.generate("one", 40, **SEED),
            "val_loss": history["val_loss"][-1],
            "history": history,
        }
    code = """
import json, pathlib, sys, torch
torch.set_num_threads(1)
from textrnn import TextGenerator
from textrnn.datasets import load_human_numbers
text = load_human_numbers(1, 110)
there = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    gen = TextGenerator.load(path, device="cpu")
    there[path.name] = {
        "text": gen.generate("one", 40, seed=0),
        "val_loss": gen.evaluate(text[int(len(text) * 0.9):])["loss"],
        "history": gen.history.history,
    }
print(json.dumps(there))
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    return here, json.loads(result.stdout)


def test_another_process_writes_the_same_text(family, elsewhere):
    """A saved model gives the same text for the same seed in another process."""
    here, there = elsewhere
    assert there[family]["text"] == here[family]["text"]


def test_another_process_measures_the_same_loss(family, elsewhere):
    """A saved model's loss in another process is the val_loss that ``fit`` reported."""
    here, there = elsewhere
    np.testing.assert_allclose(there[family]["val_loss"], here[family]["val_loss"], atol=1e-4)
    assert there[family]["history"] == here[family]["history"]


def test_load_gives_the_same_generator(tmp_path, family, text):
    """Weights are bit-equal after ``load``, on the device asked for, and so is all else."""
    gen = make(family)
    gen.fit(text, **FIT)
    gen.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu")
    assert same(weights(loaded), weights(gen))
    assert {tensor.device.type for tensor in loaded.model.state_dict().values()} == {"cpu"}
    assert type(loaded.model) is type(gen.model)
    assert loaded.model.config == gen.model.config
    assert loaded.vocab == gen.vocab
    assert (loaded.level, loaded.device) == (gen.level, torch.device("cpu"))
    assert loaded.history.history == gen.history.history
    assert loaded.history.epoch == gen.history.epoch
    assert loaded.history.params == gen.history.params != {}


def test_a_sampler_writes_the_same_text(tmp_path, family, text):
    """``load_sampler`` writes what the generator writes, without torch."""
    gen = make(family)
    gen.fit(text, **FIT)
    gen.save(tmp_path / "model")
    sampler = load_sampler(tmp_path / "model")
    assert sampler.generate("one", 40, **SEED) == gen.generate("one", 40, **SEED)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 10, 100, 0.1, 0.5, 0.9, -100, -1])
def test_a_file_cut_short_is_refused(tmp_path, fitted, kept):
    """However much of a file is missing, ``load`` raises an error of its own."""
    path = tmp_path / "model"
    fitted.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(FileFormatError, match="Received: "):
        TextGenerator.load(path)


class _Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def _torch_file():
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [pickle.dumps(_Bomb()), _torch_file(), b"", b"{}", b"\0" * 100, "é".encode() * 99]
)
def test_files_of_other_kinds_are_refused(tmp_path, monkeypatch, data):
    """A pickle, a torch file and other bytes are refused, and nothing in them is executed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(UnsupportedFormatError, match="not a textrnn model file"):
        TextGenerator.load(tmp_path / "model")
    assert os.listdir() == ["model"]


@pytest.mark.parametrize("key", ["kind", "model", "vocab", "history"])
@pytest.mark.parametrize("value", [None, [], {}, "x", 3])
def test_a_header_that_describes_no_model(tmp_path, fitted, key, value):
    """A file whose header lacks something, or holds something else there, is refused."""
    fitted.save(tmp_path / "model")
    header, tensors = model_file.load(tmp_path / "model")
    model_file.save(tmp_path / "model", {**header, key: value}, tensors)
    with pytest.raises(FileFormatError, match="Received: "):
        TextGenerator.load(tmp_path / "model")


def test_a_checkpoint_of_another_model_is_refused(tmp_path, fitted):
    """Tensors that do not fit the config are refused by name."""
    fitted.save(tmp_path / "model")
    header, tensors = model_file.load(tmp_path / "model")
    config = {**header["model"], "hidden_size": 99}
    model_file.save(tmp_path / "model", {**header, "model": config}, tensors)
    with pytest.raises(
        CorruptModelError, match=r"tensor 'layers\.0\.weight_ih_l0' must have the shape"
    ):
        TextGenerator.load(tmp_path / "model")


# A model of one's own


def test_a_model_of_ones_own(tmp_path, text):
    """It is fitted, writes, is saved, and is loaded with its class."""
    model = Bigram(len(set(text)), scale=2.0)
    gen = TextGenerator(model, device="cpu")
    losses = gen.fit(text, **{**FIT, "epochs": 4}).history["val_loss"]
    gen.save(tmp_path / "model")
    loaded = TextGenerator.load(tmp_path / "model", device="cpu", model_class=Bigram)
    assert gen.model is model
    assert losses[-1] < losses[0]
    assert loaded.model.config == {"vocab_size": len(set(text)), "scale": 2.0}
    assert same(weights(loaded), weights(gen))
    assert loaded.generate("one", 40, **SEED) == gen.generate("one", 40, **SEED)
    assert "".join(gen.stream("one", 40, **SEED)) == gen.generate("one", 40, **SEED)


@pytest.mark.parametrize("load", [TextGenerator.load, load_sampler])
def test_a_model_of_ones_own_needs_its_class(tmp_path, text, load):
    """Without the class the file is refused, with a word about ``model_class``."""
    gen = TextGenerator(Bigram(len(set(text))), device="cpu")
    gen.fit(text, **FIT)
    gen.save(tmp_path / "model")
    with pytest.raises(UnsupportedFormatError, match=r"'Bigram'.*model_class"):
        load(tmp_path / "model")


def test_a_model_for_another_vocabulary(text):
    """A model whose vocab_size is not the text's is refused, and nothing has happened."""
    model = LSTMModel(5, hidden_size=4)
    gen = TextGenerator(model, device="cpu")
    with pytest.raises(ValueError, match=f"number of tokens in the vocabulary, {len(set(text))}"):
        gen.fit(text, **FIT)
    assert gen.vocab is None
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        gen.generate()


# compile


def test_compile_reaches_the_optimiser(text):
    """Every setting arrives: the kind, a rate for each group, decay, clipping, schedule."""
    gen = make("lstm")
    rates = {"embedding": 0.5, "layer0": 0.25, "head": 0.125}
    gen.compile(
        optimizer="sgd",
        learning_rate=rates,
        weight_decay=0.25,
        clip_norm=1e-9,
        schedule=lambda progress: 0.5,
    )
    initial = make("lstm")
    initial.compile(optimizer="sgd", learning_rate=1e-30)
    initial.fit(text, **FIT)
    history = gen.fit(text, **{**FIT, "epochs": 1}).history
    optimizer = gen._trainer.train_step.optimizer
    steps = math.ceil((int(len(text) * 0.9) - 1) // 8 / 32)
    assert isinstance(optimizer, torch.optim.SGD)
    assert {g["name"]: g["lr"] for g in optimizer.param_groups} == {
        name: rate / 2 for name, rate in rates.items()
    }
    assert history["learning_rate"] == [0.125 / 2]
    assert gen.learning_rate == 0.125
    # With gradients clipped to nothing, what is left is the decay of the matrices.
    shrunk = (1 - 0.125 / 2 * 0.25) ** steps
    torch.testing.assert_close(gen.model.head.weight, initial.model.head.weight * shrunk)
    torch.testing.assert_close(gen.model.head.bias, initial.model.head.bias)


def test_learning_rate_can_be_set_between_fits(fitted, text):
    """Setting ``learning_rate`` holds for the next ``fit``; ``compile`` begins anew."""
    fitted.learning_rate = 0.125
    assert fitted.learning_rate == 0.125
    fitted.fit(text, **FIT)
    assert fitted.learning_rate == 0.125
    fitted.compile(learning_rate=0.5)
    fitted.fit(text, **FIT)
    assert fitted.learning_rate == 0.5


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"optimizer": "adamww"}, ValueError, r"`optimizer` must be.*Did you mean 'adamw'\?"),
        ({"schedule": "one_cicle"}, ValueError, r"`schedule` must be.*Did you mean 'one_cycle'\?"),
        ({"weight_decay": -0.1}, ValueError, "`weight_decay` must be a number of at least 0"),
        ({"clip_norm": 0}, ValueError, "`clip_norm` must be a number above 0"),
        ({"learning_rate": 0}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": float("nan")}, ValueError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": True}, TypeError, "`learning_rate` must be a number above 0"),
        ({"learning_rate": "fast"}, TypeError, "`learning_rate` must be a number above 0"),
    ],
)
def test_compile_refuses(settings, error, message):
    """A setting out of its range is refused at once, and the one before stays."""
    gen = make()
    gen.compile(optimizer="sgd")
    with pytest.raises(error, match=message):
        gen.compile(**settings)
    assert gen._setup.config.optimizer == "sgd"


@pytest.mark.parametrize("rates", [{"heat": 0.1}, [0.1, 0.2], slice(None), slice(0.1, -0.1)])
def test_rates_that_do_not_fit_the_model(text, rates):
    """They are refused by name, in ``compile`` or in ``fit``, which leaves nothing half-done."""
    gen = make()

    def compile_and_fit():
        gen.compile(learning_rate=rates)
        gen.fit(text, **FIT)

    with pytest.raises((ValueError, TypeError), match="`learning_rate`"):
        compile_and_fit()
    assert (gen.vocab, gen.model) == (None, None)


# Names


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("lstn",), ValueError, r"`model` must be one of 'ngram'.*Did you mean 'lstm'\?"),
        ((5,), TypeError, "`model` must be one of 'ngram'.*Received: 5"),
        ((torch.nn.LSTM,), TypeError, "`model` must be one of 'ngram'.*Received: <class"),
    ],
)
def test_models_that_do_not_exist(arguments, error, message):
    """A model that is no name, no class and no instance is refused, with the names."""
    with pytest.raises(error, match=message):
        TextGenerator(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"level": "words"}, ValueError, r"`level` must be.*Did you mean 'word'\?"),
        ({"device": "cpuu"}, ValueError, "`device` must be 'auto' or.*Received: 'cpuu'"),
        ({"device": "cuda:99"}, ValueError, "`device` must be 'auto' or.*Received: 'cuda:99'"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"seed": 1.0}, TypeError, "`seed` must be a whole number"),
        ({"hiden_size": 8}, TypeError, r"'hiden_size'. Did you mean 'hidden_size'\?"),
        ({"order": 3}, TypeError, "no argument 'order'.*It takes: .*hidden_size"),
        ({"levle": "word"}, TypeError, r"'levle'. Did you mean 'level'\?"),
        ({"sede": 1}, TypeError, r"'sede'. Did you mean 'seed'\?"),
    ],
)
def test_constructor_arguments_that_do_not_exist(arguments, error, message):
    """A name or a value that does not exist is refused, with the nearest one that does."""
    with pytest.raises(error, match=message):
        TextGenerator("lstm", **arguments)


def test_arguments_beside_an_instance():
    """A finished model takes no sizes."""
    with pytest.raises(TypeError, match="no argument 'hidden_size'"):
        TextGenerator(Bigram(5), hidden_size=3)


def test_sizes_that_no_model_can_have(text):
    """A size that the model's class refuses is refused in ``fit``, which leaves nothing behind."""
    gen = make(hidden_size=0)
    with pytest.raises(ValueError, match="`hidden_size` must be at least 1"):
        gen.fit(text, **FIT)
    assert (gen.vocab, gen.model) == (None, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda gen: gen.fit("text", epoch=1), r"fit\(\).*'epoch'. Did you mean 'epochs'\?"),
        (lambda gen: gen.compile(lerning_rate=1), r"compile\(\).*Did you mean 'learning_rate'\?"),
        (lambda gen: gen.generate(temprature=1), r"generate\(\).*Did you mean 'temperature'\?"),
        (lambda gen: gen.stream(topk=1), r"stream\(\).*'topk'. Did you mean 'top_k'\?"),
        (lambda gen: gen.load("x", devise="cpu"), r"'device'\? It takes: path, device, model_cl"),
    ],
)
def test_misspelt_keywords(call, message):
    """Each public method names the nearest keyword to a misspelt one."""
    with pytest.raises(TypeError, match=message):
        call(make())


# Before fit, and instead of a text


@pytest.mark.parametrize(
    "ask",
    [
        lambda gen, path: gen.generate(),
        lambda gen, path: gen.stream(),
        lambda gen, path: gen.evaluate("text"),
        lambda gen, path: gen.surprisals("text"),
        lambda gen, path: gen.summary(),
        lambda gen, path: gen.layer_groups,
        lambda gen, path: gen.save(path),
    ],
    ids=["generate", "stream", "evaluate", "surprisals", "summary", "layer_groups", "save"],
)
def test_questions_before_fit(tmp_path, ask):
    """What needs a trained model says so, and writes no file."""
    with pytest.raises(NotFittedError, match=r"call fit\(text\) first, or use TextGenerator.load"):
        ask(make(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_setting_the_learning_rate_before_fit():
    """There is nothing yet that could have a learning rate."""
    gen = make()
    with pytest.raises(NotFittedError, match="There was no fit yet"):
        gen.learning_rate = 0.1


BAD_TEXTS = {
    "empty": ("", DataError, "The text is empty"),
    "no documents": ([], DataError, "The text is empty"),
    "one character": ("x", DataError, "at least 2 tokens each"),
    "bytes": (b"one two", TypeError, "decode bytes first"),
    "None": (None, TypeError, "`text` must be str, a Path or a list"),
    "a number in a list": (["one", 2], TypeError, r"`text\[1\]` must be a document"),
}
BAD_ARGUMENTS = [
    ({"validation_split": 1.0}, ValueError, "`validation_split` must be a number"),
    ({"validation_split": 0.999}, DataError, "at least 2 tokens each"),
    ({"validation_split": -0.1}, ValueError, "`validation_split` must be a number"),
    ({"validation_split": True}, TypeError, "`validation_split` must be a number"),
    ({"validation_data": "o"}, DataError, "1 for validation"),
    ({"validation_data": ""}, DataError, "The text is empty"),
    ({"epochs": True}, TypeError, "`epochs` must be a whole number"),
    ({"epochs": 0}, ValueError, "`epochs` must be at least 1"),
    ({"epochs": None, "minutes": 0}, ValueError, "`minutes` must be a number above 0"),
    ({"epochs": None, "minutes": -1}, ValueError, "`minutes` must be a number above 0"),
    ({"epochs": None, "minutes": math.nan}, ValueError, "`minutes` must be a number above 0"),
    ({"epochs": None, "minutes": True}, TypeError, "`minutes` must be a number above 0"),
    ({"minutes": 1}, ValueError, "either `epochs` or `minutes`, not both"),
    ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
    ({"seq_len": 0.5}, TypeError, "`seq_len` must be a whole number"),
    ({"initial_epoch": 2}, ValueError, "`initial_epoch` must be at least 0 and at most 1"),
    ({"callbacks": [Callback]}, TypeError, "`callbacks` must be a list of Callback"),
    ({"callbacks": Callback()}, TypeError, "`callbacks` must be a list of Callback"),
    ({"verbose": 3}, ValueError, "`verbose` must be one of"),
    ({"epoch": 3}, TypeError, "no argument 'epoch'"),
]


@pytest.fixture(params=["new", "fitted"])
def gen_and_state(request, text):
    """A generator, new or fitted, and a function that gives all it knows."""
    gen = make()
    if request.param == "fitted":
        gen.fit(text, **FIT)

    def state():
        bits = gen.model and {name: w.numpy().tobytes() for name, w in weights(gen).items()}
        return gen.model, bits, gen.vocab, gen.history

    return gen, state


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_a_bad_text_changes_nothing(gen_and_state, case):
    """What is no text is refused; weights, vocabulary and history are those before, or none."""
    bad, error, message = BAD_TEXTS[case]
    gen, state = gen_and_state
    before = state()
    with pytest.raises(error, match=message):
        gen.fit(bad, **FIT)
    assert state() == before


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_ARGUMENTS)
def test_a_bad_argument_changes_nothing(gen_and_state, text, arguments, error, message):
    """An argument that cannot be meant is refused by name, and nothing is half-done."""
    gen, state = gen_and_state
    before = state()
    with pytest.raises(error, match=message):
        gen.fit(text[:800], **{**FIT, **arguments})
    assert state() == before


@pytest.mark.parametrize("content", [b"one\xff\xfetwo", b"", None])
def test_bad_files_leave_nothing_half_done(tmp_path, content):
    """A file that is not UTF-8, empty or not there is an error, and nothing has happened."""
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    messages = {None: "No such file", b"": "The text is empty"}
    message = messages.get(content, "byte 0xff at byte offset 3")
    gen = make()
    with pytest.raises(FileNotFoundError if content is None else DataError, match=message):
        gen.fit(path, **FIT)
    assert (gen.vocab, gen.model) == (None, None)


def test_a_str_that_names_a_file(tmp_path, text):
    """It is refused with the advice to pass a Path, which then works."""
    path = tmp_path / "text.txt"
    path.write_text(text)
    gen = make("ngram")
    with pytest.raises(DataError, match=r"pass Path\("):
        gen.fit(str(path), **FIT)
    assert gen.vocab is None
    gen.fit(path, **FIT)
    assert set(gen.vocab.itos) == set(text)


def test_validation_text_of_one_word(family):
    """A validation text with nothing to predict is refused before training, not after."""
    gen = make(family, level="word")
    with pytest.raises(DataError, match="at least 2 tokens each"):
        gen.fit("one two three " * 50, validation_data="three", **FIT)
    assert (gen.vocab, gen.model) == (None, None)


def test_training_text_of_one_word():
    """A training text of one token is refused before anything is done."""
    gen = make(level="word")
    with pytest.raises(DataError, match="at least 2 tokens each"):
        gen.fit("three", validation_data="three three", **FIT)
    assert (gen.vocab, gen.model) == (None, None)


@pytest.mark.parametrize("ask", ["evaluate", "surprisals"])
def test_questions_about_no_text(fitted, ask):
    """An empty text cannot be evaluated or scored."""
    with pytest.raises(DataError, match="The text is empty"):
        getattr(fitted, ask)("")


def test_questions_about_unknown_symbols(fitted):
    """A symbol that was not in the text is named with its position."""
    with pytest.raises(UnknownTokenError, match=r"'X' \(U\+0058\) at index 4"):
        fitted.evaluate("one X")
    with pytest.raises(UnknownTokenError, match=r"'X' \(U\+0058\) at index 4"):
        fitted.generate("one X")


# Odd ends


def test_a_text_of_one_character(family):
    """A text with a single symbol is learnt, evaluated and written."""
    gen = make(family)
    history = gen.fit("a" * 600, **FIT).history
    assert history["val_loss"][-1] == 0
    perfect = {"loss": 0, "bits_per_char": 0, "perplexity": 1, "accuracy": 1}
    assert gen.evaluate("aaa") == perfect
    assert gen.generate("a", 5) == "aaaaaa"


def test_a_tiny_time_still_trains(text):
    """A budget that is over before training begins gives one batch, not an error."""
    gen = make()
    history = gen.fit(text, **{**FIT, "epochs": None, "minutes": 1e-9})
    assert history.epoch == [0]
    assert math.isfinite(history.history["val_loss"][0])


def test_training_that_explodes_keeps_finite_weights(text):
    """NonFiniteError comes through, and what was learnt before it can still be used."""
    gen = make("rnn", nonlinearity="relu")
    gen.compile(optimizer="sgd", learning_rate=1e8, schedule="constant")
    with (
        pytest.warns(UserWarning, match="the step was refused"),
        pytest.raises(NonFiniteError, match="Lower the learning rate or clip_norm"),
    ):
        gen.fit(text, **{**FIT, "epochs": 9})
    assert all(tensor.isfinite().all() for tensor in weights(gen).values())


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
            seen.append((self.model is gen, self.model.vocab is not None, self.params["steps"]))

        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    history = gen.fit(text, callbacks=[Stop()], **{**FIT, "epochs": 7})
    assert seen == [(True, True, 5)]
    assert history.epoch == [0]
    assert history.stopped_by == "callback"


def test_every_error_is_a_textrnn_error():
    """What the facade raises about texts and files can be caught by one class."""
    for error in (DataError, NotFittedError, FileFormatError, UnknownTokenError, NonFiniteError):
        assert issubclass(error, TextRNNError)
    with pytest.raises(TextRNNError, match="learned nothing yet"):
        make().generate()


def test_documents_are_joined_by_a_line_break():
    """A list of documents is one text with line breaks between them."""
    gen = make("ngram")
    gen.fit(["one two", "three four"], verbose=0)
    assert gen.vocab == Vocab.from_text("one two\nthree four")
