"""Agreement of the classical closures with pyqg-jax 0.8.1."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pyqg_jax import parameterizations, qg_model, state

from subgrid.closures import BackscatterBiharmonic, Smagorinsky, ZannaBolton2020
from subgrid.systems import TwoLayerQG

JET = {"rek": 7e-8, "delta": 0.1, "beta": 1e-11}
PAIRS = {
    "smagorinsky": (
        lambda system: Smagorinsky(system, constant=0.15),
        lambda model: parameterizations.smagorinsky.apply_parameterization(model, constant=0.15),
    ),
    "backscatter-biharmonic": (
        lambda system: BackscatterBiharmonic(system),
        lambda model: parameterizations.backscatterbiharmonic.apply_parameterization(
            model, smag_constant=0.007**0.5, back_constant=1.2
        ),
    ),
    "zanna-bolton-2020": (
        lambda system: ZannaBolton2020(system),
        lambda model: parameterizations.zannabolton2020.apply_parameterization(model),
    ),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "configuration", "ny", "constants"),
    [*((name, "eddy", 32, {}) for name in PAIRS), ("backscatter-biharmonic", "jet", 24, JET)],
)
def test_increment_agrees(name, configuration, ny, constants):
    make_ours, make_peer = PAIRS[name]
    system = TwoLayerQG(32, ny, configuration, dtype=jnp.float64)
    # white noise: its content at the Nyquist wavenumbers has to be treated alike as well
    q = 1e-5 * jax.random.normal(jax.random.key(5), (2, *system.grid.shape), system.dtype)
    model = qg_model.QGModel(
        nx=32, ny=ny, W=system.grid.length_y, precision=state.Precision.DOUBLE, **constants
    )
    start = model.create_initial_state(jax.random.key(0)).update(q=q)
    hybrid = make_peer(model)

    @jax.jit
    def peer_increment(start):
        updates = hybrid.get_updates(hybrid.initialize_param_state(start)).model_state
        return updates.q - model.get_updates(start).q

    with jax.numpy_rank_promotion("allow"):  # which pyqg-jax relies on
        reference = np.asarray(peer_increment(start))
    increment, memory = eqx.filter_jit(make_ours(system))(system.State(q))
    assert memory is None
    # both are float64 and differ by the order of operations: 3e-15 was measured
    bound = 1e-12 * np.abs(reference).max(axis=(1, 2), keepdims=True)
    assert np.all(np.abs(np.asarray(increment.q) - reference) <= bound)
