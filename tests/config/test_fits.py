"""What a config builds is traced before anything runs: the key of what does not fit is named."""

from pathlib import Path

import jax
import pytest

from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.errors import ConfigError, ShapeError

pytestmark = pytest.mark.usefixtures("untyped")  # as a user meets the checks
SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"
OWN = """
import equinox as eqx
import jax
import jax.numpy as jnp

from subgrid.systems import TwoLayerQG


class Net(eqx.Module):
    weight: jax.Array
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)

    def __init__(self, *, in_channels, out_channels, key, width=1.0):
        self.weight = jax.random.normal(key, (out_channels, in_channels))
        self.in_channels, self.out_channels = in_channels, out_channels

    def __call__(self, field):
        return jnp.tensordot(self.weight, field, 1)


class Half(Net):
    def __call__(self, field):
        return super().__call__(field).astype(jnp.float16)


class Short(Net):
    def __call__(self, field):
        return super().__call__(field)[:1]


class Broken(Net):
    def __call__(self, field):
        return field.nothing


class Silent(eqx.Module):
    weight: jax.Array

    def __init__(self, *, in_channels, out_channels, key, width=1.0):
        self.weight = jax.random.normal(key, (out_channels, in_channels))

    def __call__(self, field):
        return jnp.tensordot(self.weight, field, 1)


class Weightless:
    def __init__(self, *, in_channels, out_channels, key, width=1.0):
        self.in_channels, self.out_channels = in_channels, out_channels

    def __call__(self, field):
        return field[: self.out_channels]


class HalfQG(TwoLayerQG):
    def initial_state(self, *, key):
        state = super().initial_state(key=key)
        return type(state)(state.q.astype(jnp.float16))


class ThinQG(TwoLayerQG):
    def initial_state(self, *, key):
        state = super().initial_state(key=key)
        return type(state)(state.q[:, 1:])


class HalfTendency(TwoLayerQG):
    def tendency(self, state, forcing=None):
        rate = super().tendency(state, forcing)
        return type(rate)(rate.q.astype(jnp.float16))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def refused(kind, *overrides):
    """Return the message with which the parts of a config are refused."""
    with pytest.raises(kind) as caught:
        check_builds(load_config(SMALLEST, overrides=overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "kind", "parts"),
    [
        (
            "models.alone={networks=['own_parts:Half']}",
            TypeError,
            ("models.alone.networks: ", "Half must return float32", "returned float16"),
        ),
        (
            "models.cascade.networks=['x3', 'own_parts:Short']",
            ShapeError,  # two levels and one channel would broadcast
            ("models.cascade.networks: Short must map (4, 12, 12) to (2, 12, 12)", "(1, 12, 12)"),
        ),
        (
            "models.cascade.networks=['own_parts:Broken', 'x3']",
            AttributeError,
            ("cascade.networks: ",),
        ),
        (
            "models.cascade.networks=['x3', 'own_parts:Silent']",
            ConfigError,
            ("models.cascade: Silent does not say its channels", "in_channels and out_channels"),
        ),
        (
            "models.alone={networks=['own_parts:Weightless']}",
            ConfigError,
            ("models.alone.networks: Weightless has no weights", "equinox.Module"),
        ),
        (
            "models.alone={networks=['own_parts:Short']}",
            ShapeError,
            ("models.alone.networks: ", "Short must map (2, 12, 12) to (2, 12, 12)", "(1, 12, 12)"),
        ),
        (
            "separated=[{name='s', network='own_parts:Short'}]",
            ShapeError,
            ("separated.s.network: ", "(2, 12, 12)", "(1, 12, 12)"),
        ),
        (
            "separated=[{name='s', network='own_parts:Weightless'}]",
            ConfigError,
            ("separated.s.network: Weightless has no weights",),
        ),
    ],
)
def test_networks_that_do_not_fit_name_their_key(own, override, kind, parts):
    if "models.alone" in override:
        tables = load_config(SMALLEST).to_dict()
        network = override.split("'")[1]
        tables["models"].append({"name": "alone", "kind": "learned", "networks": [network]})
        with pytest.raises(kind) as caught:
            check_builds(config_from_dict(tables))
        message = str(caught.value)
    else:
        recipe = override.partition("=")[0]  # the section is of the recipe of this name
        message = refused(kind, f"recipe={recipe}" if recipe == "separated" else "seed=3", override)
    for part in parts:
        assert part in message


def test_a_network_without_channels_or_counts_fits_alone(own):
    tables = load_config(SMALLEST).to_dict()
    silent = {"name": "alone", "kind": "learned", "networks": ["own_parts:Silent"]}
    check_builds(config_from_dict({**tables, "models": [*tables["models"], silent]}))


@pytest.mark.parametrize(
    ("system", "kind", "parts"),
    [
        ("HalfQG", TypeError, ("HalfQG.initial_state must return float32", "float16")),
        ("ThinQG", ShapeError, ("ThinQG.initial_state", "[(2, 16, 16)]", "[(2, 15, 16)]")),
        ("HalfTendency", TypeError, ("HalfTendency.tendency must return float32", "float16")),
    ],
)
def test_systems_whose_states_are_not_what_they_say_name_their_key(own, system, kind, parts):
    # its coarse grids are of the class that it derives from
    message = refused(kind, f"truth.system=own_parts:{system}")
    for part in ("truth.system: ", *parts):
        assert part in message


def test_spectra_are_compared_at_one_wavenumber_at_least():
    message = refused(ConfigError, "evaluation.cut=1e-9")
    # 12 cells: the first ring is centred at half of √2, the Nyquist wavenumber is 6
    assert "evaluation.cut: got 1e-09; must be above 0.118 on 12 x 12 cells" in message
    assert pytest.approx(0.118, abs=5e-4) == 2**0.5 / 2 / 6
    check_builds(load_config(SMALLEST, overrides=["evaluation.cut=0.119"]))


def test_batches_are_divided_over_all_devices(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    message = refused(ConfigError, "training.chunk=2")
    wrong = "batch_size = 4 must be a multiple of 3 devices times chunk = 2"
    assert message.splitlines()[1:] == [f"  models.{n}: {wrong}" for n in ("cascade", "stacked")]
    check_builds(load_config(SMALLEST, overrides=["training.batch_size=12", "training.chunk=2"]))


@pytest.mark.parametrize(
    "constants", ["length_x=2e6", "configuration='jet'", "length_y=2e6", "nx=16", "dtype='float64'"]
)
def test_free_runs_stay_on_the_grid_and_the_flow_of_the_data(constants):
    key = "evaluation.constants"
    assert refused(ConfigError, f"{key}={{{constants}}}").startswith(f"{key}: ")
    variants = f"evaluation.variants=[{{name='other', constants={{{constants}}}}}]"
    message = refused(ConfigError, variants)
    assert message.startswith("evaluation.variants.other.constants: ")
    check_builds(load_config(SMALLEST, overrides=[f"{key}={{filter_sharpness=2.0}}"]))


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ("beta=true", "truth: beta must be a number, got True"),
        ("beta='1.5e-11'", "truth: beta must be a number, without quotes, got '1.5e-11'"),
        ("dealias='false'", "truth: dealias must be true or false, got 'false'"),
        ("dtype=3", "truth: dtype must be float32 or float64, got 3"),
        ("pv_bound=-1.0", "truth: pv_bound must be positive, got -1.0"),
    ],
)
def test_constants_of_the_wrong_kind_are_named(constants, message):
    assert message in refused(ConfigError, f"truth.constants={{{constants}}}")


@pytest.mark.parametrize("constant", ["true", "'0.1'"])
def test_arguments_of_the_wrong_kind_are_named(constant):
    message = refused(ConfigError, f"models.smagorinsky.arguments={{constant={constant}}}")
    assert message.startswith("models.smagorinsky: constant must be a number")


@pytest.mark.parametrize(
    ("kind", "closure", "wrong", "nearest"),
    [
        ("closure", "smagorinsky", "constnt", "constant"),
        ("fitted", "polynomial", "degre", "degree"),
    ],
)
def test_arguments_that_a_closure_does_not_take_are_named(kind, closure, wrong, nearest):
    entry = (
        f'{{name = "mine", kind = "{kind}", closure = "{closure}", arguments = {{{wrong} = 3}}}}'
    )
    message = refused(ConfigError, f"models=[{{name = 'none', kind = 'none'}}, {entry}]")
    assert message.startswith(f"models.mine: unknown argument of {closure} {wrong!r}.")
    assert f"Did you mean {nearest!r}? Known: {nearest}" in message


def test_every_setting_that_builds_nothing_is_told_at_once():
    overrides = [
        "evaluation.constants.beta_plane=1.0",
        "models.smagorinsky.arguments.constnt=0.1",
        'models.cascade.features=["q", "tendencies"]',
    ]
    with pytest.raises(ConfigError, match="3 problems") as caught:
        check_builds(load_config(SMALLEST, overrides=overrides))
    lines = str(caught.value).splitlines()[1:]
    for key in ("evaluation.constants", "models.smagorinsky", "models.cascade.features"):
        assert sum(line.startswith(f"  {key}: ") for line in lines) == 1
