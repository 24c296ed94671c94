"""A user's own closure, named module:Class in a config of his own, from `new` to the report."""

import json

import pytest

CONFIG = """
name = "own"

[truth]
system = "qg"
nx = 16
dt = 7200.0
spinup_steps = 8
frames = 4
save_every = 2

[coarse]
sizes = [12]

[data]
trajectories = { train = 1, validation = 1, test = 1 }

[[models]]
name = "none"
kind = "none"

[[models]]
name = "mine"
kind = "closure"
closure = "own_closures:Drag"
arguments = { rate = 2e-7 }

[training]
updates = 1

[evaluation]
steps = 4
save_every = 2
snapshots = 2
samples = 2
bootstrap = 40
"""
NOISY = """
[[models]]
name = "noisy"
kind = "closure"
closure = "own_closures:Noisy"
"""
CLOSURES = """
import jax

from subgrid.closures import AbstractClosure


class Drag(AbstractClosure):
    rate: float

    def __init__(self, system, rate=1e-7):
        if rate < 0:
            raise ValueError(f"rate must not be negative, got {rate}")
        self.rate = rate

    def __call__(self, state, memory=None, forcing=None):
        return type(state)(-self.rate * state.q), memory


class Shapeless(Drag):
    def __call__(self, state, memory=None, forcing=None):
        return type(state)(state.q[:1]), memory


class Raising(Drag):
    def __call__(self, state, memory=None, forcing=None):
        raise RuntimeError("no coefficients were fitted")


class Noisy(Drag):
    def init(self, state, *, key=None):
        return jax.random.key_data(key)

    def __call__(self, state, memory=None, forcing=None):
        key, now = jax.random.split(jax.random.wrap_key_data(memory))
        noise = jax.random.normal(now, state.q.shape, state.q.dtype)
        return type(state)(1e-13 * noise), jax.random.key_data(key)


class Exploding(Drag):
    def __call__(self, state, memory=None, forcing=None):
        return type(state)(state.q / 0.0), memory
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_closures.py").write_text(CLOSURES)
    (tmp_path / "own.toml").write_text(CONFIG)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
def test_an_own_closure_is_tested_and_reported_next_to_none(cli, own, tmp_path):
    (tmp_path / "own.toml").write_text(CONFIG.replace("[training]", NOISY + "[training]"))
    code, _, err = cli("run", "own.toml", "--dry-run")
    assert code == 0, err
    code, _, err = cli("run", "own.toml")
    assert code == 0, err
    scores = json.loads((tmp_path / "runs/own/scores.json").read_text())
    assert scores["online"]["mine"]["blow_ups"] == []
    # a closure that draws is run, scored and timed as any other
    assert scores["online"]["noisy"]["blow_ups"] == []
    assert scores["online"]["noisy"]["cost"]["ratio"] > 0
    assert "mine" in (tmp_path / "runs/own/report.html").read_text()
    code, out, _ = cli("cite", "runs/own")
    assert code == 0
    assert "pyqg" in out


@pytest.mark.slow
def test_a_closure_that_explodes_is_masked_counted_and_dated(cli, own, tmp_path):
    code, _, err = cli("run", "own.toml", "--set", "models.mine.closure=own_closures:Exploding")
    assert code == 0, err
    scores = json.loads((tmp_path / "runs/own/scores.json").read_text())
    assert [blow_up["step"] for blow_up in scores["online"]["mine"]["blow_ups"]] == [1]
    assert scores["online"]["none"]["blow_ups"] == []
    assert "unstable" in (tmp_path / "runs/own/report.html").read_text()


@pytest.mark.parametrize(
    ("override", "code", "parts"),
    [
        ("models.mine.closure=own_closures:Shapeless", 1, ("Shapeless", "(2, 12, 12)", "(1, 12")),
        ("models.mine.closure=own_closures:Raising", 1, ("no coefficients", "raised by closure")),
        ("models.mine.closure=own_closures:Absent", 2, ("models.mine", "has no 'Absent'")),
        ("models.mine.arguments={rate=-1.0}", 2, ("models.mine", "must not be negative, got -1")),
        ("models.mine.arguments={rato=1.0}", 2, ("models.mine", "rato")),
    ],
)
def test_a_wrong_closure_is_found_before_anything_is_simulated(
    cli, own, tmp_path, override, code, parts
):
    found, _, err = cli("run", "own.toml", "--set", override)
    assert found == code
    assert all(part in err for part in parts), err
    assert not (tmp_path / "runs").exists()
