"""Everything a user may get wrong, which leaves nothing half-done."""

import math

import pytest
import torch

from tests.generator.helpers import FIT, Bigram, make, trained, weights
from textrnn import TextGenerator
from textrnn.callbacks import Callback
from textrnn.errors import (
    DataError,
    FileFormatError,
    NonFiniteError,
    NotFittedError,
    TextRNNError,
    UnknownTokenError,
)

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
def test_misspelled_keywords(call, message):
    """Each public method names the nearest keyword to a misspelled one."""
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
def gen_and_state(request):
    """A generator, new or fitted, and a function that gives all it knows."""
    gen = trained() if request.param == "fitted" else make()

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
    assert not gen.vocab
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
    """A token that was not in the text is named with its position."""
    with pytest.raises(UnknownTokenError, match=r"'X' \(U\+0058\) at index 4"):
        fitted.evaluate("one X")
    with pytest.raises(UnknownTokenError, match=r"'X' \(U\+0058\) at index 4"):
        fitted.generate("one X")


def test_every_error_is_a_textrnn_error():
    """What the facade raises about texts and files can be caught by one class."""
    for error in (DataError, NotFittedError, FileFormatError, UnknownTokenError, NonFiniteError):
        assert issubclass(error, TextRNNError)
    with pytest.raises(TextRNNError, match="learned nothing yet"):
        make().generate()
