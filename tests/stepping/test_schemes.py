"""Order of the schemes, rollouts, blow-up masking and checkpointed gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ShapeError, UnstableRunError
from subgrid.stepping import AB3, RK4, SSPRK3, Euler, advance_segment, rollout, simulate
from subgrid.systems import TwoLayerQG


def _pendulum(x):
    return {"angle": x["speed"], "speed": -jnp.sin(x["angle"])}


def _integrate(scheme, steps: int, length: float, warm: bool = False):
    """Integrate the pendulum; `warm` fills AB3's history with exact-enough tendencies."""
    dt = length / steps
    x = {"angle": jnp.array(1.0), "speed": jnp.array(0.0)}
    history, start = scheme.init(x), 0
    if warm:
        fine = RK4()
        past = []
        for _ in range(2):
            past.append(_pendulum(x))
            for _ in range(20):
                x, _ = fine.step(_pendulum, x, _pendulum(x), dt / 20, None, jnp.array(0))
        history, start = (past[1], past[0]), 2

    def body(carry, count):
        x, history = carry
        return scheme.step(_pendulum, x, _pendulum(x), dt, history, count), None

    (x, _), _ = jax.lax.scan(body, (x, history), jnp.arange(start, steps))
    return x["angle"]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("scheme", "warm", "order"),
    [
        (Euler(), False, 1),
        (AB3(), False, 2),
        (AB3(), True, 3),
        (SSPRK3(), False, 3),
        (RK4(), False, 4),
    ],
)
def test_measured_order(scheme, warm, order):
    truth = _integrate(RK4(), 4000, 2.0)
    errors = [abs(_integrate(scheme, steps, 2.0, warm) - truth) for steps in (640, 1280)]
    measured = np.log2(errors[0] / errors[1])
    assert abs(measured - order) < 0.1  # the next order adds a few per cent at these steps


def test_rollout_frames_are_the_states_after_each_interval():
    system = TwoLayerQG(16)
    model = system.model(3600.0)
    state = system.initial_state(key=jax.random.key(0))
    every = rollout(model, state, 6, 1)
    third = rollout(model, state, 6, 3)
    np.testing.assert_array_equal(third.states.q, every.states.q[2::3])
    np.testing.assert_array_equal(third.steps, [3, 6])
    np.testing.assert_array_equal(third.times, [10800.0, 21600.0])
    assert int(third.blew_up_at) == -1


def test_segments_continue_bit_for_bit():
    system = TwoLayerQG(16)
    model = system.model(3600.0)
    carry = model.init(system.initial_state(key=jax.random.key(0)))
    whole, _ = advance_segment(model, carry, 4, 5)
    half, _ = advance_segment(model, carry, 2, 5)
    stored = jax.tree.map(lambda leaf: jnp.asarray(np.array(leaf)), half)
    again, _ = advance_segment(model, stored, 2, 5)
    jax.tree.map(np.testing.assert_array_equal, again, whole)


@pytest.mark.parametrize(("steps", "save_every"), [(0, 1), (5, 2), (4, 0)])
def test_uneven_steps_are_refused(steps, save_every):
    system = TwoLayerQG(16)
    state = system.initial_state(key=jax.random.key(0))
    with pytest.raises(ValueError, match="multiple of save_every"):
        rollout(system.model(3600.0), state, steps, save_every)


class _Explosive(eqx.Module):
    """Adds NaN or growth to the members whose mean q is positive."""

    rate: jax.Array

    def init(self, state, *, key=None):
        return None

    def __call__(self, state, memory=None, forcing=None):
        add = lambda q: jnp.where(jnp.mean(q) > 0, self.rate * q, 0.0)  # noqa: E731
        return jax.tree.map(add, state), memory


