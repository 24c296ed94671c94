"""One update of the parameters: gradient in chunks, on all devices, guarded against NaN."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Float, Int, Key

from subgrid.errors import ShapeError
from subgrid.randomness import Stream, random_key

Loss = Callable[[Any, Any, Key[Array, "batch"]], Any]
"""loss(network, batch, keys): the mean over the batch, or (mean, dict of further scalars)."""


class TrainState(eqx.Module):
    """All arrays that an update changes.

    `parameters`: the trained leaves of the network (None elsewhere). `optimiser`: its state.
    `average`: exponential moving average of the parameters, or None. `skipped`, `skipped_in_row`:
    updates left out because of a non-finite loss or gradient. `sums`: of loss, gradient norm and
    the loss's further scalars over the updates made since the last record, and their `count`.
    """

    parameters: Any
    optimiser: Any
    average: Any
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]
    sums: dict[str, Float[Array, ""]]
    count: Int[Array, ""]


def initial_state(
    parameters: Any,
    transformation: optax.GradientTransformation,
    *,
    ema: float | None,
    names: tuple[str, ...],
) -> TrainState:
    """Return the state before the first update, with sums called `names` besides the loss's."""
    skipped, skipped_in_row, count = (jnp.zeros((), jnp.int32) for _ in range(3))
    return TrainState(
        parameters=parameters,
        optimiser=transformation.init(parameters),
        # a copy: the buffers of the state are donated, so no two may be the same
        average=None if ema is None else jax.tree.map(jnp.copy, parameters),
        skipped=skipped,
        skipped_in_row=skipped_in_row,
        sums={name: jnp.zeros(()) for name in ("loss", "gradient_norm", *names)},
        count=count,
    )


def data_mesh() -> Mesh:
    """Return the mesh of all visible devices, along which a batch is divided."""
    return Mesh(np.asarray(jax.devices()), ("batch",))


def make_update(
    loss: Loss,
    transformation: optax.GradientTransformation,
    static: Any,
    mesh: Mesh,
    *,
    seed: int,
    chunk: int | None = None,
    ema: float | None = None,
) -> Callable[[TrainState, Any, Any, Int[Array, ""]], tuple[TrainState, Int[Array, ""]]]:
    """Return the compiled function (state, frozen, batch, number) → (state, skipped in a row).

    `frozen` holds the arrays of the network that are not trained, `static` what is no array. The
    batch is divided over the devices of `mesh`, and on each into chunks of `chunk` samples whose
    gradients are added up in a scan: on a CPU a small chunk stays in cache. Sample b of update n
    draws from split(fold_in(stream, n))[b], so that the draw depends on neither. The buffers of
    the state are donated.

    A loss or gradient that is not finite changes nothing but the counters.
    """
    gradient = _parallel(_chunked_gradient(loss, static, chunk), mesh)
    stream = jax.random.fold_in(random_key(seed), np.uint32(Stream.LOSS))

    def update(state, frozen, batch, number):
        size = jax.tree.leaves(batch)[0].shape[0]
        keys = jax.random.split(jax.random.fold_in(stream, number), size)
        values, slope = gradient(state.parameters, frozen, batch, keys)
        values["gradient_norm"] = _norm(slope)
        finite = jnp.isfinite(values["loss"]) & jnp.isfinite(values["gradient_norm"])
        change, optimiser = transformation.update(slope, state.optimiser, state.parameters)
        parameters = optax.apply_updates(state.parameters, change)
        average = _average(state, parameters, number, ema)
        sums = {name: state.sums[name] + values[name] for name in state.sums}
        changed = (parameters, optimiser, average, sums, state.count + 1)
        unchanged = (state.parameters, state.optimiser, state.average, state.sums, state.count)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), changed, unchanged)
        skip = jnp.where(finite, 0, 1)
        in_row = (state.skipped_in_row + 1) * skip
        parameters, optimiser, average, sums, count = kept
        state = TrainState(
            parameters, optimiser, average, state.skipped + skip, in_row, sums, count
        )
        # A copy: the host reads it after the state's own has been donated to the next update.
        return state, in_row.copy()

    return jax.jit(update, donate_argnums=0)


def place_batch(batch: Any, mesh: Mesh, chunk: int | None) -> Any:
    """Return the batch on the devices, divided along its first axis.

    Raises ShapeError if the arrays differ in their first axis or if it cannot be divided.
    """
    sizes = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(batch)}
    parts = mesh.size * (chunk or 1)
    if len(sizes) != 1 or min(sizes) == 0 or min(sizes) % parts:
        raise ShapeError(
            f"a batch has arrays with first axes {sorted(sizes)}; they must be equal and a "
            f"multiple of {mesh.size} device(s) × chunk {chunk or 1}."
        )
    return jax.device_put(batch, NamedSharding(mesh, Spec("batch")))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Return the tree with every array whole on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, Spec()))


def evaluate_loss(loss: Loss, network: Any, batch: Any, keys: Key[Array, "batch"]) -> tuple:
    """Return the loss and the dict of all its scalars, whether it returns these or not."""
    found = loss(network, batch, keys)
    scalar, further = found if isinstance(found, tuple) else (found, {})
    return scalar, {"loss": scalar, **further}


def _chunked_gradient(loss: Loss, static: Any, chunk: int | None) -> Callable:
    def value(parameters, frozen, batch, keys):
        return evaluate_loss(loss, eqx.combine(parameters, frozen, static), batch, keys)

    def whole(parameters, frozen, batch, keys):
        (_, values), slope = jax.value_and_grad(value, has_aux=True)(
            parameters, frozen, batch, keys
        )
        return values, slope

    def chunked(parameters, frozen, batch, keys):
        size = keys.shape[0]
        if chunk is None or size == chunk:
            return whole(parameters, frozen, batch, keys)
        parts = jax.tree.map(lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:]), (batch, keys))
        first = jax.eval_shape(whole, parameters, frozen, *jax.tree.map(lambda p: p[0], parts))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)

        def add(total, part):
            return jax.tree.map(jnp.add, total, whole(parameters, frozen, *part)), None

        total, _ = jax.lax.scan(add, zeros, parts)
        return jax.tree.map(lambda leaf: leaf * (chunk / size), total)

    return chunked


def _parallel(gradient: Callable, mesh: Mesh) -> Callable:
    if mesh.size == 1:
        return gradient

    def local(parameters, frozen, batch, keys):
        return jax.lax.pmean(gradient(parameters, frozen, batch, keys), "batch")

    whole, divided = Spec(), Spec("batch")
    # check_vma=False: each device differentiates its own part, then the mean is taken once.
    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(whole, whole, divided, divided),
        out_specs=whole,
        check_vma=False,
    )


def _norm(tree: Any) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def _average(state: TrainState, parameters: Any, number: Int[Array, ""], ema: float | None) -> Any:
    if ema is None:
        return None
    made = (number - state.skipped).astype(jnp.float32)
    # Early on the memory is short, or the average would keep the random initial weights for long.
    decay = jnp.minimum(ema, (1.0 + made) / (10.0 + made))
    return jax.tree.map(
        lambda old, new: decay * old + (1.0 - decay) * new, state.average, parameters
    )
