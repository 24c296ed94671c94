"""Laws of the classical closures of two-layer QG: symmetry, means, scaling, energy, gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgrid.closures import (
    CLOSURES,
    BackscatterBiharmonic,
    HybridSymbolic,
    Smagorinsky,
    ZannaBolton2020,
)
from subgrid.grids import Points
from subgrid.stepping import Euler
from subgrid.systems import AbstractSystem, TwoLayerQG

CLASSICAL = ("smagorinsky", "backscatter-biharmonic", "zanna-bolton-2020", "hybrid-symbolic")
QUADRATIC = CLASSICAL[:3]
GRID = (24, 16)


class Decay(AbstractSystem):
    """dx/dt = -x: another system than two-layer QG."""

    State = dict
    variables = ()
    domain = Points(3)

    def initial_state(self, *, key):
        return {"x": jax.random.normal(key, (3,))}

    def tendency(self, state, forcing=None):
        return {"x": -state["x"]}

    def diagnostics(self, state):
        return {}

    def default_scheme(self):
        return Euler()


seeds = st.integers(0, 2**31 - 1)
increment_of = eqx.filter_jit(lambda closure, state: closure(state)[0])


def pv(seed: int, dtype=np.float64) -> jax.Array:
    """Return random PV [2, 16, 24] with a falling spectrum and realistic sizes, 1/s."""
    generator = np.random.default_rng(seed)
    hat = np.fft.rfft2(generator.standard_normal((2, GRID[1], GRID[0])))
    columns, rows = np.fft.rfftfreq(GRID[0], 1 / GRID[0]), np.fft.fftfreq(GRID[1], 1 / GRID[1])
    waves = np.hypot(columns[None, :], rows[:, None])
    q = np.fft.irfft2(hat / (1 + waves), s=(GRID[1], GRID[0]))
    q *= np.array([8e-6, 1e-6])[:, None, None] / q.std(axis=(1, 2), keepdims=True)
    return jnp.asarray(q, dtype)


def system64() -> TwoLayerQG:
    return TwoLayerQG(*GRID, dtype=jnp.float64)


def power(system: TwoLayerQG, state, increment) -> float:
    """Return the rate at which an increment changes the total energy, -Σ_i H_i/H <ψ_i dq_i>."""
    psi = system.streamfunction(state)
    return float(-jnp.sum(system.layer_weights * jnp.mean(psi * increment.q, axis=(1, 2))))


@pytest.mark.parametrize("name", CLASSICAL)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, rows=st.integers(0, 15), columns=st.integers(0, 23))
def test_shift_equivariance_and_zero_mean(name, seed, rows, columns):
    with jax.enable_x64(True):
        system = system64()
        closure = CLOSURES.get(name)(system)
        q = pv(seed)
        plain = increment_of(closure, system.State(q)).q
        shifted = increment_of(closure, system.State(jnp.roll(q, (rows, columns), (1, 2)))).q
        largest = float(jnp.abs(plain).max())
        # float64 transforms of shifted fields differ in rounding, amplified by up to κ⁶ weights
        np.testing.assert_allclose(
            shifted, jnp.roll(plain, (rows, columns), (1, 2)), rtol=0, atol=1e-11 * largest
        )
        assert np.abs(plain.mean(axis=(1, 2))).max() < 1e-14 * largest


@pytest.mark.parametrize("name", QUADRATIC)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, factor=st.floats(0.1, 10))
def test_quadratic_in_amplitude(name, seed, factor):
    with jax.enable_x64(True):
        system = system64()
        closure = CLOSURES.get(name)(system)
        once = increment_of(closure, system.State(pv(seed))).q
        scaled = increment_of(closure, system.State(factor * pv(seed))).q
        atol = 1e-12 * factor**2 * float(jnp.abs(once).max())  # rounding of float64
        np.testing.assert_allclose(scaled, factor**2 * once, rtol=0, atol=atol)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, factor=st.floats(0.1, 10))
def test_scaling_with_the_constants(seed, factor):
    with jax.enable_x64(True):
        system = system64()
        state = system.State(pv(seed))
        viscous = [increment_of(Smagorinsky(system, c), state).q for c in (0.1, 0.1 * factor)]
        bolton = [increment_of(ZannaBolton2020(system, k), state).q for k in (-1e7, -1e7 * factor)]
        for (one, other), expected in ((viscous, factor**2), (bolton, factor)):
            atol = 1e-12 * expected * float(jnp.abs(one).max())  # rounding of float64
            np.testing.assert_allclose(other, expected * one, rtol=0, atol=atol)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_smagorinsky_takes_the_energy_that_viscosity_dissipates(seed):
    with jax.enable_x64(True):
        system = system64()
        state = system.State(pv(seed))
        u, v = (np.fft.rfft2(np.asarray(part)) for part in system.velocity(state))
        k, l = system.grid.k[None, None, :], system.grid.l[None, :, None]
        inverse = lambda hat: np.fft.irfft2(hat, s=system.grid.shape)  # noqa: E731
        sxx, syy, sxy = inverse(1j * k * u), inverse(1j * l * v), inverse(0.5j * (l * u + k * v))
        square = 2 * (sxx**2 + syy**2 + 2 * sxy**2)
        viscosity = 0.15**2 * system.grid.dx * system.grid.dy * np.sqrt(square)
        dissipated = np.asarray(system.layer_weights) @ (viscosity * square).mean(axis=(1, 2))
        increment = increment_of(Smagorinsky(system), state)
        assert power(system, state, increment) < 0
        # the discrete sums agree by parts: only rounding is left
        np.testing.assert_allclose(power(system, state, increment), -dissipated, rtol=1e-10)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, returned=st.just(0.0) | st.floats(1e-30, 2.0))  # what float32 holds
def test_backscatter_returns_its_share_of_the_energy(seed, returned):
    with jax.enable_x64(True):
        system = system64()
        state = system.State(pv(seed))
        alone = increment_of(BackscatterBiharmonic(system, backscatter_constant=0.0), state)
        both = increment_of(BackscatterBiharmonic(system, backscatter_constant=returned), state)
        removed = power(system, state, alone)
        assert removed < 0
        # rounding, relative to the two powers of which the result is the difference
        expected = (1 - returned) * removed
        np.testing.assert_allclose(
            power(system, state, both), expected, rtol=0, atol=1e-10 * abs(removed)
        )


def _direct_hybrid(system: TwoLayerQG, q: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Evaluate the seven terms one by one, each derivative in its own trip through spectra."""
    k, l = system.grid.k[None, None, :], system.grid.l[None, :, None]
    shear = np.array([0.025, 0.0])[:, None, None]

    def derived(factor, field):
        return np.fft.irfft2(factor * np.fft.rfft2(field), s=system.grid.shape)

    def ddx(field):
        return derived(1j * k, field)

    def ddy(field):
        return derived(1j * l, field)

    def laplacian(field):
        return derived(-(k**2) - l**2, field)

    psi = np.asarray(system.streamfunction(system.State(jnp.asarray(q))))
    u, v = -ddy(psi), ddx(psi)

    def advected(field):
        return ddx((u + shear) * field) + ddy(v * field)

    first = laplacian(advected(q))
    fourth = laplacian(laplacian(q))
    terms = [
        first,
        laplacian(first),
        laplacian(laplacian(first)),
        fourth,
        laplacian(fourth),
        advected(advected(ddx(laplacian(v)))),
        advected(advected(ddy(laplacian(u)))),
    ]
    return sum(w[:, None, None] * term for w, term in zip(weights, terms, strict=True))


