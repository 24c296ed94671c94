"""Laws of the eddy viscosities on a staggered grid."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import StaggeredLeith, StaggeredSmagorinsky
from subgrid.grids.staggered import staggered_laplacian
from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow, KolmogorovState, TwoLayerQG

pytestmark = pytest.mark.usefixtures("float64")
CONSTANT = (StaggeredSmagorinsky, StaggeredLeith)
DYNAMIC = tuple(functools.partial(closure, dynamic=True) for closure in CONSTANT)


@pytest.fixture
def flow():
    """A system and a state that has left its initial condition."""
    system = KolmogorovFlow(32, dtype=jnp.float64)
    model = system.model(0.5 * system.grid.dx / 7)
    start = system.initial_state(key=jax.random.key(2))
    return system, jax.tree.map(lambda x: x[-1], rollout(model, start, 80, 80).states)


def _power(state: KolmogorovState, increment: KolmogorovState) -> float:
    return float(jnp.mean(state.u * increment.u + state.v * increment.v))


@pytest.mark.parametrize("closure", [*CONSTANT, *DYNAMIC])
def test_it_takes_energy_and_keeps_momentum(flow, closure):
    system, state = flow
    increment = closure(system)(state)[0]
    assert _power(state, increment) < 0
    size = float(jnp.max(jnp.abs(increment.u)))
    for part in (increment.u, increment.v):
        assert abs(float(jnp.mean(part))) < 1e-14 * max(size, 1)


@pytest.mark.parametrize("closure", [*CONSTANT, *DYNAMIC])
def test_nothing_happens_at_rest_and_the_gradient_is_finite_there(flow, closure):
    system, state = flow
    still = jax.tree.map(jnp.zeros_like, state)
    assert all(float(jnp.abs(p).max()) == 0 for p in jax.tree.leaves(closure(system)(still)[0]))
    gradient = jax.grad(lambda x: jnp.sum(closure(system)(x)[0].u))(still)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(("closure", "degree"), [(StaggeredSmagorinsky, 2), (StaggeredLeith, 3)])
def test_it_goes_with_the_power_of_its_constant_and_the_square_of_the_flow(flow, closure, degree):
    system, state = flow
    one, two = closure(system, 0.1)(state)[0], closure(system, 0.2)(state)[0]
    np.testing.assert_allclose(two.u, 2**degree * one.u, rtol=1e-12)
    doubled = jax.tree.map(lambda c: 2 * c, state)
    np.testing.assert_allclose(closure(system, 0.1)(doubled)[0].u, 4 * one.u, rtol=1e-12)


def test_smagorinsky_of_uniform_shear_is_a_constant_viscosity():
    """Where |S| is the same everywhere it is ν L u, or 2 ν L u along the flow, as no P acts."""
    system = KolmogorovFlow(64, domain_scale=1, dtype=jnp.float64)
    grid = system.grid
    u = 10 * grid.y[:, None] + 0.001 * np.sin(3 * grid.x + grid.dx)[None, :] * np.ones((64, 1))
    state = KolmogorovState(jnp.asarray(u), jnp.zeros(grid.shape))
    got = StaggeredSmagorinsky(system, 0.15)(state)[0].u
    viscosity = (0.15 * grid.dx) ** 2 * 10.0  # |S| = du/dy
    small = KolmogorovState(jnp.asarray(u) - 10 * grid.y[:, None], state.v)
    inner = slice(8, -8)  # y is not periodic: the ends see a jump
    # 2 ∂x(ν S_xx) is twice ν ∂²u/∂x²: the increment is not projected
    wanted = 2 * viscosity * staggered_laplacian(small.u, grid)
    # of first order in the ratio of the wave's strain to that of the shear, 0.003/10
    np.testing.assert_allclose(got[inner], wanted[inner], atol=2e-3 * float(jnp.abs(wanted).max()))


@pytest.mark.parametrize("closure", DYNAMIC)
def test_the_dynamic_factor_is_dimensionless(flow, closure):
    """Neither faster flow nor a larger domain changes it."""
    system, state = flow
    factor = float(closure(system).factor(state))
    assert 1e-5 < factor < 1
    faster = jax.tree.map(lambda c: 3 * c, state)
    np.testing.assert_allclose(float(closure(system).factor(faster)), factor, rtol=1e-10)
    larger = KolmogorovFlow(32, domain_scale=6, dtype=jnp.float64)
    np.testing.assert_allclose(float(closure(larger).factor(state)), factor, rtol=1e-10)


@pytest.mark.parametrize("closure", [*CONSTANT, *DYNAMIC])
def test_it_shifts_with_the_state(flow, closure):
    system, state = flow
    shift = lambda s: jax.tree.map(lambda c: jnp.roll(c, (2, 5), (0, 1)), s)  # noqa: E731
    got, wanted = closure(system)(shift(state))[0], shift(closure(system)(state)[0])
    for name in ("u", "v"):
        size = float(jnp.abs(getattr(got, name)).max())
        np.testing.assert_allclose(
            getattr(got, name), getattr(wanted, name), rtol=0, atol=1e-12 * size
        )


def test_another_system_is_refused():
    for closure in CONSTANT:
        with pytest.raises(TypeError, match=f"{closure.__name__} is a closure of KolmogorovFlow"):
            closure(TwoLayerQG(16))
