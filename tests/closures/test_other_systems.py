"""A closure runs in models of the system that it was built for, or is moved to another's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import (
    CLOSURES,
    AbstractClosure,
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    Smagorinsky,
    StaggeredLeith,
    check_closure,
    in_system,
)
from subgrid.deploy import PyqgParameterization
from subgrid.errors import ConfigError
from subgrid.grids import PeriodicGrid
from subgrid.stepping import COUPLINGS, SSPRK3, SplitModel
from subgrid.systems import KolmogorovFlow, TwoLayerQG, system_differences

QG = TwoLayerQG(16, 12)
FLOW = KolmogorovFlow(16)
OF_QG = ("smagorinsky", "backscatter-biharmonic", "zanna-bolton-2020", "hybrid-symbolic")
OF_FLOW = ("staggered-smagorinsky", "staggered-leith")
# what differs, in words of the message
OTHERS = {
    "configuration = eddy .*, jet .*beta = 1.5e-11 .*, 1e-11": QG.at(
        (12, 16), configuration="jet", thickness_ratio=0.1, beta=1e-11
    ),
    r"nx = 16 \(closure\), 24 \(model\); ny = 12 \(closure\), 18 \(model\)": QG.at(24),
    "length_x = 1000000.0 .*, 2000000.0": TwoLayerQG(16, 12, length_x=2e6),
    "deformation_radius = 15000.0 .*, 20000.0": QG.at((12, 16), deformation_radius=2e4),
    "bottom_drag = 5.787e-07 .*, 1e-07": QG.at((12, 16), bottom_drag=1e-7),
    "filter_sharpness = 1.0 .*, 2.0": QG.at((12, 16), filter_sharpness=2.0),
    "dealias = False .*, True": QG.at((12, 16), dealias=True),
    r"system = TwoLayerQG \(closure\), KolmogorovFlow \(model\)": FLOW,
}


class Half(eqx.Module):
    """A network that halves what it sees of the state."""

    def __call__(self, fields):
        return 0.5 * fields[:2]


def learned(names=None, system=None) -> LearnedClosure:
    return LearnedClosure(Features(names), Half(), Output(), system)


@pytest.mark.parametrize("words", OTHERS)
def test_a_model_of_another_system_refuses_it_and_says_why(words):
    with pytest.raises(ConfigError, match=words):
        OTHERS[words].model(0.01, Smagorinsky(QG))


@pytest.mark.parametrize("name", [*OF_QG, *OF_FLOW])
def test_every_classical_closure(name):
    own, other = (
        (QG, QG.at((12, 16), deformation_radius=2e4)) if name in OF_QG else (FLOW, FLOW.at(32))
    )
    closure = CLOSURES.get(name)(own)
    own.model(0.01, closure)
    check_closure(closure, own)
    with pytest.raises(ConfigError, match="Build it anew"):
        other.model(0.01, closure)
    with pytest.raises(ConfigError, match="Build it anew"):
        in_system(closure, other)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_every_coupling(coupling):
    closure = StaggeredLeith(FLOW.at(16, viscosity=1e-3))
    with pytest.raises(ConfigError, match=r"viscosity = 0\.001 .*in_system"):
        SplitModel(system=FLOW, dt=0.01, closure=closure, coupling=COUPLINGS[coupling]())
    with pytest.raises(ConfigError, match="viscosity"):
        FLOW.model(0.01, closure, scheme=SSPRK3())
    SplitModel(system=FLOW, dt=0.01, closure=in_system(closure, FLOW))


def test_bounds_of_a_run_are_none_of_its_business():
    QG.at((12, 16), pv_bound=1.0).model(0.01, Smagorinsky(QG))
    FLOW.at(16, velocity_bound=9.0).model(0.01, StaggeredLeith(FLOW))


def test_constants_of_the_step_alone_let_it_move():
    """The increment stays, bit for bit: the filter and the drag make no other flow of a state."""
    closure, other = Smagorinsky(QG), QG.at((12, 16), filter_sharpness=2.0, bottom_drag=1e-7)
    with pytest.raises(ConfigError, match=r"in_system\(closure, system\)"):
        other.model(0.01, closure)
    moved = in_system(closure, other)
    other.model(0.01, moved)
    assert system_differences(moved.system, other) == {}
    state = QG.initial_state(key=jax.random.key(0))
    np.testing.assert_array_equal(moved(state)[0].q, closure(state)[0].q)
    assert in_system(closure, QG) is closure


def test_a_learned_closure_is_held_to_the_system_of_its_inputs():
    closure = learned(("tendency", "q"), QG)
    other = TwoLayerQG(16, 12, "jet")
    with pytest.raises(ConfigError, match=r"beta = 1\.5e-11 .*, 1e-11 .*in_system"):
        other.model(0.01, closure)
    moved = in_system(closure, other)
    other.model(0.01, moved)
    state = other.initial_state(key=jax.random.key(0))
    np.testing.assert_array_equal(moved(state)[0].q, 0.5 * other.tendency(state).q)
    TwoLayerQG(24).model(0.01, learned())  # holds no system


def test_derivatives_are_taken_on_the_grid_of_the_model():
    output = Output(None, [FluxForm(QG.grid)])
    closure = LearnedClosure(Features(), lambda x: jnp.concatenate([x, x]), output)
    QG.model(0.01, closure)
    wide = TwoLayerQG(16, 12, length_x=2e6)
    with pytest.raises(ConfigError, match=r"length_x = 1000000\.0 .*, 2000000\.0 .*anew"):
        wide.model(0.01, closure)
    with pytest.raises(ConfigError, match="length_x"):
        check_closure(closure, wide)


class OnAGrid(AbstractClosure):
    """A user's own closure that keeps its grid and numbers made of it."""

    rate: jax.Array
    grid: PeriodicGrid = eqx.field(static=True)

    def __init__(self, system):
        self.rate, self.grid = jnp.asarray(1 / system.grid.dx), system.grid

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda leaf: self.rate * leaf, state), memory


def test_own_closures_that_keep_a_grid():
    closure = OnAGrid(QG)
    QG.at((12, 16), beta=2e-11).model(0.01, closure)  # it knows of no beta
    for wrong in (QG.at(24), TwoLayerQG(16, 12, length_x=2e6)):
        with pytest.raises(ConfigError, match="OnAGrid was built for another system"):
            wrong.model(0.01, closure)


def test_in_pyqg():
    closure = Smagorinsky(TwoLayerQG(16, 12, "jet"))
    with pytest.raises(ConfigError, match="thickness_ratio"):
        PyqgParameterization(closure, QG)


def test_numbers_that_are_known_later_are_not_compared():
    """While a function is traced a constant has no value; class and grid have."""

    @jax.jit
    def tendency(beta):
        system = eqx.tree_at(lambda s: s.constants["beta"], QG, beta)
        system.model(0.01, Smagorinsky(QG))
        with pytest.raises(ConfigError, match="nx"):
            system.model(0.01, Smagorinsky(QG.at(24)))
        return system.constants["beta"]

    tendency(jnp.asarray(2e-11))
    assert system_differences(QG, QG.at((12, 16), beta=2e-11)) == {"beta": (1.5e-11, 2e-11)}
