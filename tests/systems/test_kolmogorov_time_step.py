"""The steps that Kolmogorov flow takes: what is safe, what is refused, and in which unit."""

import jax
import jax.numpy as jnp
import pytest

from subgrid.config import load_config
from subgrid.errors import ConfigError
from subgrid.recipes.stability import check_time_step, check_time_steps, step_limits
from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow, failing_dt, largest_safe_dt

SYSTEM = KolmogorovFlow(16)
DX = SYSTEM.grid.dx
TINY = ("otness2025-kf-noise", "tiny")
TRUTH = KolmogorovFlow(64).grid.dx  # of the truth below


def safe(system, *states):
    """Return the limit of safe steps, which this system has."""
    found = largest_safe_dt(system, *states)
    assert found is not None
    return found


def failing(system, states=None, initially=False):
    """Return the limit above which steps are refused."""
    found = failing_dt(system, states, initially)
    assert found is not None
    return found


def test_limits_are_courant_numbers_of_known_speeds():
    assert safe(SYSTEM).seconds == pytest.approx(0.5 * DX / 7)
    assert failing(SYSTEM).seconds == pytest.approx(2.2 * DX / 4)  # of developed flow
    assert failing(SYSTEM, initially=True).seconds == pytest.approx(2.2 * DX / 7)


@pytest.mark.parametrize("change", [{"drag": 0.2}, {"domain_scale": 1}, {"viscosity": 1e-3}])
def test_developed_flow_of_other_constants_is_not_known(change):
    system = KolmogorovFlow(16, **change)
    check_time_step("evaluation.dt", 1e3, system)
    # the initial state is
    assert failing(system, initially=True).seconds == pytest.approx(2.2 * system.grid.dx / 7)
    with pytest.raises(ConfigError, match=r"truth\.dt: got 1000, above"):
        check_time_step("truth.dt", 1e3, system, initially=True)


def test_states_set_the_limits_by_the_fastest_component_of_any_member():
    one = SYSTEM.initial_state(key=jax.random.key(0))
    states = jax.tree.map(lambda c: jnp.stack([c, 3 * c]), one)
    fastest = 3 * max(float(jnp.abs(one.u).max()), float(jnp.abs(one.v).max()))
    for limit, courant in ((safe, 0.5), (failing, 2.2)):
        found = limit(SYSTEM, states)
        assert found.seconds == pytest.approx(courant * DX / fastest, rel=1e-5)
        assert found.reason == "for the speeds in its initial states"
    # they are known: that the run begins with them changes nothing
    assert failing(SYSTEM, states, True) == failing(SYSTEM, states)


def test_a_limit_is_told_without_seconds():
    assert str(safe(SYSTEM)) == "0.056 for velocities up to 7"
    with pytest.raises(ConfigError) as caught:
        check_time_step("evaluation.dt", 0.5, SYSTEM)
    assert str(caught.value) == (
        "evaluation.dt: got 0.5, above the stability limit; the largest safe step on this grid is "
        "0.056 for velocities up to 7"
    )
    lines = step_limits(load_config(*TINY))
    assert lines == [
        "truth.dt = 0.007; safe up to 0.007 for velocities up to 7",
        "evaluation.dt = 0.028; safe up to 0.056 for velocities up to 7",
    ]


def refused(dt, save_every, coarse_dt, coarse_every):
    config = load_config(
        *TINY,
        overrides=[
            "truth.nx=64",
            f"truth.dt={dt}",
            f"truth.save_every={save_every}",
            f"evaluation.dt={coarse_dt}",
            f"evaluation.save_every={coarse_every}",
            f"evaluation.steps={2 * coarse_every}",
            f"evaluation.average_from={coarse_every}",
            "coarse.target=tendency",
        ],
    )
    with pytest.raises(ConfigError) as caught:
        check_time_steps(config)
    return str(caught.value)


def test_a_truth_is_refused_above_two_cells_at_the_speed_of_its_start():
    limit = 2.2 * TRUTH / 7  # 0.0617
    check_time_step("truth.dt", 0.999 * limit, KolmogorovFlow(64), initially=True)
    assert refused(0.0618, 1, 0.0618, 1).startswith("truth.dt: got 0.0618, above")
    # developed flow would bear it
    check_time_step("truth.dt", 0.0618, KolmogorovFlow(64))


def test_free_runs_are_refused_above_two_cells_at_the_speed_of_developed_flow():
    limit = 2.2 * DX / 4  # 0.4320
    message = refused(0.0433, 10, 0.433, 1)
    assert limit < 0.433
    assert message.startswith("evaluation.dt: got 0.433, above")
    assert "0.433 s" not in message
    config = load_config(
        *TINY,
        overrides=[
            "truth.nx=64",
            "truth.dt=0.039",
            "truth.save_every=10",
            "evaluation.dt=0.39",
            "evaluation.save_every=1",
            "evaluation.steps=2",
            "evaluation.average_from=1",
        ],
    )
    check_time_steps(config)


def test_initial_states_blow_up_at_the_failing_step_and_not_at_the_safe_one():
    """On 64² cells, where their fastest point moves two cells a step, or half a cell."""
    system = KolmogorovFlow(64)
    keys = jax.random.split(jax.random.key(0), 4)
    starts = jax.vmap(lambda key: system.initial_state(key=key))(keys)

    def blew_up_at(dt):
        model = system.model(dt)
        return jax.vmap(lambda start: rollout(model, start, 60, 60).blew_up_at)(starts)

    assert (blew_up_at(failing(system, initially=True).seconds) > 0).all()
    assert (blew_up_at(safe(system).seconds) == -1).all()


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_other_precisions_are_refused(dtype):
    with pytest.raises(ConfigError, match=f"dtype must be float32 or float64, got {dtype}"):
        KolmogorovFlow(16, dtype=dtype)
