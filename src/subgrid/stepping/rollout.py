"""Many steps: a compiled, differentiable scan that saves frames and freezes blown-up members."""

import math
from collections.abc import Callable
from typing import SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from subgrid.computing import lenient
from subgrid.errors import ConfigError
from subgrid.numbers import whole_number
from subgrid.stepping.model import AbstractModel, Carry

Observe = Callable[[PyTree, Array], PyTree]  # state, time → what is kept of it


class Trajectory(eqx.Module):
    """Holds the frames of a rollout.

    `states`: the states, stacked on a leading time axis; frame i is the state after
    (i + 1) · save_every steps. `steps` [time]: step counts; `times` [time]: in the unit of dt.
    `blew_up_at`: the step at which the member left its limits or became non-finite, -1 if it did
    not; from there on the frames repeat its last healthy state and are to be masked.
    """

    states: PyTree
    steps: Int[Array, " time"]
    times: Float[Array, " time"]
    blew_up_at: Int[Array, ""]


def guarded_step(model: AbstractModel, carry: Carry, forcing: PyTree = None) -> Carry:
    """Return the next carry, or the same state one step later if the member has blown up.

    The step at which it did is kept in `blew_up_at`; the frozen state is the last healthy one.
    """
    later = model.step(carry, forcing)
    alive = (carry.blew_up_at < 0) & model.healthy(later)
    kept = jax.tree.map(lambda new, old: jnp.where(alive, new, old), later, carry)
    first = jnp.where(carry.blew_up_at < 0, later.step, carry.blew_up_at)
    return eqx.tree_at(
        lambda c: (c.step, c.blew_up_at),
        kept,
        (later.step, jnp.where(alive, carry.blew_up_at, first)),
    )


def repeat(
    step: Callable[[Carry, PyTree], Carry],
    carry: Carry,
    times: int,
    forcing: PyTree = None,
    checkpoint: bool = False,
) -> Carry:
    """Return the carry after `times` steps; `forcing` has a leading axis of that length or is None.

    With `checkpoint` the gradient recomputes: about √times carries are kept instead of all.
    """
    if not checkpoint or times < 4:
        body = jax.checkpoint(step) if checkpoint else step  # type: ignore[arg-type]
        return jax.lax.scan(lambda c, f: (body(c, f), None), carry, forcing, length=times)[0]
    inner = math.isqrt(times)
    outer, rest = divmod(times, inner)

    @jax.checkpoint
    def block(c, f):
        return repeat(step, c, inner, f, checkpoint=False)

    whole = jax.tree.map(lambda f: f[: outer * inner].reshape(outer, inner, *f.shape[1:]), forcing)
    carry = jax.lax.scan(lambda c, f: (block(c, f), None), carry, whole, length=outer)[0]
    if rest == 0:
        return carry
    return repeat(step, carry, rest, jax.tree.map(lambda f: f[outer * inner :], forcing))


@eqx.filter_jit
def advance_segment(
    model: AbstractModel,
    carry: Carry,
    frames: int,
    save_every: int,
    observe: Observe | None = None,
    forcing: PyTree = None,
    checkpoint: bool = False,
) -> tuple[Carry, PyTree]:
    """Return the carry after frames · save_every steps and what `observe` saw at each frame.

    `observe(state, time)` (default: the state itself) is computed on device, at times in units of
    dt; its results are stacked on a leading axis of length `frames`. `forcing`: a PyTree with a
    leading axis of frames · save_every steps, by default what the model prescribes. This is the
    compiled unit from which long runs are made: the carry can be saved between two segments.
    """
    folded = jax.tree.map(lambda f: f.reshape(frames, save_every, *f.shape[1:]), forcing)

    def step(c, f):
        return guarded_step(model, c, f)

    def frame(c, f):
        c = repeat(step, c, save_every, f, checkpoint)
        state = model.state(c)
        return c, state if observe is None else observe(state, c.start + c.step * model.dt)

    return jax.lax.scan(frame, carry, folded, length=frames)


def frames_of(steps: SupportsIndex, save_every: SupportsIndex) -> tuple[int, int]:
    """Return how many frames a run has, and `save_every` as an int.

    Raises ConfigError unless `steps` is a positive multiple of `save_every`, both whole numbers.
    """
    count, every = (
        whole_number(name, value, least=0)
        for name, value in (("steps", steps), ("save_every", save_every))
    )
    if count < 1 or every < 1 or count % every:
        raise ConfigError(
            f"steps must be a positive multiple of save_every, got {count} and {every}"
        )
    return count // every, every


@lenient()
def rollout(
    model: AbstractModel,
    state: PyTree,
    steps: SupportsIndex,
    save_every: SupportsIndex = 1,
    forcing: PyTree = None,
    key: PRNGKeyArray | None = None,
    checkpoint: bool = False,
) -> Trajectory:
    """Run a model from a state; jitted, differentiable, and ready for `jax.vmap` over states.

    `steps`: a multiple of `save_every`; `forcing`: a PyTree with a leading axis of `steps`, by
    default what `model.forcing_at` prescribes from time 0 on;
    `key`: for closures with randomness; `checkpoint`: trade time for memory in the gradient.
    The gradient of a member that blew up is not finite, even where its frames are masked: drop such
    members before differentiating, or skip the update.
    Raises ValueError if `steps` is not a positive multiple of `save_every`.
    """
    frames, every = frames_of(steps, save_every)
    carry, states = advance_segment(
        model, model.init(state, key=key), frames, every, None, forcing, checkpoint
    )
    count = jnp.arange(1, frames + 1, dtype=jnp.int32) * every
    return Trajectory(states, count, count * model.dt, carry.blew_up_at)