@pytest.mark.parametrize("rate", [jnp.inf, 1e-3])
def test_a_member_that_blows_up_is_frozen_and_dated_the_others_go_on(rate):
    system = TwoLayerQG(16)
    state = system.initial_state(key=jax.random.key(0))
    q = jnp.stack([state.q, -state.q])
    model = system.model(3600.0, closure=_Explosive(jnp.array(rate)))
    plain = system.model(3600.0)
    found = jax.vmap(lambda q: rollout(model, system.State(q), 20, 1))(q)
    wanted = rollout(plain, system.State(q[1]), 20, 1)
    at = int(found.blew_up_at[0])
    assert at == 1 if np.isinf(rate) else 1 < at < 20
    assert int(found.blew_up_at[1]) == -1
    assert bool(jnp.isfinite(found.states.q).all())
    frozen = found.states.q[0, at - 1 :]
    np.testing.assert_array_equal(frozen, jnp.broadcast_to(frozen[:1], frozen.shape))
    # vmap and no vmap compile to other instruction orders in float32
    scale = float(jnp.abs(wanted.states.q).max())
    np.testing.assert_allclose(found.states.q[1], wanted.states.q, rtol=0, atol=1e-5 * scale)


def test_checkpointing_changes_memory_not_gradients():
    system = TwoLayerQG(16)
    q = system.initial_state(key=jax.random.key(0)).q
    model = system.model(3600.0)
    steps = 102  # ten blocks of ten, and two

    def loss(q, checkpoint):
        end = rollout(model, system.State(q), steps, steps, checkpoint=checkpoint).states.q
        return jnp.sum((1e6 * end) ** 2)

    programs = [
        jax.jit(jax.grad(loss), static_argnums=1).lower(q, choice).compile()
        for choice in (False, True)
    ]
    plain, nested = (program(q) for program in programs)
    # recomputation may fuse differently in float32
    np.testing.assert_allclose(nested, plain, rtol=0, atol=1e-5 * float(jnp.abs(plain).max()))
    # 102 steps are kept, or 10 carries and 12 steps: 4.6 times less, but for what both need beside
    # them (found: 4.0 times)
    memory = [program.memory_analysis().temp_size_in_bytes for program in programs]
    assert memory[1] < memory[0] / 3


class _WrongShape(_Explosive):
    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda q: q[..., ::2, ::2], state), memory


def test_a_closure_of_wrong_shape_is_refused_before_the_run():
    system = TwoLayerQG(16)
    state = system.initial_state(key=jax.random.key(0))
    with pytest.raises(ShapeError, match="_WrongShape must return an increment"):
        rollout(system.model(3600.0, closure=_WrongShape(jnp.array(0.0))), state, 2)


def test_simulate_returns_cf_frames_and_tells_how_far_it_is():
    system = TwoLayerQG(16)
    state = system.initial_state(key=jax.random.key(0))
    told = []
    frames = simulate(
        system.model(3600.0), state, 4000, 1000, progress=lambda done, total: told.append(done)
    )
    assert frames.q.dims == ("time", "level", "y", "x")
    assert frames.q.attrs["units"] == "s-1"
    np.testing.assert_array_equal(frames.time, np.arange(5) * 3.6e6)
    np.testing.assert_array_equal(frames.q[0], state.q)
    assert told == [2000, 4000]
    wanted = rollout(system.model(3600.0), state, 4000, 1000).states.q
    # segments of one scan or another: the same program, the same bits
    np.testing.assert_array_equal(frames.q[1:], wanted)


def test_simulate_ends_at_a_blow_up_and_refuses_a_bad_start():
    system = TwoLayerQG(16)
    state = system.initial_state(key=jax.random.key(0))
    model = system.model(3600.0, closure=_Explosive(jnp.array(jnp.inf)))
    frames = simulate(model, state, 6, 2, progress=False)
    assert frames.attrs["blew_up_at"] == 1
    assert frames.sizes["time"] == 1
    with pytest.raises(UnstableRunError, match="initial state"):
        simulate(model, jax.tree.map(lambda q: q * jnp.nan, state), 2)
