"""Constants of systems and time steps: what is no finite number is named before anything runs."""

import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.coarsening import StepDefect
from subgrid.errors import ConfigError, KindError
from subgrid.stepping import Model, SplitModel
from subgrid.systems import BarotropicVorticity, KolmogorovFlow, TwoLayerQG

SYSTEMS = (TwoLayerQG, KolmogorovFlow, BarotropicVorticity)
NOT_NUMBERS = ("nx", "ny", "configuration", "dealias", "dtype")


def numbers_of(system):
    """Return every argument of a system that is a number."""
    return [name for name in system(16).settings() if name not in NOT_NUMBERS]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_number_of_every_system_is_checked(untyped, system):
    names = numbers_of(system)
    assert len(names) >= 6
    for name in names:
        for value in (True, "1.5e-11", np.array([1.0, 2.0])):
            with pytest.raises(KindError, match=f"{name} must be a number"):
                system(16, **{name: value})
        for value in (float("nan"), float("inf"), 1e308, 1e-320):
            with pytest.raises(ConfigError, match=f"{name} must be "):
                system(16, **{name: value})


@pytest.mark.parametrize("system", SYSTEMS)
def test_numbers_of_numpy_and_jax_give_the_same_system(system):
    for name in numbers_of(system):
        value = system(16).settings()[name]
        plain = system(16, **{name: value})
        for same in (np.float64(value), np.array(value)):
            assert system(np.int64(16), np.int32(16), **{name: same}).settings() == plain.settings()
    name = {TwoLayerQG: "bottom_drag"}.get(system, "drag")
    for same in (np.float32(0.25), jnp.float32(0.25)):
        assert float(system(16, **{name: same}).constants[name]) == 0.25


@pytest.mark.parametrize(
    ("system", "arguments", "message"),
    [
        (TwoLayerQG, {"dealias": "false"}, "dealias must be true or false"),
        (BarotropicVorticity, {"dealias": 1}, "dealias must be true or false"),
        (TwoLayerQG, {"configuration": 3}, "configuration must be text, one of eddy, jet, got 3"),
        (KolmogorovFlow, {"configuration": None}, "configuration must be text"),
        (TwoLayerQG, {"dtype": "banana"}, "dtype must be float32 or float64"),
        (TwoLayerQG, {"ny": 0}, "ny must be an even whole number of at least 4, got 0"),
        (TwoLayerQG, {"length_y": 0.0}, "length_y must be positive"),
        (TwoLayerQG, {"pv_bound": 0.0}, "pv_bound must be positive"),
        (KolmogorovFlow, {"velocity_bound": -1.0}, "velocity_bound must be positive"),
        (BarotropicVorticity, {"vorticity_bound": -1.0}, "vorticity_bound must be positive"),
        (TwoLayerQG, {"filter_sharpness": -1.0}, "filter_sharpness must not be negative"),
        (KolmogorovFlow, {"drag": -1.0}, "drag must not be negative"),
    ],
)
def test_what_makes_no_sense_is_named(untyped, system, arguments, message):
    with pytest.raises(ConfigError, match=message):
        system(16, **arguments)


@pytest.mark.parametrize("nx", [True, 16.0, "16", 15, 10**12])
def test_sizes_are_even_whole_numbers(untyped, nx):
    for system in SYSTEMS:
        with pytest.raises(ConfigError, match="nx must be an even whole number of at least 4"):
            system(nx)
    with pytest.raises(ConfigError, match=r"at most 2147483647 cells.* got 65536 x 32768"):
        TwoLayerQG(65536, 32768)


@pytest.mark.parametrize("dt", [True, "7200", float("nan"), float("inf"), 1e-320, 0.0, None])
def test_time_steps_are_positive_finite_numbers(untyped, dt):
    qg, flow = TwoLayerQG(16), KolmogorovFlow(16)
    for make in (
        lambda: qg.model(dt),
        lambda: flow.model(dt),
        lambda: Model(system=qg, scheme=qg.default_scheme(), dt=dt),
        lambda: SplitModel(system=flow, dt=dt),
        lambda: StepDefect(dt),
    ):
        with pytest.raises(ConfigError, match="dt must be "):
            make()


def test_time_steps_of_numpy_and_jax_are_time_steps():
    for dt in (7200, np.float32(7200), np.array(7200.0), jnp.float32(7200)):
        assert TwoLayerQG(16).model(dt).dt == 7200.0


@pytest.mark.parametrize("substeps", [2.0, True, 0])
def test_substeps_are_whole_numbers(untyped, substeps):
    assert StepDefect(0.1, substeps=np.int64(2)).substeps == 2
    with pytest.raises(ConfigError, match="substeps must be a whole number of at least 1, got"):
        StepDefect(0.1, substeps=substeps)
