"""The vectors of the tokens, and their principal components."""

import matplotlib as mpl
import numpy as np
import pytest

from textrnn import TextGenerator
from textrnn.errors import UnknownTokenError
from textrnn.inspection.embeddings import embeddings, pca
from textrnn.models import NGramModel

mpl.use("agg")
FIT = {"epochs": 1, "batch_size": 8, "seq_len": 32, "verbose": 0}


@pytest.fixture
def gen(text):
    """A GRU generator of two layers after an epoch."""
    gen = TextGenerator("gru", hidden_size=8, num_layers=2, embedding_dim=6, seed=0, device="cpu")
    gen.fit(text, **FIT)
    return gen


def test_embeddings_are_the_rows_of_the_table(gen):
    """Row i is the vector of token i, as a copy."""
    vectors = gen.embeddings()
    np.testing.assert_array_equal(vectors, gen.model.embedding.weight.detach().numpy())
    vectors[:] = 0
    assert bool((gen.model.embedding.weight != 0).any())


def test_one_hot_input_has_the_first_layer_s_weights_for_embeddings(text):
    """There (V, G) is what a token adds to the gates."""
    gen = TextGenerator("gru", input="onehot", hidden_size=8, seed=0, device="cpu")
    gen.fit(text, **FIT)
    weight = gen.model.layers[0].weight_ih_l0.detach().numpy()
    np.testing.assert_array_equal(gen.embeddings(), weight.T)


def test_a_counting_model_has_no_embeddings():
    """The message names its class."""
    with pytest.raises(ValueError, match=r"no vectors for its tokens.*Received: NGramModel"):
        embeddings(NGramModel(5, order=2))


@pytest.mark.parametrize("k", [0, 7])
def test_more_components_than_there_are(gen, k):
    """K is from 1 to the smaller of V and E."""
    with pytest.raises(ValueError, match="`n_components` must be at least 1 and at most 6"):
        gen.embeddings(k)


def test_principal_components_are_those_of_the_covariance():
    """Their variances are its largest eigenvalues, they are uncorrelated and centred."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 3).astype(np.float32)
    points = pca(x, 3)
    expected = np.diag(np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1][:3])
    np.testing.assert_allclose(np.cov(points.T), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-5)


def test_all_components_keep_all_distances():
    """With every component the points are only turned."""
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    points = pca(x, 4)
    one, other = (np.linalg.norm(a[:, None] - a, axis=-1) for a in (x, points))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_sign_of_a_component_does_not_depend_on_chance():
    """Mirrored directions are turned the same way round."""
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    np.testing.assert_allclose(pca(x[::-1], 2)[::-1], pca(x, 2), atol=1e-5)


def test_the_plot_names_every_token_where_it_is(gen):
    """One label per token, at its first two components; invisible ones are shown as repr."""
    ax = gen.plot_embeddings()
    labels = {label.get_text(): label.xy for label in ax.texts}
    assert set(labels) == {repr(s) if s in " \n" else s for s in gen.vocab.itos}
    np.testing.assert_allclose(labels["e"], gen.embeddings(2)[gen.vocab.stoi["e"]])
    assert ax.get_xlabel() == "first principal component"


def test_the_plot_can_show_some_tokens_only(gen):
    """In the caller's axes; one that the vocabulary does not hold is refused."""
    ax = mpl.figure.Figure().subplots()
    assert gen.plot_embeddings("eiou", ax) is ax
    assert [label.get_text() for label in ax.texts] == list("eiou")
    with pytest.raises(
        UnknownTokenError, match=r"`tokens` must be tokens that the vocabulary holds.*Received: 'Q'"
    ):
        gen.plot_embeddings(["e", "Q"])
