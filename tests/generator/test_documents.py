"""A generator of documents: each text begins where one begins, and ends where one ends."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from textrnn import TextGenerator, load_sampler
from textrnn.callbacks import BackupAndRestore, Callback
from textrnn.errors import UnknownTokenError, VocabError

NAMES = [f"{a}{b}{c}" for a in ("an", "be", "co") for b in ("na", "li") for c in ("", "s", "ra")]
RECORDS = [f"{name} is\n{len(name)} long." for name in NAMES * 5]
MODELS = {"ngram": {"order": 5}, "lstm": {"hidden_size": 16}, "window_mlp": {"window": 4}}


def fitted(kind="ngram", documents=RECORDS, **fit):
    """Return a small generator of documents."""
    gen = TextGenerator(kind, seed=0, **MODELS[kind])
    gen.fit(documents, **{"epochs": 2, "batch_size": 4, "seq_len": 16, "verbose": 0} | fit)
    return gen


@pytest.fixture(scope="module")
def gen():
    """Return one that counts."""
    return fitted()


def test_texts_are_whole_documents(gen):
    """They begin as a document begins and end as one ends, and hold no boundary."""
    texts = gen.generate(num_return_sequences=50, seed=0, temperature=0.2)
    assert all(re.fullmatch(r"\w+ is\n\d long\.", text) for text in texts)
    assert gen.generate("be", seed=0, temperature=0).startswith("be")
    assert gen.generate("", 3, temperature=0) == gen.generate(temperature=0)[:3]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_the_laws_of_generation(kind, tmp_path):
    """Stream equals generate; alone equals in a batch; a file gives the same texts."""
    gen = fitted(kind)
    texts = gen.generate(num_return_sequences=8, seed=3)
    assert [gen.generate(num_return_sequences=n, seed=3) for n in (3, 8)] == [texts[:3], texts]
    assert "".join(gen.stream(seed=3)) == gen.generate(seed=3) == texts[0]
    stopped = gen.generate(num_return_sequences=8, seed=3, stop_strings=["s l", "\n"])
    assert stopped == [text.split("\n")[0].split("s l")[0] for text in texts]
    state = gen.state("be")
    assert gen.generate("be", seed=1) == "be" + gen.generate(state=state, seed=1)
    gen.save(tmp_path / "model")
    for other in (TextGenerator.load(tmp_path / "model"), load_sampler(tmp_path / "model")):
        assert other.vocab == gen.vocab
        assert other.generate(num_return_sequences=8, seed=3) == texts


@pytest.mark.slow
def test_writing_from_a_file_needs_no_torch(gen, tmp_path):
    """A model of documents is no exception."""
    gen.save(tmp_path / "model")
    code = (
        "import json, sys, textrnn; s = textrnn.load_sampler(sys.argv[1]); "
        "print(json.dumps([s.generate(num_return_sequences=5, seed=1), 'torch' in sys.modules]))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "model")]
    texts, torch = json.loads(subprocess.run(run, capture_output=True, check=True).stdout)
    assert texts == gen.generate(num_return_sequences=5, seed=1)
    assert not torch


def test_evaluation_counts_the_ends(gen):
    """The boundary after each document is predicted like any token, and as long as a line break."""
    document = RECORDS[0]
    tokens, nats = zip(*gen.surprisals(document), strict=True)
    assert tokens == (*document, "")
    result = gen.evaluate(document)
    assert result["loss"] == pytest.approx(np.mean(nats), rel=1e-5)
    assert result["bits_per_char"] == pytest.approx(result["loss"] / np.log(2))
    assert gen.evaluate(document + "Xü", unknown="skip") == result


def test_only_allowed_tokens_still_end(gen):
    """A text of allowed tokens may end: the boundary is no token that one can write."""
    texts = gen.generate("an", num_return_sequences=20, allowed_tokens="nas", seed=0)
    assert any(len(text) < 50 for text in texts)
    assert set("".join(texts)) <= set("nas")
    with pytest.raises(ValueError, match="must leave a token"):
        gen.generate(allowed_tokens="")


class _Killed(Callback):
    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        self.batch -= 1
        if self.batch == 0:
            raise KeyboardInterrupt("killed here")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [9, 27, 31])
def test_resume_is_exact(tmp_path, batch):
    """A training that was killed in any epoch continues in the order that it was reading."""
    whole = fitted("lstm", epochs=3)
    backup = BackupAndRestore(tmp_path / "backup", save_freq=4)
    with pytest.raises(KeyboardInterrupt, match="killed here"):
        fitted("lstm", epochs=3, callbacks=[backup, _Killed(batch)])
    resumed = fitted("lstm", epochs=3, callbacks=[backup])
    for name, tensor in whole.model.state_dict().items():
        assert tensor.equal(resumed.model.state_dict()[name]), name


def test_a_backup_of_other_documents_is_refused(tmp_path):
    """Boundaries at other places make another text."""
    backup = BackupAndRestore(tmp_path / "backup", save_freq=4)
    one = RECORDS[:40]
    with pytest.raises(KeyboardInterrupt, match="killed here"):
        fitted("lstm", one, callbacks=[backup, _Killed(9)], validation_split=0)
    other = [one[0][:3], one[0][3:] + one[1], *one[2:]]
    with pytest.raises(ValueError, match=r"documents was .* and is .*"):
        fitted("lstm", other, callbacks=[backup], validation_split=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_of_one_text_learns_documents(kind, tmp_path):
    """A second fit gives it the boundary; what it knew stays, and after that it ends texts."""
    gen = fitted(kind, "\n".join(RECORDS))
    known = gen.vocab
    gen.save(tmp_path / "model")
    gen = TextGenerator.load(tmp_path / "model")
    gen.fit([*RECORDS, "Änne is\n4 long."] * 2, epochs=1, verbose=0, validation_split=0)
    assert gen.vocab.itos == [*known.itos, "Ä", ""]
    assert "" in [token for token, _ in gen.surprisals("anna")]
    gen.fit("one more text, on its own " * 90, epochs=1, verbose=0)
    assert gen.vocab.token_text(gen.vocab.eot_id) == ""


def test_the_first_line_says_what_was_understood(capsys):
    """How many documents there are, how long they are, and how many are for validation."""
    fitted("ngram", verbose=2)
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith("90 documents, 16 characters on average, 9 of them for validation; ")


@pytest.mark.slow
def test_new_texts_are_new(tmp_path):
    """None is a document, those for validation included, and none comes twice."""
    gen = fitted(documents=NAMES, validation_split=0.2)
    with pytest.warns(UserWarning, match=r"\d+ of 60 texts are not new, though .* a higher temp"):
        assert len(gen.generate(num_return_sequences=60, novel=True, temperature=0.1)) == 60
    arguments = {"num_return_sequences": 20, "novel": True, "temperature": 1.5, "seed": 4}
    texts = gen.generate(**arguments)
    assert len({*texts}) == 20
    assert not {*texts} & {*NAMES}
    assert gen.generate("an", include_prompt=False, **arguments) == [
        text.removeprefix("an") for text in gen.generate("an", **arguments)
    ]
    gen.save(tmp_path / "model")
    for other in (TextGenerator.load(tmp_path / "model"), load_sampler(tmp_path / "model")):
        assert other.generate(**arguments) == texts
    gen.fit(texts, verbose=0, validation_split=0)
    assert not {*gen.generate(**arguments)} & {*NAMES, *texts}


def test_texts_that_are_new_already_stay():
    """Only a text that is known is drawn again; the others are those of the seed."""
    gen = fitted()
    texts, new = (gen.generate(num_return_sequences=9, seed=1, novel=n) for n in (False, True))
    kept = [t for i, t in enumerate(texts) if t not in RECORDS and t not in texts[:i]]
    assert 0 < len(kept) < 9
    assert [t for t in new if t in kept] == kept


def test_a_model_of_one_text_knows_no_documents():
    """What is asked of it instead is said."""
    gen = fitted(documents="one text, and one only" * 9)
    with pytest.raises(ValueError, match=r"`novel` needs a model of documents.*Received"):
        gen.generate(novel=True)


def test_details(gen):
    """Why a text ended, its tokens, and their log-probabilities, which are the surprisals."""
    details = gen.generate("be", seed=3, return_details=True)
    assert details.finish_reason == "end"
    assert details.text == gen.generate("be", seed=3) == "be" + "".join(details.tokens)
    assert details.tokens[-1] == ""
    nats = [nats for _, nats in gen.surprisals(details.text)][2:]
    np.testing.assert_allclose(-details.log_probabilities, nats, rtol=1e-4, atol=1e-5)
    cut = gen.generate("be", 3, seed=3, top_k=2, return_details=True)
    assert (cut.finish_reason, len(cut.tokens), len(cut.log_probabilities)) == ("length", 3, 3)
    several = gen.generate(["a", "b"], num_return_sequences=2, seed=1, return_details=True)
    assert [one.text for one in several] == gen.generate(["a", "b"], num_return_sequences=2, seed=1)
    assert gen.generate("be", 0, return_details=True).log_probabilities.shape == (0,)


@pytest.mark.parametrize("stops", ["\n", ["g.", "is"], ["s", "is\n"]])
def test_a_stop_string_may_stay(gen, stops):
    """With ``include_stop`` the text ends after it, streamed too."""
    for seed in range(5):
        how = {"seed": seed, "temperature": 0.1}
        cut = gen.generate(stop_strings=stops, **how, return_details=True)
        kept = gen.generate(stop_strings=stops, **how, include_stop=True)
        assert cut.finish_reason == "stop"
        assert any(kept == cut.text + stop for stop in stops)
        assert kept == "".join(gen.stream(stop_strings=stops, **how, include_stop=True))
        assert gen.generate(**how).startswith(kept)


def test_unknown_tokens_of_a_prompt(gen):
    """They are an error, or left out; the error can be followed."""
    with pytest.raises(UnknownTokenError, match="unknown='skip'"):
        gen.generate("Xb")
    how = {"seed": 0, "unknown": "skip", "include_prompt": False}
    assert gen.generate("Xb", **how) == "".join(gen.stream("Xb", **how))
    assert gen.generate("Xb", **how) == gen.generate("b", seed=0, include_prompt=False)
    assert gen.state("Xb", unknown="skip").ids == gen.state("b").ids
    with pytest.raises(VocabError, match="no unknown token"):
        gen.generate("Xb", unknown="unk")
