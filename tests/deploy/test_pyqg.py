"""A closure gives the same run in pyqg-jax and in pyqg as in our own coupled model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pyqg_jax import parameterizations, qg_model, state, steppers

from subgrid import nn
from subgrid.closures import (
    AbstractClosure,
    BackscatterBiharmonic,
    Features,
    LearnedClosure,
    Output,
    ZeroMean,
)
from subgrid.deploy import PyqgParameterization, in_pyqg_jax
from subgrid.errors import ConfigError
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG

DT, STEPS = 7200.0, 100


class Reddened(AbstractClosure):
    """A closure with memory and randomness: noise that forgets."""

    def init(self, state, *, key=None):
        return jax.tree.map(jnp.zeros_like, state), key

    def __call__(self, state, memory=None, forcing=None):
        noise, key = memory
        key, now = jax.random.split(key)
        noise = jax.tree.map(
            lambda x: 0.9 * x + 1e-13 * jax.random.normal(now, x.shape, x.dtype), noise
        )
        return noise, (noise, key)


def learned(system):
    """An untrained network whose increments are as large as a trained one's."""
    network = nn.build("psm4", in_channels=2, out_channels=2, key=jax.random.key(0), width=0.125)
    scaler = lambda std: nn.Scaler(jnp.zeros(2), jnp.full(2, std))  # noqa: E731
    output = Output(scaler(1e-12), [ZeroMean()])
    return LearnedClosure(Features(scaler=scaler(1e-5)), network, output)


CLOSURES = {
    "learned": learned,
    "backscatter": BackscatterBiharmonic,
    "with memory and noise": lambda system: Reddened(),
}


def start(system):
    return 1e-6 * jax.random.normal(jax.random.key(1), (2, *system.grid.shape), system.dtype)


def host_of(system, **changes):
    names = {
        "nx": system.grid.nx,
        "ny": system.grid.ny,
        "L": system.grid.length_x,
        "W": system.grid.length_y,
        "precision": state.Precision.DOUBLE,
    }
    return qg_model.QGModel(**{**names, **changes})


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CLOSURES)
@pytest.mark.parametrize(
    "shape",
    [(32, 32, 1e6), pytest.param((32, 24, 0.75e6), marks=pytest.mark.slow)],
    ids=["square", "ny < nx"],
)
def test_pyqg_jax_runs_like_our_coupled_model(name, shape):
    nx, ny, length_y = shape
    system = TwoLayerQG(nx, ny, length_y=length_y, dtype=jnp.float64)
    closure, key = CLOSURES[name](system), jax.random.key(7)
    q = start(system)
    model = steppers.SteppedModel(
        in_pyqg_jax(host_of(system), closure, system, key=key), steppers.AB3Stepper(dt=DT)
    )
    assert isinstance(model.model, parameterizations.ParameterizedModel)
    full = host_of(system).create_initial_state(jax.random.key(0)).update(q=q)
    inner = parameterizations.ParameterizedModelState(
        model_state=full, param_aux=steppers.NoStepValue(closure.init(system.State(q), key=key))
    )
    first = model.initialize_stepper_state(inner)

    def run(carry):
        return jax.lax.scan(lambda c, _: (model.step_model(c), None), carry, None, length=STEPS)[0]

    theirs = jax.jit(run)(first).state.model_state.q
    ours = rollout(system.model(DT, closure), system.State(q), STEPS, STEPS, key=key).states.q[0]
    without = rollout(system.model(DT), system.State(q), STEPS, STEPS).states.q[0]
    largest = float(jnp.abs(theirs).max())
    assert float(jnp.abs(ours - without).max()) > 1e-4 * largest  # the closure matters
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * largest)


@pytest.mark.usefixtures("float64")
def test_pyqg_jax_begins_with_the_memory_of_the_closure():
    system = TwoLayerQG(16, dtype=jnp.float64)
    hosted = in_pyqg_jax(host_of(system), Reddened(), system, key=jax.random.key(3))
    noise, key = hosted.create_initial_state(jax.random.key(0)).param_aux.value
    assert not np.any(noise.q)
    assert jnp.array_equal(jax.random.key_data(key), jax.random.key_data(jax.random.key(3)))