@pytest.mark.usefixtures("float64")
def test_hybrid_symbolic_agrees_with_a_direct_evaluation():
    system = system64()
    # without the Nyquist wavenumbers, where derivatives one by one drop what κ⁴ keeps
    hat = np.fft.rfft2(np.asarray(pv(3)))
    hat[:, GRID[1] // 2] = hat[:, :, -1] = 0
    q = np.fft.irfft2(hat, s=system.grid.shape)
    weights = np.asarray(HybridSymbolic(system).weights)
    for term in range(7):
        alone = np.zeros_like(weights)
        alone[term] = weights[term]
        ours = increment_of(HybridSymbolic(system, alone), system.State(jnp.asarray(q))).q
        direct = _direct_hybrid(system, q, alone)
        # float64 rounding through six transforms and κ⁶, per layer
        bound = 1e-10 * np.abs(direct).max(axis=(1, 2), keepdims=True)
        assert np.all(np.abs(np.asarray(ours) - direct) <= bound), f"term {term + 1}"


@pytest.mark.parametrize("name", CLASSICAL)
def test_single_precision_is_close_to_double(name):
    with jax.enable_x64(True):
        double = increment_of(CLOSURES.get(name)(system64()), TwoLayerQG.State(pv(7))).q
        single_system = TwoLayerQG(*GRID, dtype=jnp.float32)
        state = TwoLayerQG.State(pv(7, np.float32))
        single = increment_of(CLOSURES.get(name)(single_system), state).q
        assert single.dtype == jnp.float32
        # float32 has 6e-8; up to six derivatives amplify it at the smallest scales
        atol = 1e-4 * float(jnp.abs(double).max())
        np.testing.assert_allclose(single, double, rtol=0, atol=atol)


@pytest.mark.parametrize("name", CLASSICAL)
def test_at_rest_nothing_happens_and_gradients_are_finite(name):
    system = TwoLayerQG(*GRID)
    rest = system.State(jnp.zeros((2, *system.grid.shape)))

    @eqx.filter_jit
    def value_and_gradient(closure, state):
        def total(parts):
            return jnp.sum(parts[0](parts[1])[0].q)

        return eqx.filter_value_and_grad(total)((closure, state))

    value, gradient = value_and_gradient(CLOSURES.get(name)(system), rest)
    assert value == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.usefixtures("float64")
def test_gradient_of_the_constant_agrees_with_a_finite_difference():
    system = system64()
    state = system.State(pv(11))

    @jax.jit
    def total(constant):
        return 1e20 * jnp.sum(Smagorinsky(system, constant)(state)[0].q ** 2)

    slope = float(jax.grad(total)(0.15))
    step = 1e-5  # central difference of a fourth power: relative error (step/0.15)² ≈ 5e-9
    difference = float(total(0.15 + step) - total(0.15 - step)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-7)


def test_a_sweep_compiles_once():
    system = TwoLayerQG(*GRID)
    traced = []

    @eqx.filter_jit
    def run(closure, state):
        traced.append(1)
        return closure(state)[0]

    state = system.State(pv(1, np.float32))
    results = [run(Smagorinsky(system, c), state).q for c in (0.1, 0.15, 0.2)]
    assert len(traced) == 1
    assert float(jnp.abs(results[2]).max()) > float(jnp.abs(results[0]).max())


@pytest.mark.parametrize("name", CLASSICAL)
def test_other_systems_are_refused(name):
    with pytest.raises(TypeError, match="closure of TwoLayerQG, got a system of class"):
        CLOSURES.get(name)(Decay())


def test_wrong_number_of_weights_is_refused():
    with pytest.raises(ValueError, match=r"weights must be \[7, 2\]"):
        HybridSymbolic(TwoLayerQG(*GRID), np.zeros((5, 2)))
