"""Agreement of Kolmogorov flow with jax-cfd 0.2.1, whose arrays are [x, y]."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow

pytestmark = pytest.mark.usefixtures("float64", "old_jax_name")


@pytest.fixture
def old_jax_name(monkeypatch):
    """jax-cfd 0.2.1 calls a function by a name that JAX has dropped."""
    monkeypatch.setattr(jax, "tree_map", jax.tree.map, raising=False)


def _peer_step(system: KolmogorovFlow, dt: float):
    from jax_cfd.base import advection, boundaries, equations, forcings, grids

    grid, c = system.grid, {name: float(value) for name, value in system.constants.items()}
    peer_grid = grids.Grid((grid.nx, grid.ny), domain=((0, grid.length_x), (0, grid.length_y)))
    sine = forcings.kolmogorov_forcing(
        peer_grid, scale=c["forcing_amplitude"], k=c["forcing_wavenumber"]
    )
    drag = forcings.linear_forcing(peer_grid, -c["drag"])
    step = equations.implicit_diffusion_navier_stokes(
        density=1.0,
        viscosity=c["viscosity"],
        dt=dt,
        grid=peer_grid,
        convect=lambda velocity: tuple(
            advection.advect_van_leer_using_limiters(part, velocity, dt) for part in velocity
        ),
        forcing=forcings.sum_forcings(sine, drag),
    )
    boundary = boundaries.periodic_boundary_conditions(2)

    def apply(state):
        velocity = tuple(
            grids.GridVariable(grids.GridArray(part.T, offset, peer_grid), boundary)
            for part, offset in ((state.u, (1.0, 0.5)), (state.v, (0.5, 1.0)))
        )
        after = step(velocity)
        return system.State(after[0].data.T, after[1].data.T)

    return apply


@pytest.mark.parametrize(
    ("nx", "ny", "scale"),
    [
        pytest.param(64, 64, 2, marks=pytest.mark.slow),
        (32, 48, 2),
        pytest.param(48, 24, 1, marks=pytest.mark.slow),
    ],
    ids=["square", "tall", "wide"],
)
def test_a_step_agrees(nx, ny, scale):
    system = KolmogorovFlow(nx, ny, domain_scale=scale, dtype=jnp.float64)
    dt = 0.5 * system.grid.dx / 7
    start = system.initial_state(key=jax.random.key(0))
    # developed a little: both branches of upwind and limiter are taken everywhere
    state = jax.tree.map(lambda frames: frames[-1], rollout(system.model(dt), start, 50, 50).states)
    ours, theirs = system.advance(state, dt), _peer_step(system, dt)(state)
    for name in ("u", "v"):
        got, wanted = getattr(ours, name), getattr(theirs, name)
        assert float(jnp.abs(got - getattr(state, name)).max()) > 1e-3  # the step does something
        # a few roundings of velocities of order 7
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


def test_a_hundred_steps_agree():
    system = KolmogorovFlow(32, dtype=jnp.float64)
    dt = 0.5 * system.grid.dx / 7
    start = system.initial_state(key=jax.random.key(1))
    theirs = jax.lax.scan(
        lambda state, _: (_peer_step(system, dt)(state), None), start, length=100
    )[0]
    ours = rollout(system.model(dt), start, 100, 100).states
    # roundings grow with the flow's own instability, here by less than a hundred
    np.testing.assert_allclose(ours.u[0], theirs.u, rtol=0, atol=1e-11)
    np.testing.assert_allclose(ours.v[0], theirs.v, rtol=0, atol=1e-11)
