"""Two systems that nothing of subgrid knows: a line with its own scheme, a basin with a coast."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.coarsening import subgrid_forcing
from subgrid.stepping import RK4, rollout
from subgrid.systems.laws import system_laws

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
sys.path.append(str(EXAMPLES))

from basin_system import Basin, BasinState, WaterMean  # noqa: E402
from kuramoto_sivashinsky import ETDRK4, KSState, KuramotoSivashinsky, Truncation  # noqa: E402


@pytest.mark.parametrize("system", [KuramotoSivashinsky(64), Basin(16)], ids=["line", "basin"])
def test_every_law_holds(system):
    assert not [law for law in system_laws(system) if law.holds is False]


@pytest.mark.usefixtures("float64")
def test_the_exponential_scheme_is_of_fourth_order_and_agrees_with_runge_kutta():
    system = KuramotoSivashinsky(32, 2 * np.pi * 3)
    x = system.domain.x / 3
    start = KSState(jnp.asarray(np.cos(x) * (1 + np.sin(x))))

    def end(dt, scheme=None):
        steps = round(1.0 / dt)
        return rollout(system.model(dt, scheme=scheme), start, steps, steps).states.u[0]

    exact = end(1 / 2048, RK4())  # agrees with the exponential scheme to 4e-12
    errors = [float(jnp.max(jnp.abs(end(dt) - exact))) for dt in (1 / 64, 1 / 128)]
    assert errors[1] < 1e-9
    # stiff: 3.0 at 1/8, 3.5 at 1/16 and so on
    assert 3.8 < np.log2(errors[0] / errors[1]) < 4.1
    # dissipation alone is exact at any step
    slow = system.model(10.0).scheme
    assert isinstance(slow, ETDRK4)
    np.testing.assert_allclose(slow.coefficients[1], np.exp(10 * system.growth()), rtol=1e-12)


def test_mean_and_content_are_kept():
    line, basin = KuramotoSivashinsky(64), Basin(16)
    state = line.initial_state(key=jax.random.key(0))
    # float32 sums of rates that reach ten
    assert abs(float(jnp.mean(line.tendency(state).u))) < 1e-4
    state = basin.initial_state(key=jax.random.key(1))
    wind = basin.forcing_at(jnp.asarray(0.7))
    rate = basin.tendency(state, wind).c
    assert abs(float(jnp.sum(rate))) < 1e-4 * float(jnp.sum(jnp.abs(rate)))
    assert not np.any(np.asarray(rate)[~basin.domain.mask])
    calm = BasinState(jnp.asarray(basin.domain.mask, jnp.float32))
    # a uniform tracer stays uniform: the wind neither diverges nor blows through the coast
    np.testing.assert_allclose(basin.tendency(calm, wind).c, 0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("fine", "size", "operator"),
    [(KuramotoSivashinsky(64), 24, Truncation), (Basin(16), 8, WaterMean)],
)
def test_what_a_coarse_model_misses_is_found(fine, size, operator):
    coarse = fine.at(size)
    coarsener = operator.between(fine, coarse)
    state = fine.initial_state(key=jax.random.key(0))
    (missing,) = jax.tree.leaves(subgrid_forcing(fine, coarse, coarsener, state))
    assert missing.shape == coarse.domain.shape
    assert float(jnp.max(jnp.abs(missing))) > 0
