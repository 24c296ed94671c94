"""What systems are observed by: the table and the values agree, for any number of layers."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ConfigError
from subgrid.evaluation import RunPlan, compare, free_runs, reference_statistics
from subgrid.evaluation import table as read
from subgrid.evaluation.components import all_components, component_words, components_of_system
from subgrid.systems import SYSTEMS, BarotropicVorticity, Quantity, TwoLayerQG, level_names
from subgrid.systems.base import AbstractSystem
from subgrid.systems.quantities import LEVEL_NAMES
from subgrid.types import Variable

MADE = {name: SYSTEMS.get(name)(16, 16) for name in SYSTEMS.names()}
LAYERED = ("kinetic_energy_spectrum", "enstrophy_spectrum")


class ThreeLayers(AbstractSystem):
    """Three layers of a field that decays, each at its own rate."""

    State = TwoLayerQG.State
    drawn = TwoLayerQG.drawn
    quantities: ClassVar = tuple(
        Quantity(name, ("level", "wavenumber"), "m s-2", "spectrum of a layer") for name in LAYERED
    )
    named: bool = True

    @property
    def domain(self):
        return MADE["qg"].grid

    @property
    def grid(self):
        return self.domain

    @property
    def variables(self):
        return (Variable("q", ("level", "y", "x"), "s-1", "a field"),)

    def coordinates(self):
        attributes = {LEVEL_NAMES: "top middle bottom"} if self.named else {}
        return {**MADE["qg"].coordinates(), "level": (np.array([1, 2, 3]), attributes)}

    def initial_state(self, *, key):
        return self.State(jax.random.normal(key, (3, 16, 16)))

    def tendency(self, state, forcing=None):
        return self.State(-jnp.array([1.0, 2.0, 3.0])[:, None, None] * state.q)

    def diagnostics(self, state):
        return {}

    def default_scheme(self):
        return MADE["qg"].default_scheme()

    def observe(self, state, increment=None):
        hat = jnp.fft.rfft2(state.q)
        density = hat.real**2 + hat.imag**2
        return dict.fromkeys(LAYERED, density)

    def field(self, state):
        return state.q

    def values(self, fields):
        return {"q": np.moveaxis(fields, 1, 0).reshape(3, -1)}


@pytest.mark.parametrize("name", MADE)
def test_what_is_observed_is_what_the_table_says(name):
    system = MADE[name]
    state = system.initial_state(key=jax.random.key(0))
    seen = system.observe(state, state)
    assert set(seen) == {quantity.name for quantity in system.quantities}
    ends = {dim: (len(values),) for dim, (values, _) in system.coordinates().items()}
    ends |= {"time": (), "level": (len(components_of_system(system)),)}
    if system.domain.has_spectrum:
        ends["wavenumber"] = system.domain.spectral_shape
    for quantity in system.quantities:
        wanted = sum((ends[dim] for dim in quantity.dims), ())
        assert seen[quantity.name].shape == wanted, quantity.name
    alone = {quantity.name for quantity in system.quantities if not quantity.of_closure}
    assert set(system.observe(state)) == alone


@pytest.mark.parametrize("name", MADE)
def test_the_field_is_linear_and_has_its_components(name):
    system = MADE[name]
    state = system.initial_state(key=jax.random.key(0))
    field = system.field(state)
    components = (len(components_of_system(system)),) if system.drawn.components else ()
    assert field.shape == (*components, *system.domain.shape)
    twice = system.field(jax.tree.map(lambda leaf: 2 * leaf, state))
    # a factor of two is exact in floating point
    np.testing.assert_array_equal(twice, 2 * field)
    found = system.values(np.asarray(field)[None])
    assert all(len(value) == (len(field) if components else 1) for value in found.values())


def test_the_work_of_a_closure_on_barotropic_flow_is_the_change_of_energy(float64):
    system = BarotropicVorticity(64, dtype=jnp.float64)
    state, increment = (system.initial_state(key=jax.random.key(n)) for n in (0, 1))
    density = np.asarray(system.observe(state, increment)["closure_work"])
    energy = lambda state: system.diagnostics(state)["kinetic_energy"]  # noqa: E731
    _, change = jax.jvp(energy, (state,), (increment,))
    # the half plane leaves out the columns of negative k
    total = 2 * density.sum() - density[:, 0].sum() - density[:, -1].sum()
    # 64² terms of both signs in double precision
    np.testing.assert_allclose(total, float(change), rtol=1e-9)


def test_the_spectrum_of_barotropic_flow_sums_to_its_energy(float64):
    system = BarotropicVorticity(64, dtype=jnp.float64)
    state = system.initial_state(key=jax.random.key(0))
    seen = system.observe(state)
    for spectrum, total in zip(LAYERED, ("total_kinetic_energy", "total_enstrophy"), strict=True):
        density = np.asarray(seen[spectrum])[0]
        summed = 2 * density.sum() - density[:, 0].sum() - density[:, -1].sum()
        # velocities leave out the Nyquist waves, of which this smooth state has 1e-14
        np.testing.assert_allclose(summed, float(seen[total]), rtol=1e-6)


@pytest.mark.parametrize(("named", "layers"), [(True, "top middle bottom"), (False, "1 2 3")])
def test_three_layers_are_run_and_scored_each_by_its_name(named, layers):
    system, names = ThreeLayers(named), tuple(layers.split())
    plan = RunPlan(8, 2, average_from=0, snapshots=1)
    start = jax.vmap(lambda key: system.initial_state(key=key))(
        jax.random.split(jax.random.key(0), 3)
    )
    run = free_runs(system.model(0.01), start, plan)
    slow = free_runs(system.model(0.005), start, plan)
    assert tuple(component_words(run[LAYERED[0]])) == tuple(components_of_system(system)) == names
    runs = {"none": slow, "fast": run}
    table = compare(runs, slow, ["spectral_error"], "none", system=system, cut=2e-5)
    assert read.places(table, "spectral_error") == [(q, n) for q in LAYERED for n in names]
    # the bottom decays three times as fast as the top, so its error is the larger share
    place = {"model": "fast", "quantity": "enstrophy_spectrum", "end": "estimate"}
    errors = [read.value(table, "spectral_error_mean", component=n, **place) for n in names]
    assert errors == sorted(errors)
    assert all_components(read.words(table, "enstrophy_spectrum")).startswith(" of all 3 l")


def test_a_system_without_quantities_is_refused_before_it_runs():
    class Silent(ThreeLayers):
        quantities: ClassVar = ()

    system = Silent()
    start = jax.vmap(lambda key: system.initial_state(key=key))(jax.random.key(0)[None])
    with pytest.raises(ConfigError, match=r"Silent .*`quantities` with `observe`"):
        free_runs(system.model(0.01), start, RunPlan(2, 1))
    with pytest.raises(ConfigError, match="Silent"):
        reference_statistics(system, np.zeros((1, 2, 3, 16, 16)), None, save_every=1, dt=0.1)


def test_levels_are_called_by_name_or_number():
    assert level_names(np.array([1, 2]), {LEVEL_NAMES: "upper lower"}) == ("upper", "lower")
    assert level_names(np.array([1, 2, 3]), {LEVEL_NAMES: "upper lower"}) == ("1", "2", "3")
    assert level_names(np.array([10.0, 20.0]), {}) == ("10.0", "20.0")
