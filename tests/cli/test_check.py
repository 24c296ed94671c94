"""`subgrid check` finds what is wrong with a user's class."""

import numpy as np
import pytest

from subgrid.systems.law import difference

CLOSURES = """
import equinox as eqx
import jax.numpy as jnp
from subgrid.closures import AbstractClosure


class Drag(AbstractClosure):
    rate: float

    def __init__(self, system, rate=1e-7):
        self.rate = rate

    def __call__(self, state, memory=None, forcing=None):
        return type(state)(-self.rate * state.q), memory


class Shapeless(Drag):
    def __call__(self, state, memory=None, forcing=None):
        return type(state)(state.q[:1]), memory


class Undefined(Drag):
    def __call__(self, state, memory=None, forcing=None):
        return type(state)(jnp.log(state.q)), memory


class Raising(Drag):
    def __call__(self, state, memory=None, forcing=None):
        raise RuntimeError("no coefficients were fitted")


class AntiDiffusion(Drag):
    # amplifies what diffusion would damp, and adds to the mean
    def __call__(self, state, memory=None, forcing=None):
        moved = [jnp.roll(state.q, step, axis) for step in (1, -1) for axis in (-2, -1)]
        return type(state)(-1e-10 * (sum(moved) - 4 * state.q) + 1e-16), memory


class Claiming(AntiDiffusion):
    claims = ("conserves mean", "dissipates enstrophy", "translation invariant", "is fast")


class Unshifted(Drag):
    def __call__(self, state, memory=None, forcing=None):
        return type(state)(1e-9 * state.q * jnp.arange(state.q.shape[-1])[None, None]), memory
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "my_closures.py").write_text(CLOSURES)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_lawful_closure_passes(cli, mine):
    code, out, err = cli("check", "my_closures:Drag", "--nx", "16")
    assert code == 0, out + err
    assert "every law holds" in out
    assert "shifts with the state" in out


@pytest.mark.parametrize(
    ("name", "broken"),
    [("Shapeless", "interface"), ("Undefined", "finite"), ("Raising", "no coefficients")],
)
def test_a_broken_law_is_named_and_exits_with_1(cli, mine, name, broken):
    code, out, _ = cli("check", f"my_closures:{name}", "--nx", "16")
    assert code == 1
    assert any("BROKEN" in line and broken in line for line in out.splitlines())


def test_a_symmetry_that_is_not_required_is_only_reported(cli, mine):
    code, out, err = cli("check", "my_closures:Unshifted", "--nx", "16")
    assert code == 0, out + err
    assert "does not shift with the state" in out


def test_energy_enstrophy_and_the_mean_are_reported(cli, mine):
    """Anti-diffusion with a source of the mean: no interface is broken, but physics is."""
    code, out, err = cli("check", "my_closures:AntiDiffusion", "--nx", "16")
    assert code == 0, out + err
    lines = {line[10:30].strip(): line for line in out.splitlines()}
    assert "is a source of the mean of q" in lines["zero mean"]
    assert "gives energy" in lines["work on energy"]
    assert "gives enstrophy" in lines["work on enstrophy"]
    assert "note" in lines["work on enstrophy"]
    assert "a note is not judged" in out


def test_a_claim_that_does_not_hold_is_broken(cli, mine):
    code, out, _ = cli("check", "my_closures:Claiming", "--nx", "16")
    assert code == 1
    broken = [line for line in out.splitlines() if "BROKEN" in line]
    assert [line[10:30].strip() for line in broken] == ["zero mean", "work on enstrophy", "claims"]
    assert "'is fast' is none; known: conserves mean, dissipates energy" in broken[-1]
    assert any("holds" in line and "translation invariant" in line for line in out.splitlines())


def test_a_shipped_system_passes(cli):
    code, out, err = cli("check", "qg", "--nx", "64")
    assert code == 0, out + err
    assert "largest safe dt      31000 s for developed flow" in out


@pytest.mark.parametrize(
    ("reference", "message"),
    [("no_such_module:Drag", "cannot import"), ("my_closures:Drug", "has no 'Drug'")],
)
def test_what_cannot_be_imported_is_named(cli, mine, reference, message):
    code, _, err = cli("check", reference)
    assert code == 2
    assert message in err


def test_a_difference_that_is_not_a_number_is_not_forgotten():
    one, nan = np.ones(2), np.array([1.0, np.nan])
    assert difference([one, one], [one, one]) == 0.0
    assert np.isnan(difference([one, nan], [one, one]))