class NumpyHost:
    """What a parameterization sees of a pyqg model: its constants and q."""

    def __init__(self, system, **changes):
        settings = system.settings()
        self.nx, self.ny = system.grid.nx, system.grid.ny
        self.L, self.W = settings["length_x"], settings["length_y"]
        self.beta, self.rd = settings["beta"], settings["deformation_radius"]
        self.delta = settings["thickness_ratio"]
        self.U1, self.U2 = settings["upper_velocity"], settings["lower_velocity"]
        self.rek = settings["bottom_drag"]
        self.q = np.asarray(start(system), np.float64)
        vars(self).update(changes)


@pytest.mark.parametrize("name", CLOSURES)
def test_a_numpy_host_gets_the_increments_in_turn(name):
    system = TwoLayerQG(24)
    closure, key = CLOSURES[name](system), jax.random.key(5)
    host = NumpyHost(system)
    parameterization = PyqgParameterization(closure, system, key=key)
    memory = closure.init(system.State(jnp.asarray(host.q, jnp.float32)), key=key)
    for _ in range(3):
        increment, memory = closure(system.State(jnp.asarray(host.q, jnp.float32)), memory)
        got = parameterization(host)
        assert got.dtype == np.float64
        scale = float(jnp.abs(increment.q).max())
        assert scale > 0
        np.testing.assert_allclose(got, increment.q, rtol=0, atol=1e-5 * scale)
        host.q = host.q + 3600.0 * got


def test_a_tendency_among_the_inputs_is_that_of_the_host():
    system, jet = TwoLayerQG(24), TwoLayerQG(24, configuration="jet")
    closure = LearnedClosure(Features(["tendency"]), lambda x: 2 * x, Output(), jet)
    host = NumpyHost(system)
    got = PyqgParameterization(closure, system)(host)
    wanted = 2 * system.tendency(system.State(jnp.asarray(host.q, jnp.float32))).q
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * float(jnp.abs(wanted).max()))


def test_pyqg_runs_like_our_coupled_model():
    pyqg = pytest.importorskip("pyqg")
    system = TwoLayerQG(32)
    closure = learned(system)
    host = pyqg.QGModel(
        nx=32, dt=DT, log_level=0, q_parameterization=PyqgParameterization(closure, system)
    )
    host.q = np.asarray(start(system), np.float64)
    for _ in range(STEPS):
        host._step_forward()
    q = system.State(start(system))
    ours = rollout(system.model(DT, closure), q, STEPS, STEPS).states.q[0]
    # ours is in single precision: 100 steps of rounding at 1e-7
    np.testing.assert_allclose(ours, host.q, rtol=0, atol=1e-4 * np.abs(host.q).max())


def test_another_host_is_refused_and_what_differs_named():
    eddy, jet = TwoLayerQG(32), TwoLayerQG(32, configuration="jet")
    host = qg_model.QGModel(nx=32)
    in_pyqg_jax(host, BackscatterBiharmonic(eddy), eddy)  # the same: nothing is raised
    with pytest.raises(ConfigError, match=r"beta = 1\.5e-11 \(here beta = 1e-11\).*delta.*rek"):
        in_pyqg_jax(host, BackscatterBiharmonic(jet), jet)
    with pytest.raises(ConfigError, match=r"nx = 32 \(here nx = 48\)"):
        in_pyqg_jax(host, learned(None), TwoLayerQG(48))
    parameterization = PyqgParameterization(learned(None), eddy)
    with pytest.raises(ConfigError, match=r"rek = 1e-07 \(here bottom_drag = 5\.787e-07\)"):
        parameterization(NumpyHost(eddy, rek=1e-7))
    parameterization(NumpyHost(eddy))
    with pytest.raises(ConfigError, match="rek = 1e-07"):  # a later host is looked at, too
        parameterization(NumpyHost(eddy, rek=1e-7))


def test_a_closure_that_does_not_fit_is_refused():
    system = TwoLayerQG(32)
    network = nn.build("psm4", in_channels=2, out_channels=3, key=jax.random.key(0), width=0.125)
    wrong = LearnedClosure(Features(), network, Output())
    with pytest.raises(Exception, match="must map"):
        in_pyqg_jax(qg_model.QGModel(nx=32), wrong, system)
    with pytest.raises(Exception, match="must map"):
        PyqgParameterization(wrong, system)
