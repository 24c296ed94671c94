"""Wrong values on the command line and classes of the user's that leave: exit codes, one line."""

from pathlib import Path

import pytest

SMALLEST = Path(__file__).parents[1] / "experiment" / "smallest.toml"
OWN = """
import sys

import equinox as eqx
import jax
import jax.numpy as jnp

from subgrid.closures import AbstractClosure
from subgrid.systems import TwoLayerQG


class Bare:
    def __init__(self, system, constant=0.0):
        pass

    def __call__(self, state, memory=None, forcing=None):
        return state, memory


class Leaving(AbstractClosure):
    def __init__(self, system, constant=0.0):
        pass

    def __call__(self, state, memory=None, forcing=None):
        sys.exit(0)


class Silent(eqx.Module):
    weight: jax.Array
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)

    def __init__(self, *, in_channels, out_channels, key, width=1.0):
        self.weight = jax.random.normal(key, (out_channels, in_channels))
        self.in_channels, self.out_channels = in_channels, out_channels

    def __call__(self, field):
        return jnp.tensordot(self.weight, field, 1)


class HalfQG(TwoLayerQG):
    def initial_state(self, *, key):
        state = super().initial_state(key=key)
        return type(state)(state.q.astype(jnp.float16))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_values.py").write_text(OWN)
    (tmp_path / "own_leaves.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)


def words(text):
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", "0"), "--workers 0: must be at least 1"),
        (("--workers", "-2"), "--workers -2: must be at least 1"),
        (("--workers", "1.5"), "--workers: got 1.5; must be a whole number"),
        (("--workers", "1e3"), "--workers: got 1e3; must be a whole number"),
        (("--workers", "0x2"), "--workers: got 0x2; must be a whole number"),
        (("--out", "a\0b"), "holds a NUL character"),
        (("--set", "training.updates=5\ny=1"), "takes one setting"),
        (("--set", "truth.nx=1000000000000"), "truth.nx: got 1000000000000; must be at most"),
        (("--set", "truth.dt=1e-320"), "truth.dt: got 1e-320; must be"),
        (("--set", "truth.dt=inf"), "truth.dt: got inf; must be a finite number"),
        (("--set", "truth.constants.beta=true"), "beta must be a number, got True"),
    ],
)
def test_wrong_values_exit_with_2_before_anything_runs(cli, untyped, tmp_path, arguments, message):
    for more in ((), ("--dry-run",)):
        code, out, err = cli("run", SMALLEST, *arguments, *more)
        assert code == 2
        assert message in words(err)
        assert "Traceback" not in err
        assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("qg", "--nx", "7"), 2, "nx must be an even whole number of at least 4, got 7"),
        (("qg", "--nx", "16.5"), 2, "--nx: got 16.5; must be a whole number"),
        (("qg", "--nx", "1000000000000"), 2, "and at most 2147483647"),
        (("own_leaves:It",), 1, "asked to end the program (SystemExit: 0)"),
    ],
)
def test_check_refuses_sizes_and_exits_of_others(cli, own, arguments, code, message):
    found, _, err = cli("check", *arguments)
    assert found == code
    assert message in words(err)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Bare", "has no init(state, *, key): let its class derive from subgrid.closures.Abstract"),
        ("Leaving", "SystemExit: 0"),
        ("HalfQG", "HalfQG.initial_state must return float32, but returned float16"),
    ],
)
def test_check_names_what_is_no_closure_or_no_system(cli, own, untyped, name, message):
    code, out, _ = cli("check", f"own_values:{name}", "--nx", "16")
    assert code == 1
    (line,) = [line for line in out.splitlines() if "BROKEN" in line]
    assert message in line


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Bare", "models.smagorinsky.closure: closure Bare has no init"),
        (
            "Leaving",
            "own_values.py, line 25, in __call__, asked to end the program (SystemExit: 0)",
        ),
    ],
)
def test_a_closure_that_is_none_or_leaves_is_a_failure(cli, own, tmp_path, name, message):
    code, _, err = cli("run", SMALLEST, "--set", f"models.smagorinsky.closure=own_values:{name}")
    assert code == 1
    assert message in words(err)
    assert not (tmp_path / "runs").exists()


def test_a_network_that_does_not_say_its_cost_is_unknown_and_the_rest_is_told(cli, own):
    networks = "models.cascade.networks=['own_values:Silent', '4x3-x3']"
    code, out, err = cli("run", SMALLEST, "--dry-run", "--set", networks)
    assert code == 0, err
    gflop = {line.split()[0]: line.split()[1] for line in out.splitlines() if len(line.split()) > 5}
    assert gflop["train"] == gflop["evaluate"] == "unknown"
    assert float(gflop["simulate"]) > 0
    assert "trainings 3, updates 24" in out
