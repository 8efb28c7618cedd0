"""BLAS has one thread while text is generated, and its own number at all other times."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from textrnn import Sampler, Vocab
from textrnn.generation.blas import one_blas_thread

CONTROLLER = ThreadpoolController().select(user_api="blas")


def blas_threads():
    """Return the number of threads of each BLAS in the process."""
    return [library.num_threads for library in CONTROLLER.lib_controllers]


@pytest.fixture
def two():
    """Two threads for BLAS, whatever the machine has, for one test."""
    if not CONTROLLER.lib_controllers:
        pytest.skip("threadpoolctl knows no BLAS here")
    with CONTROLLER.limit(limits=2):
        yield blas_threads()


class Watching:
    """A stepper that notes the number of threads at each step."""

    max_batch_size = 64

    def __init__(self, uses_blas=True):
        self.seen: Any = []
        self.uses_blas = uses_blas

    def start(self, texts, state=None, *, batched=False):
        """Return itself."""
        return self

    def step(self, ids):
        """Note the number."""
        self.seen.append(blas_threads())
        return np.zeros((len(ids), 2), dtype=np.float32)

    def state(self, rows):
        """Return a state of one number a text."""
        return (np.zeros(len(rows)),)

    def check_state(self, state):
        """Accept it."""


def test_a_step_has_one_thread_and_the_process_keeps_its_number(two):
    """During ``generate``, ``stream`` and ``state``, but not between the pieces of a stream."""
    stepper = Watching()
    sampler = Sampler(Vocab("ab"), stepper)
    sampler.generate("a", 3)
    assert blas_threads() == two
    state = sampler.state("ab")
    assert blas_threads() == two
    pieces = sampler.stream("a", 3, state=state)
    assert blas_threads() == two
    for _ in zip(range(2), pieces, strict=False):
        assert blas_threads() == two
    pieces.close()  # type: ignore[attr-defined]
    assert blas_threads() == two
    assert np.all(np.array(stepper.seen) == 1)


def test_an_error_leaves_the_number(two):
    """A stepper that fails does not leave the limit behind."""
    stepper = Watching()
    stepper.seen = None
    with pytest.raises(AttributeError, match="append"):
        Sampler(Vocab("ab"), stepper).generate("a", 3)
    assert blas_threads() == two


def test_threads_that_overlap_leave_the_number(two):
    """The first sets the limit, the last lifts it, in whatever order they come and go."""
    inside, done = Barrier(8), Barrier(8)

    def generate(_):
        with one_blas_thread(None):
            inside.wait(60)
            seen = blas_threads()
            done.wait(60)
        return seen

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(generate, range(8)))
    assert np.all(np.array(seen) == 1)
    assert blas_threads() == two


def test_a_number_that_the_program_sets_meanwhile_stays(two):
    """Its newer choice wins."""
    with one_blas_thread(None):
        for library in CONTROLLER.lib_controllers:
            library.set_num_threads(3)
    assert blas_threads() == [3] * len(two)


def test_what_needs_no_blas_limits_nothing(two):
    """Such as counts, and the native kernel."""
    stepper = Watching(uses_blas=False)
    Sampler(Vocab("ab"), stepper).generate("a", 3)
    assert stepper.seen == [two] * len(stepper.seen)
