"""Coarsening of velocities on faces and the defect of a coarse step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.coarsening import StaggeredMean, StepDefect, coarse_state_and_defect, subgrid_forcing
from subgrid.errors import ShapeError
from subgrid.grids import PeriodicGrid
from subgrid.stepping import AddAfter, ProjectAfter, SplitModel, rollout
from subgrid.systems import KolmogorovFlow, KolmogorovState, TwoLayerQG

FINE, COARSE = 32, 8


@pytest.fixture
def pair(float64):
    """A developed state of the fine system, both systems and the map between them."""
    fine = KolmogorovFlow(FINE, dtype=jnp.float64)
    coarse = fine.at(COARSE)
    dt = 0.5 * fine.grid.dx / 7
    start = fine.initial_state(key=jax.random.key(0))
    state = jax.tree.map(lambda x: x[-1], rollout(fine.model(dt), start, 50, 50).states)
    return fine, coarse, StaggeredMean(fine.grid, coarse.grid), state, dt


def test_a_coarse_face_is_the_mean_of_the_fine_faces_that_make_it():
    fine, coarse = PeriodicGrid(8, 8, 8.0, 8.0), PeriodicGrid(4, 4, 8.0, 8.0)
    u = jnp.arange(64.0).reshape(8, 8)
    seen = StaggeredMean(fine, coarse)(KolmogorovState(u, u))
    # the east face of the first coarse cell: column 1, rows 0 and 1; its north face: row 1
    assert float(seen.u[0, 0]) == (u[0, 1] + u[1, 1]) / 2
    assert float(seen.v[0, 0]) == (u[1, 0] + u[1, 1]) / 2
    assert float(seen.u[3, 2]) == (u[6, 5] + u[7, 5]) / 2


@pytest.mark.parametrize("shape", [pytest.param((32, 32), marks=pytest.mark.slow), (16, 32)])
def test_a_refined_state_has_no_divergence_and_coarsens_to_what_it_was(float64, shape):
    ny, nx = shape
    fine = KolmogorovFlow(nx, ny, dtype=jnp.float64)
    coarse = fine.at((ny // 4, nx // 4))
    coarsener = StaggeredMean(fine.grid, coarse.grid)
    start = coarse.initial_state(key=jax.random.key(2))
    state = KolmogorovState(start.u + 0.3, start.v - 0.2)  # with some mean momentum
    both = coarsener.refine(jax.tree.map(lambda field: jnp.stack([field, 2 * field]), state))
    assert both.u.shape == (2, *shape)
    np.testing.assert_allclose(both.v[1], 2 * both.v[0], atol=1e-12)
    refined = jax.tree.map(lambda field: field[0], both)
    assert float(jnp.abs(fine.divergence(refined)).max()) < 1e-12
    back = coarsener(refined)
    for name in ("u", "v"):
        np.testing.assert_allclose(getattr(back, name), getattr(state, name), atol=1e-12)


def test_refining_a_wave_gives_that_wave_on_the_finer_faces(float64):
    fine = KolmogorovFlow(256, dtype=jnp.float64)
    coarse = fine.at(64)

    def wave(grid):  # u = sin(3 y - x/2)·3, v = sin(3 y - x/2)/2 of ψ = cos(3 y - x/2)
        x = lambda shift: (np.arange(grid.nx) + shift)[None, :] * grid.dx  # noqa: E731
        y = lambda shift: (np.arange(grid.ny) + shift)[:, None] * grid.dy  # noqa: E731
        u = 3 * np.sin(3 * y(0.5) - x(1) / 2)
        v = np.sin(3 * y(1) - x(0.5) / 2) / 2
        return KolmogorovState(jnp.asarray(u), jnp.asarray(v))

    refined = StaggeredMean(fine.grid, coarse.grid).refine(coarse.project(wave(coarse.grid)))
    # second order of the coarse cell, 3 Δ = 0.6: a shift by half a fine cell would make 0.07
    for name in ("u", "v"):
        error = jnp.abs(getattr(refined, name) - getattr(wave(fine.grid), name)).max()
        assert float(error) < 0.05 * float(jnp.abs(getattr(refined, name)).max())


@pytest.mark.usefixtures("float64")
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), ratio=st.sampled_from([2, 4]))
def test_divergence_free_velocities_stay_so(seed, ratio):
    fine = KolmogorovFlow(16, dtype=jnp.float64)
    coarse = fine.at(16 // ratio)
    state = fine.initial_state(key=jax.random.key(seed))
    seen = StaggeredMean(fine.grid, coarse.grid)(state)
    # velocities of order 7 over cells of order 1
    assert float(jnp.abs(coarse.divergence(seen)).max()) < 1e-13
    for name in ("u", "v"):
        np.testing.assert_allclose(
            jnp.mean(getattr(seen, name)), jnp.mean(getattr(state, name)), atol=1e-14
        )


def test_a_step_with_the_defect_is_the_coarsened_fine_step(pair):
    fine, coarse, coarsener, state, dt = pair
    for substeps in (1, 4):
        seen, defect = coarse_state_and_defect(
            fine, coarse, coarsener, state, substeps * dt, substeps
        )
        stepped = coarse.advance(seen, substeps * dt)
        got = jax.tree.map(lambda x, s, n=substeps: x + n * dt * s, stepped, defect)
        model = fine.model(dt)
        later = jax.tree.map(lambda x: x[-1], rollout(model, state, substeps, substeps).states)
        np.testing.assert_allclose(got.u, coarsener(later).u, rtol=0, atol=1e-13)
        np.testing.assert_allclose(got.v, coarsener(later).v, rtol=0, atol=1e-13)
        assert float(jnp.abs(defect.u).max()) > 0.1  # there is something to learn


def test_the_defect_has_no_divergence(pair):
    fine, coarse, coarsener, state, dt = pair
    _, defect = coarse_state_and_defect(fine, coarse, coarsener, state, dt)
    size = float(jnp.abs(defect.u).max()) / coarse.grid.dx
    # a difference of two velocities divided by dt: roundings of 7/dt
    assert float(jnp.abs(coarse.divergence(defect)).max()) < 1e-10 * size


def test_the_defect_tends_to_the_difference_of_tendencies(pair):
    """But for what each step does first order in dt."""
    fine, coarse, coarsener, state, dt = pair
    by_tendency = subgrid_forcing(fine, coarse, coarsener, state)
    errors = []
    for step in (dt / 10, dt / 20):
        _, defect = coarse_state_and_defect(fine, coarse, coarsener, state, step)
        errors.append(float(jnp.sqrt(jnp.mean((defect.u - by_tendency.u) ** 2))))
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.05 * float(jnp.sqrt(jnp.mean(by_tendency.u**2)))


def test_what_cannot_be_coarsened_is_refused(pair):
    fine, coarse, coarsener, state, _ = pair
    with pytest.raises(
        ValueError, match=r"nx = 12 does not divide 32\. Choose one of \[4, 8, 16\]"
    ):
        StaggeredMean(fine.grid, fine.grid.resized(12))
    with pytest.raises(TypeError, match="east and v on north faces, but got QGState"):
        coarsener(TwoLayerQG(FINE).initial_state(key=jax.random.key(0)))
    with pytest.raises(ShapeError, match="Make the coarsener with the grid of the state"):
        coarsener(coarse.initial_state(key=jax.random.key(0)))
    with pytest.raises(TypeError, match="a single field has no place"):
        coarsener.coarsen(state.u)


class _Pushing:
    """A closure that pushes with a divergence, and remembers nothing."""

    def init(self, state, *, key=None):
        return None

    def __call__(self, state, memory=None, forcing=None):
        return KolmogorovState(jnp.sin(state.u), jnp.cos(state.v)), memory


def test_a_projected_correction_leaves_no_divergence(pair):
    _, coarse, coarsener, state, dt = pair
    seen = coarsener(state)
    left = {}
    for coupling in (AddAfter(), ProjectAfter()):
        model = SplitModel(system=coarse, dt=dt, closure=_Pushing(), coupling=coupling)
        after = model.state(model.step(model.init(seen)))
        left[type(coupling)] = float(jnp.abs(coarse.divergence(after)).max())
    assert left[ProjectAfter] < 1e-13 < 1e-4 < left[AddAfter]


def test_steps_that_cannot_be_are_refused(pair):
    _, coarse, _, _, dt = pair
    with pytest.raises(ValueError, match="substeps must be a whole number of at least 1, got 0"):
        StepDefect(0.1, 0)
    with pytest.raises(ValueError, match=r"dt must be positive, got -1\.0"):
        SplitModel(system=coarse, dt=-1.0)
    with pytest.raises(TypeError, match="TwoLayerQG does not"):
        SplitModel(system=TwoLayerQG(16), dt=dt)
