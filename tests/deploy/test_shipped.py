"""The shipped bundles: small, whole, and ready for the model that they name."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import check_closure, in_system, load_closure
from subgrid.config import load_config
from subgrid.deploy import bundles, load_bundle, pretrained
from subgrid.errors import ConfigError
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG

QG = [name for name in bundles() if name.startswith("qg-")]
KF = [name for name in bundles() if name.startswith("kf-")]


def test_all_together_are_below_five_megabytes():
    assert {"qg-eddy-64-compact", "qg-eddy-64-psm4pmd8", "kf-64-multiscale"} <= set(bundles())
    assert {*QG, *KF} == set(bundles())
    assert sum(load_bundle(name).size for name in bundles()) < 5e6


@pytest.mark.parametrize("name", QG)
def test_a_bundle_runs_in_the_model_it_names(name):
    bundle = load_bundle(name)
    system = bundle.system()
    assert (system.grid.nx, system.configuration) == (64, "eddy")
    closure = pretrained(name)
    check_closure(closure, system)
    state = system.State(1e-6 * jax.random.normal(jax.random.key(0), (2, 64, 64)))
    increment = closure(state, closure.init(state, key=None))[0].q
    assert np.all(np.isfinite(increment))
    np.testing.assert_allclose(jnp.mean(increment, axis=(1, 2)), 0, atol=1e-16)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n != "kf-64-compact" else n for n in KF]
)
def test_a_bundle_of_kolmogorov_flow_gives_energy_to_the_model_it_names(name):
    bundle = load_bundle(name)
    system, dt = bundle.system(), bundle.metadata["dt"]
    assert (system.grid.nx, system.configuration, dt) == (64, "otness2025", 0.014)
    assert bundle.metadata["valid_for"]["target"] == "what a step of 0.014 misses"
    closure = pretrained(name)
    check_closure(closure, system)
    start = system.initial_state(key=jax.random.key(0))
    energies = {}
    for what, one in (("alone", None), ("closed", closure)):
        states = rollout(system.model(dt, one), start, 300, 300).states
        u, v = (np.asarray(field)[-1] for field in (states.u, states.v))
        energies[what] = float(np.mean(u**2 + v**2)) / 2
    assert np.isfinite(energies["closed"])
    # the coarse model loses too much: what is added is the point of it
    assert 1.2 < energies["closed"] / energies["alone"] < 2.5


@pytest.mark.parametrize("name", QG)
def test_its_units_are_those_of_published_scalers(name):
    # standard deviations of q (1/s) and S (1/s²) at 64² under operator 1, Ross et al. 2023
    closure = pretrained(name)
    published = np.array([7.015e-12, 1.108e-13])
    np.testing.assert_allclose(closure.features.scaler.scale[:2], [7.871e-6, 1.039e-6], rtol=0.15)
    scale = np.asarray(closure.output.scaler.scale)
    if closure.output.reaches_all:
        np.testing.assert_allclose(scale, published, rtol=0.15)
    else:  # in units of the part of the forcing that it predicts
        np.testing.assert_allclose(scale / published, 0.2, rtol=0.2)  # √ of its share, 5 and 3 %


@pytest.mark.parametrize("name", bundles())
def test_a_card_says_what_it_was_made_of_and_how_good_it_is(name):
    card = load_bundle(name).card
    truth = "256 x 256 cells" if name in QG else "512 x 512 cells"
    for part in (truth, "best validation loss", "R²", "KE-spectrum", "## Limits"):
        assert part in card
    assert ("It follows the truth for " in card) == (name in KF)


def test_the_scorecard_uses_what_is_shipped():
    for profile in ("laptop", "laptop-jet"):
        config = load_config("ross2023", profile)
        assert {model.bundle for model in config.pretrained()} <= set(bundles())


@pytest.mark.parametrize("name", QG)
def test_a_bundle_runs_in_no_other_system_unless_it_is_moved(name):
    closure, jet = pretrained(name), TwoLayerQG(64, configuration="jet")
    with pytest.raises(ConfigError, match=r"another system.*configuration.*eddy.*jet"):
        jet.model(3600.0, closure)
    if not closure.moves({}):
        return  # its derivatives stay on its grid
    check_closure(in_system(closure, jet), jet)
    jet.model(3600.0, in_system(closure, jet))


def test_the_system_of_a_file_is_the_one_that_its_settings_build():
    """With the same bits, and constants that act."""
    folder = load_bundle("qg-eddy-64-compact-whole-tendency").folder
    stored, today = load_closure(folder).system, TwoLayerQG(64)
    assert jax.tree.structure(stored) == jax.tree.structure(today)
    assert stored.settings() == today.settings()
    state = today.State(1e-6 * jax.random.normal(jax.random.key(0), (2, 64, 64)))
    tendency = jax.jit(lambda system: system.tendency(state).q)
    np.testing.assert_array_equal(tendency(stored), tendency(today))
    changed = eqx.tree_at(lambda s: s.constants["beta"], stored, jnp.float32(3e-11))
    wanted = tendency(TwoLayerQG(64, beta=3e-11))
    # coefficients in float32 instead of float64
    np.testing.assert_allclose(
        tendency(changed), wanted, rtol=0, atol=2e-5 * float(jnp.abs(wanted).max())
    )
