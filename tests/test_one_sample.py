"""Public functions take one state: anything else is a ShapeError that says "use jax.vmap".

Arrays broadcast, so each case here once came back with numbers, and wrong ones.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import (
    CLOSURES,
    Features,
    LearnedClosure,
    Output,
    channels_to_state,
    state_to_channels,
)
from subgrid.coarsening import (
    Operator1,
    Operator3,
    StaggeredMean,
    StepDefect,
    SubgridFlux,
    TendencyDefect,
    coarse_state_and_defect,
    coarse_state_and_forcing,
    flux_divergence,
    subgrid_flux,
    subgrid_forcing,
)
from subgrid.data import Observer
from subgrid.errors import ShapeError
from subgrid.evaluation import CoarsenedObserver, ModelObserver
from subgrid.grids import staggered_divergence, staggered_laplacian, staggered_vorticity
from subgrid.nn import Scaler
from subgrid.stepping import SSPRK3, rollout, simulate
from subgrid.systems import BarotropicVorticity, KolmogorovFlow, TwoLayerQG

# ny is not nx, or a transposed state would be none
SYSTEMS = {cls: cls(8, 16) for cls in (TwoLayerQG, KolmogorovFlow, BarotropicVorticity)}
QG, KOLMOGOROV, BAROTROPIC = SYSTEMS.values()
STATES = {cls: s.initial_state(key=jax.random.key(0)) for cls, s in SYSTEMS.items()}

WRONG = {
    "leading batch axis": lambda leaf: jnp.stack([leaf, leaf]),
    "batch of one": lambda leaf: leaf[None],
    "axis too few": lambda leaf: leaf[0],
    "too few levels": lambda leaf: leaf[:1],
    "transposed sizes": lambda leaf: jnp.swapaxes(leaf, -1, -2),
    "other grid": lambda leaf: leaf[..., ::2, ::2],
}
FIRST_ARGUMENTS = ("state", "q", "increment", "evolved", "rate")
OTHERS = {"advance": (0.01,)}  # what else a method needs
KNOWN = {
    TwoLayerQG: {
        "velocity",
        "invert",
        "streamfunction",
        "spectral_budget",
        "largest_dt",
        "advective_flux",
    },
    KolmogorovFlow: {"advance", "project", "divergence", "vorticity", "largest_dt"},
    BarotropicVorticity: {"velocity", "largest_dt"},
}
COMMON = {
    "check_state",
    "tendency",
    "diagnostics",
    "field",
    "observe",
    "to_evolved",
    "to_state",
    "evolved_tendency",
    "rate_to_state",
    "increment_to_evolved",
    "after_step",
    "is_healthy",
}


def methods(cls) -> dict[str, str]:
    """Return the public methods that take a state, and the name of that argument."""
    found = {}
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        arguments = list(inspect.signature(method).parameters)[1:2]
        if not name.startswith("_") and arguments and arguments[0] in FIRST_ARGUMENTS:
            found[name] = arguments[0]
    return found


METHODS = [
    pytest.param(cls, name, argument, id=f"{cls.__name__}.{name}")
    for cls in SYSTEMS
    for name, argument in methods(cls).items()
]


def made_wrong(state, how):
    # as a tree, for a class with typed shapes would not be built
    return jax.tree.map(WRONG[how], state)


def refuses(call, state, how):
    with pytest.raises(ShapeError, match=r"use jax\.vmap"):
        call(made_wrong(state, how))


@pytest.mark.parametrize("cls", SYSTEMS)
def test_no_method_is_forgotten(cls):
    assert set(methods(cls)) == KNOWN[cls] | COMMON


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize(("cls", "name", "argument"), METHODS)
def test_methods_of_systems(cls, name, argument, how):
    system, given = SYSTEMS[cls], STATES[cls]
    if argument in ("evolved", "rate"):
        given = system.to_evolved(given)
    others = OTHERS.get(name, ())
    refuses(lambda wrong: getattr(system, name)(wrong, *others), given, how)


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("cls", SYSTEMS)
def test_forcing(cls, how):
    system, state = SYSTEMS[cls], STATES[cls]
    refuses(lambda wrong: system.tendency(state, wrong), state, how)
    refuses(lambda wrong: system.tendency(state, forcing=wrong), state, how)
    evolved = system.to_evolved(state)
    refuses(lambda wrong: system.evolved_tendency(evolved, wrong), state, how)


def test_forcing_of_a_step():
    state = STATES[KolmogorovFlow]
    refuses(lambda wrong: KOLMOGOROV.advance(state, 0.01, wrong), state, "leading batch axis")
    forcing = jax.tree.map(lambda leaf: jnp.zeros((3, 2, *leaf.shape)), state)
    with pytest.raises(ShapeError, match=r"use jax\.vmap"):
        rollout(KOLMOGOROV.model(0.01), state, 3, forcing=forcing)


def test_the_closure_of_a_budget():
    state = STATES[TwoLayerQG]
    refuses(lambda wrong: QG.spectral_budget(state, wrong), state, "too few levels")


QG_PAIR = (QG, QG.at((8, 4)))
FLOW_PAIR = (KOLMOGOROV, KOLMOGOROV.at((8, 4)))
SPECTRAL, BLOCKS = (kind(*(s.grid for s in QG_PAIR)) for kind in (Operator1, Operator3))
FACES = StaggeredMean(*(s.grid for s in FLOW_PAIR))


def learned(channels: int) -> LearnedClosure:
    scaler = Scaler.identity(channels)
    return LearnedClosure(Features(scaler=scaler), lambda x: x, Output(scaler))


CALLS = {
    "qg rollout": (TwoLayerQG, lambda x: rollout(QG.model(60.0), x, 2)),
    "qg simulate": (TwoLayerQG, lambda x: simulate(QG.model(60.0), x, 2, progress=False)),
    "kolmogorov rollout": (KolmogorovFlow, lambda x: rollout(KOLMOGOROV.model(0.01), x, 2)),
    "kolmogorov simulate": (
        KolmogorovFlow,
        lambda x: simulate(KOLMOGOROV.model(0.01), x, 2, progress=False),
    ),
    "kolmogorov by tendency": (
        KolmogorovFlow,
        lambda x: rollout(KOLMOGOROV.model(0.01, scheme=SSPRK3()), x, 2),
    ),
    "barotropic rollout": (BarotropicVorticity, lambda x: rollout(BAROTROPIC.model(0.01), x, 2)),
    "subgrid_forcing": (TwoLayerQG, lambda x: subgrid_forcing(*QG_PAIR, SPECTRAL, x)),
    "subgrid_forcing of blocks": (TwoLayerQG, lambda x: subgrid_forcing(*QG_PAIR, BLOCKS, x)),
    "subgrid_flux": (TwoLayerQG, lambda x: subgrid_flux(*QG_PAIR, SPECTRAL, x)),
    "coarse_state_and_forcing": (
        KolmogorovFlow,
        lambda x: coarse_state_and_forcing(*FLOW_PAIR, FACES, x),
    ),
    "coarse_state_and_defect": (
        KolmogorovFlow,
        lambda x: coarse_state_and_defect(*FLOW_PAIR, FACES, x, 0.01),
    ),
    "TendencyDefect": (TwoLayerQG, lambda x: TendencyDefect()(*QG_PAIR, SPECTRAL, x)),
    "StepDefect": (KolmogorovFlow, lambda x: StepDefect(0.01)(*FLOW_PAIR, FACES, x)),
    "Observer": (
        TwoLayerQG,
        lambda x: Observer(QG, {4: QG_PAIR[1]}, {4: SPECTRAL}, store_flux=True)(x),
    ),
    "observe of qg": (TwoLayerQG, lambda x: QG.observe(x)),
    "increment observed of qg": (TwoLayerQG, lambda x: QG.observe(STATES[TwoLayerQG], x)),
    "observe of kolmogorov": (KolmogorovFlow, lambda x: KOLMOGOROV.observe(x)),
    "increment observed of kolmogorov": (
        KolmogorovFlow,
        lambda x: KOLMOGOROV.observe(STATES[KolmogorovFlow], x),
    ),
    "ModelObserver": (
        KolmogorovFlow,
        lambda x: ModelObserver(KOLMOGOROV, CLOSURES.get("staggered-leith")(KOLMOGOROV))(x),
    ),
    "CoarsenedObserver": (TwoLayerQG, lambda x: CoarsenedObserver(QG_PAIR[1], QG, SPECTRAL)(x)),
    **{
        name: (TwoLayerQG, lambda x, name=name: CLOSURES.get(name)(QG)(x))
        for name in ("smagorinsky", "backscatter-biharmonic", "zanna-bolton-2020")
    },
    "hybrid-symbolic": (TwoLayerQG, lambda x: CLOSURES.get("hybrid-symbolic")(QG)(x)),
    **{
        name: (KolmogorovFlow, lambda x, name=name: CLOSURES.get(name)(KOLMOGOROV)(x))
        for name in ("staggered-smagorinsky", "staggered-leith")
    },
    "factor of a dynamic viscosity": (
        KolmogorovFlow,
        lambda x: CLOSURES.get("staggered-leith")(KOLMOGOROV, dynamic=True).factor(x),
    ),
}


def refused_on_the_way(call, state, how):
    """An error of another function on the way may speak of grids instead, as a coarsener does."""
    with pytest.raises(ShapeError, match=r"use jax\.vmap|the grid of the state"):
        call(made_wrong(state, how))


@pytest.mark.parametrize(
    "how", ["leading batch axis", "too few levels", "transposed sizes", "other grid"]
)
@pytest.mark.parametrize("name", CALLS)
def test_functions_of_a_state(name, how):
    cls, call = CALLS[name]
    refused_on_the_way(call, STATES[cls], how)


@pytest.mark.parametrize("how", ["leading batch axis", "too few levels", "batch of one"])
def test_a_learned_closure(how):
    state = STATES[TwoLayerQG]
    with pytest.raises(ShapeError, match=r"jax\.vmap|made for 2"):
        learned(2)(made_wrong(state, how))


def test_channels():
    state = STATES[TwoLayerQG]
    fields = state_to_channels(state)
    np.testing.assert_array_equal(channels_to_state(fields, state).q, state.q)
    for wrong in (fields[:1], jnp.concatenate([fields, fields]), fields[:, ::2]):
        with pytest.raises(ShapeError, match=r"jax\.vmap"):
            channels_to_state(wrong, state)
    with pytest.raises(ShapeError, match=r"jax\.vmap"):
        state_to_channels(made_wrong(state, "leading batch axis"))


@pytest.mark.parametrize("how", ["transposed sizes", "other grid", "axis too few"])
@pytest.mark.parametrize(("coarsener", "cls"), [(SPECTRAL, TwoLayerQG), (FACES, KolmogorovFlow)])
def test_coarseners_refuse_another_grid(coarsener, cls, how):
    state = STATES[cls]
    if how == "axis too few" and cls is TwoLayerQG:
        pytest.skip("a level alone has a grid")
    with pytest.raises(ShapeError, match="the fine grid"):
        coarsener(made_wrong(state, how))
    coarse = jax.tree.map(lambda leaf: leaf[..., ::2, ::2], state)
    with pytest.raises(ShapeError, match="the coarse grid"):
        coarsener.refine(made_wrong(coarse, how))


def test_coarseners_of_a_field_refuse_another_grid():
    field = STATES[TwoLayerQG].q
    for coarsener in (SPECTRAL, BLOCKS):
        with pytest.raises(ShapeError, match="the fine grid"):
            coarsener.coarsen(jnp.concatenate([field, field], axis=-1))
    with pytest.raises(ShapeError, match="spectra of the fine grid"):
        SPECTRAL.coarsen_spectrum(jnp.fft.rfft2(jnp.concatenate([field, field], axis=-1)))


@pytest.mark.parametrize(("coarsener", "cls"), [(SPECTRAL, TwoLayerQG), (FACES, KolmogorovFlow)])
def test_coarseners_act_on_each_field_for_itself(coarsener, cls):
    """Leading axes, levels and members alike, are left alone: the same bits as one by one."""
    state = STATES[cls]
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), state)
    one = coarsener(state)
    wanted = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), one)
    jax.tree.map(np.testing.assert_array_equal, coarsener(both), wanted)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, jnp.stack([b, 2 * b])),
        coarsener.refine(wanted),
        coarsener.refine(one),
    )


def test_operators_on_a_grid_refuse_fields_of_another():
    u, v = jax.tree.leaves(STATES[KolmogorovFlow])
    for wrong in (lambda field: field.T, lambda field: field[::2, ::2]):
        for operator in (staggered_divergence, staggered_vorticity):
            with pytest.raises(ShapeError, match="one shape"):
                operator(wrong(u), wrong(v), KOLMOGOROV.grid)
    with pytest.raises(ShapeError, match="one shape"):
        staggered_laplacian(u[::2, ::2], KOLMOGOROV.grid)
    q = STATES[TwoLayerQG].q
    with pytest.raises(ShapeError, match="one shape"):
        flux_divergence(jax.tree.map(lambda x: x[..., ::2], SubgridFlux(q, q)), QG.grid)


def test_vmap_is_the_way():
    """What the message says gives the tendency of each, to rounding of another order of sums."""
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), STATES[KolmogorovFlow])
    got = jax.vmap(KOLMOGOROV.project)(states)
    for index in range(2):
        alone = KOLMOGOROV.project(jax.tree.map(lambda leaf, i=index: leaf[i], states))
        np.testing.assert_allclose(got.u[index], alone.u, rtol=0, atol=1e-5)  # of speeds up to 7


def test_another_class_of_state_is_no_state():
    with pytest.raises(TypeError, match="takes a KolmogorovState, got a QGState"):
        rollout(KOLMOGOROV.model(0.01), STATES[TwoLayerQG], 2)
