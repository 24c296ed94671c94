"""Agreement of the two-layer QG model with pyqg-jax 0.8.1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pyqg_jax import qg_model, state, steppers

from subgrid.grids.transforms import SEPARATE_FROM
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG

JET = {"rek": 7e-8, "delta": 0.1, "beta": 1e-11}


def _random_pv(system: TwoLayerQG) -> jax.Array:
    noise = jax.random.normal(jax.random.key(1), (2, *system.grid.shape), system.dtype)
    return 1e-5 * noise


def _system(configuration: str, shape: tuple[int, int, float]) -> TwoLayerQG:
    nx, ny, length_y = shape
    return TwoLayerQG(nx, ny, configuration, length_y=length_y, dtype=jnp.float64)


def _peer(system: TwoLayerQG, **constants: float) -> qg_model.QGModel:
    grid = system.grid
    return qg_model.QGModel(
        nx=grid.nx,
        ny=grid.ny,
        L=grid.length_x,
        W=grid.length_y,
        precision=state.Precision.DOUBLE,
        **constants,
    )


SQUARE, SHORT, NARROW = (32, 32, 1e6), (32, 24, 0.75e6), (24, 32, 1e6)  # nx, ny, length_y
LARGE = (96, 96, 1e6)  # transforms one by one, see subgrid.grids.transforms
CASES = pytest.mark.parametrize(
    ("configuration", "constants", "shape"),
    [
        ("eddy", {}, SQUARE),
        ("jet", JET, SQUARE),
        pytest.param("eddy", {}, NARROW, marks=pytest.mark.slow),
        ("jet", JET, SHORT),
    ],
    ids=["eddy", "jet", "eddy, cells narrow in y", "jet, ny < nx"],
)


@pytest.mark.usefixtures("float64")
@CASES
def test_tendency_agrees(configuration, constants, shape):
    _assert_tendency_agrees(configuration, constants, shape)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("configuration", "constants"), [pytest.param("eddy", {}, marks=pytest.mark.slow), ("jet", JET)]
)
def test_tendency_agrees_with_separate_transforms(configuration, constants):
    assert LARGE[0] * LARGE[1] >= SEPARATE_FROM
    _assert_tendency_agrees(configuration, constants, LARGE)


def _assert_tendency_agrees(configuration, constants, shape):
    system = _system(configuration, shape)
    peer = _peer(system, **constants)
    q = _random_pv(system)
    reference = peer.get_updates(peer.create_initial_state(jax.random.key(0)).update(q=q)).q
    ours = system.tendency(system.State(q)).q
    # the bound; both are float64 and differ by the order of operations only
    np.testing.assert_allclose(
        ours, reference, rtol=0, atol=1e-10 * float(jnp.abs(reference).max())
    )


@pytest.mark.usefixtures("float64")
@CASES
def test_thousand_steps_agree(configuration, constants, shape):
    system = _system(configuration, shape)
    model = steppers.SteppedModel(_peer(system, **constants), steppers.AB3Stepper(dt=7200.0))
    start = model.create_initial_state(jax.random.key(0))
    q = 1e-6 * _random_pv(system) / 1e-5
    start = start.update(state=start.state.update(q=q))

    def thousand(carry):
        return jax.lax.scan(lambda c, _: (model.step_model(c), None), carry, None, length=1000)[0]

    reference = jax.jit(thousand)(start).state.q
    ours = rollout(system.model(7200.0), system.State(q), 1000, 1000).states.q[0]
    # rounding grows with the baroclinic instability: a factor of about 1e3 in 83 days
    np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-9 * float(jnp.abs(reference).max()))
