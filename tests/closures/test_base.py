"""The check that finds a wrong closure before a run, and the registry."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import CLOSURES, AbstractClosure, Smagorinsky, check_closure
from subgrid.errors import ShapeError, UnknownNameError
from subgrid.systems import TwoLayerQG


class Given(AbstractClosure):
    """Returns whatever its function makes of a state and a memory."""

    function: object
    start: object = None

    def init(self, state, *, key=None):
        return self.start

    def __call__(self, state, memory=None, forcing=None):
        return self.function(state, memory)


@pytest.fixture(scope="module")
def system():
    return TwoLayerQG(16, 8)


def test_right_closures_pass(system):
    check_closure(Smagorinsky(system), system)
    check_closure(Given(lambda x, m: (x, m + 1), jnp.zeros(3)), system)


def test_not_a_number_is_no_error_of_shape(system):
    check_closure(Given(lambda x, m: (jax.tree.map(lambda q: q * jnp.nan, x), m)), system)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x, m: x, TypeError, r"must return the pair \(increment, memory\), got QGState"),
        (lambda x, m: (x.q, m), TypeError, r"structure of the state, QGState\(q: float32"),
        (lambda x, m: (None, m), TypeError, "structure of the state"),
        (lambda x, m: (type(x)(x.q[:1]), m), ShapeError, r"\(2, 8, 16\); got \(1, 8, 16\)"),
        (lambda x, m: (type(x)(x.q.astype(jnp.float16)), m), TypeError, "float32; got float16"),
        (lambda x, m: (x, jnp.zeros(3)), TypeError, "new memory .* structure of the old memory"),
    ],
)
def test_wrong_results_are_named(system, function, error, message):
    with pytest.raises(error, match=message):
        check_closure(Given(function), system)


def test_memory_must_keep_its_shape(system):
    with pytest.raises(ShapeError, match=r"memory .*\(3,\); got \(6,\)"):
        check_closure(Given(lambda x, m: (x, jnp.concatenate([m, m])), jnp.zeros(3)), system)


def test_an_error_of_the_closure_says_where_it_came_from(system):
    def fails(state, memory):
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        check_closure(Given(fails), system)
    assert "closure Given on a state of TwoLayerQG" in "".join(caught.value.__notes__)


def test_registry_lists_and_suggests():
    assert CLOSURES.names()[:10] == [
        "smagorinsky",
        "backscatter-biharmonic",
        "zanna-bolton-2020",
        "hybrid-symbolic",
        "staggered-smagorinsky",
        "staggered-leith",
        "polynomial",
        "wilks-2005",
        "autoregressive",
        "learned",
    ]
    assert all(line.endswith(".") for _, line in CLOSURES.describe())
    with pytest.raises(UnknownNameError, match="Did you mean 'smagorinsky'"):
        CLOSURES.get("smagorinski")


def test_a_users_own_closure_by_module_and_class(system, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    own = CLOSURES.get("my_closure:ScaleSelectiveDamping")(system, damping_time=86400.0)
    check_closure(own, system)
    noise = jax.random.normal(jax.random.key(2), (2, *system.grid.shape))
    increment = own(system.State(noise))[0].q
    assert np.abs(increment.mean(axis=(1, 2))).max() < 1e-7 * np.abs(increment).max()  # float32
    assert np.all(np.mean(np.asarray(increment) * np.asarray(noise), axis=(1, 2)) < 0)
    with pytest.raises(ValueError, match="damping_time must be positive"):
        CLOSURES.get("my_closure:ScaleSelectiveDamping")(system, damping_time=-1.0)
