"""Constants of closures: what is no finite number is named when the closure is built."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import (
    BackscatterBiharmonic,
    EnergyLimit,
    HybridSymbolic,
    ScaleCut,
    Smagorinsky,
    StaggeredLeith,
    StaggeredSmagorinsky,
    ZannaBolton2020,
)
from subgrid.errors import ConfigError, KindError
from subgrid.nn import Cascade, build
from subgrid.systems import KolmogorovFlow, TwoLayerQG

CONSTANTS = [
    (Smagorinsky, TwoLayerQG, "constant"),
    (BackscatterBiharmonic, TwoLayerQG, "smagorinsky_constant"),
    (BackscatterBiharmonic, TwoLayerQG, "backscatter_constant"),
    (ZannaBolton2020, TwoLayerQG, "kappa"),
    (StaggeredSmagorinsky, KolmogorovFlow, "constant"),
    (StaggeredLeith, KolmogorovFlow, "constant"),
]


@pytest.mark.parametrize(("closure", "system", "name"), CONSTANTS)
def test_every_constant_of_every_closure_is_checked(untyped, closure, system, name):
    system = system(8)
    for value in (True, "0.15", None):
        with pytest.raises(KindError, match=f"{name} must be a number"):
            closure(system, **{name: value})
    for value in (float("nan"), jnp.float32(jnp.inf), 1e308, 1e-320):
        with pytest.raises(ConfigError, match=f"{name} must be "):
            closure(system, **{name: value})
    with pytest.raises(ConfigError, match=rf"{name} must be \[\] numbers, got \[2\]"):
        closure(system, **{name: jnp.ones(2)})
    same = [closure(system, **{name: kind(0.5)}) for kind in (float, np.float32, jnp.float32)]
    assert {float(getattr(one, name)) for one in same} == {0.5}


def test_a_sweep_over_a_constant_is_still_one_program():
    system = TwoLayerQG(8)
    found = jax.vmap(lambda c: Smagorinsky(system, c).constant)(jnp.array([0.1, jnp.nan]))
    assert found.shape == (2,)  # what is traced has no values to look at


def test_arrays_of_constants_are_checked_by_entry(untyped):
    system = TwoLayerQG(8)
    for weights, message in (
        (np.full((7, 2), np.nan), "weights must be a finite number, got"),
        ([["1"] * 2] * 7, "weights must hold numbers"),
        (np.ones((7, 2), bool), "weights must hold numbers"),
    ):
        with pytest.raises(ConfigError, match=message):
            HybridSymbolic(system, weights)


def test_switches_are_booleans(untyped):
    with pytest.raises(KindError, match="dynamic must be true or false, got 'false'"):
        StaggeredSmagorinsky(KolmogorovFlow(8), dynamic="false")


def test_constraints_take_numbers(untyped):
    for kind, name in ((ScaleCut, "share"), (EnergyLimit, "energy limit")):
        for value in ("0.5", float("nan"), True):
            with pytest.raises(ConfigError, match=f"{name} must be a"):
                kind(value)


def test_networks_have_whole_sizes_and_a_finite_width(untyped):
    key = jax.random.key(0)
    channels = {"in_channels": np.int64(2), "out_channels": np.int64(2)}
    assert build("4x3-x3", **channels, key=key).in_channels == 2
    for width in (float("nan"), float("inf"), True, "1", 0.0):
        with pytest.raises(ConfigError, match="width must be "):
            build("4x3-x3", **channels, key=key, width=width)
    with pytest.raises(KindError, match="in_channels must be a whole number"):
        build("x3", in_channels=2.0, out_channels=2, key=key)
    one = build("x3", in_channels=2, out_channels=2, key=key)
    with pytest.raises(KindError, match=r"size must be a whole number of at least 1, got 8\.5"):
        Cascade([one], [8.5])
