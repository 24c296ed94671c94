"""Online training: a closure's network against the states that follow, through the solver."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from subgrid.closures import spatial_dims, state_to_channels
from subgrid.data import TIME, Windows, statistics
from subgrid.errors import ConfigError, ShapeError
from subgrid.numbers import whole_number
from subgrid.provenance import structure_text
from subgrid.randomness import require_seed
from subgrid.stepping import AbstractModel, repeat
from subgrid.systems import state_shapes
from subgrid.training.checkpoint import tree_hash
from subgrid.training.loop import fit
from subgrid.training.plan import Plan
from subgrid.training.run import FitResult
from subgrid.training.trackers import Callback
from subgrid.training.validation import mean_errors, validation_keys, validation_subset


@dataclass(frozen=True)
class OnlineResult:
    """A closure trained through the solver, with the best weights, and the fit it took."""

    closure: Any
    fits: tuple[FitResult, ...]


def train_online(
    closure: Any,
    model_with: Callable[[Any], AbstractModel],
    windows_train: Windows,
    windows_validation: Windows,
    plan: Plan,
    *,
    folder: str | Path,
    seed: SupportsIndex,
    steps_per_frame: SupportsIndex,
    callbacks: Sequence[Callback] = (),
    label: str = "",
) -> OnlineResult:
    """Return `closure` trained on rollouts of the model that it is part of.

        loss = mean over batch, frames 1 to n, channels and pixels of ((x_model - x)/σ_x)²

    x: the frames of a window, the first of which the model starts from, with no history, if its
    scheme keeps one; x_model: its state every `steps_per_frame` steps; σ_x: standard deviation of
    each channel of the state over the training split. Gradients run through all n frames of a
    window and recompute one frame's steps at a time, so that they remember n states and the steps
    of one frame.

    `model_with(closure)`: the model of a system, such as `system.model(dt, closure)`; it is called
    while tracing. All floating-point arrays of the closure are trained that are not `Fixed` (see
    `subgrid.nn.trainable`), from where they are: one that was trained offline is fine-tuned. Memory
    and random numbers run along, each window with a key of its own. The weights with the lowest
    loss on a fixed subset of the validation split are kept, and what was given is the record of
    update 0, so that the result is never worse there. A window whose model leaves the bounds of its
    variables has no finite loss: the update that holds it is skipped. The noise of `plan` is not
    for this: a rollout makes its own errors. Resumes in `folder`.

    Raises ConfigError for a plan with noise, windows without a variable of the state, a channel
    that does not vary, frames that are not `steps_per_frame` steps apart or nothing to train,
    ShapeError for windows on another grid, TypeError for a model without system, and the errors of
    `fit`. Source: learning through the solver, Kochkov et al. 2021, doi:10.1073/pnas.2101784118; a
    posteriori learning, Frezat et al. 2022, doi:10.1029/2022MS003124.
    """
    _check_plan(plan)
    seed = require_seed(seed)
    steps_per_frame = whole_number("steps_per_frame", steps_per_frame)
    task = unrolled(closure, model_with, windows_train, steps_per_frame)
    model = model_with(closure)
    for windows in (windows_train, windows_validation):
        _check_windows(windows, task, model)
    load = windows_train.batches(seed, plan.batch_size)
    result = fit(
        closure,
        plan,
        loss=make_loss(task),
        batches=lambda update: task.of_state(load(update)),
        validate=make_validation(task, windows_validation, plan, seed),
        folder=folder,
        seed=seed,
        settings=_settings(task, model, windows_train, windows_validation),
        callbacks=callbacks,
        label=label,
    )
    return OnlineResult(result.network, (result,))


@dataclass(frozen=True)
class Unrolled:
    """How a closure is scored on one window.

    `variables`: the arrays of a state, in the order of its fields. `like`: shapes and types of a
    state, whose last `dims` axes are those of the domain. `scale`: σ_x per channel, in the units of
    the state.
    """

    model_with: Callable[[Any], AbstractModel]
    steps_per_frame: int
    variables: tuple[str, ...]
    like: PyTree
    scale: Float[np.ndarray, " channel"]
    dims: int = 2

    def of_state(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the part of a batch that is the state's, and the time of its start."""
        return {name: batch[name] for name in (*self.variables, TIME)}

    def errors(
        self, closure: Any, window: Mapping[str, Array], key: Key[Array, ""] | None = None
    ) -> Float[Array, " channel"]:
        """Return the mean over frames and pixels of ((x_model - x)/σ_x)², NaN if it blew up.

        `window`: variable → [frame, ..., y, x], the first frame being the start;
        `TIME`: its time, 0 if it is not there; `key`: of the run.
        """
        model, dims = self.model_with(closure), self.dims
        start, wanted = (self._states(window, part) for part in (0, slice(1, None)))

        def frame(carry: PyTree, truth: PyTree) -> tuple[PyTree, Array]:
            carry = repeat(lambda c, _: model.step(c), carry, self.steps_per_frame)
            state = model.state(carry)
            difference = state_to_channels(state, dims) - state_to_channels(truth, dims)
            scale = jnp.asarray(self.scale, difference.dtype).reshape(-1, *[1] * dims)
            error = jnp.mean(jnp.square(difference / scale), axis=tuple(range(1, 1 + dims)))
            return carry, jnp.where(model.healthy(carry), error, jnp.nan)

        # in a scan there is nothing with which recomputed operations could be merged
        remembered = jax.checkpoint(frame, prevent_cse=False)  # type: ignore[arg-type]
        time = window.get(TIME, 0.0)
        _, errors = jax.lax.scan(remembered, model.init(start, key=key, start=time), wanted)
        return jnp.mean(errors, axis=0)

    def _states(self, window: Mapping[str, Array], part: int | slice) -> PyTree:
        leaves, structure = jax.tree.flatten(self.like)
        pairs = zip(self.variables, leaves, strict=True)
        return structure.unflatten([window[name][part].astype(leaf.dtype) for name, leaf in pairs])


def unrolled(
    closure: Any, model_with: Callable[[Any], AbstractModel], windows: Windows, steps_per_frame: int
) -> Unrolled:
    """Return how closures in this model are scored, errors being scaled by those windows' store."""
    system = getattr(model_with(closure), "system", None)
    if system is None:
        raise TypeError(
            "model_with must return a model of a system, such as system.model(dt, closure), which "
            "says what a state is."
        )
    names = tuple(variable.name for variable in system.variables)
    found = statistics(windows.path, windows.scale)
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            f"{windows.path} holds {sorted(found)}, but a state of {type(system).__name__} is "
            f"{list(names)}."
        )
    scale = np.concatenate([np.ravel(found[name].std) for name in names])
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise ConfigError(
            f"{windows.path}: the standard deviations of {list(names)} are {scale.tolist()}; "
            "errors of a channel that does not vary cannot be scaled."
        )
    dims = spatial_dims(system)
    return Unrolled(model_with, steps_per_frame, names, state_shapes(system), scale, dims)


def make_loss(task: Unrolled) -> Callable[[Any, Mapping[str, Array], Array], Array]:
    """Return the mean of `Unrolled.errors` over batch and channels."""

    def loss(closure: Any, batch: Mapping[str, Array], keys: Array) -> Array:
        one = lambda window, key: task.errors(closure, window, key)  # noqa: E731
        return jnp.mean(jax.vmap(one)(batch, keys))

    return loss


def make_validation(
    task: Unrolled, windows: Windows, plan: Plan, seed: int
) -> Callable[[Any], dict[str, float]]:
    """Return closure → {"loss": mean of `Unrolled.errors`, "loss_0": of channel 0, ...}.

    Taken over a fixed subset of the windows, drawn by `seed`, as are the keys of their runs.
    """
    chosen = validation_subset(windows, plan, seed)
    keys = validation_keys(seed, len(chosen))
    return mean_errors(task.errors, task.of_state(windows.batch(chosen)), keys)


def _settings(
    task: Unrolled, model: AbstractModel, train: Windows, validation: Windows
) -> dict[str, Any]:
    """Return what decides a run's numbers beyond the arguments of `fit`, as plain values."""
    return {
        "training": "online",
        "model": tree_hash(model),
        "model_structure": structure_text(model),
        "steps_per_frame": task.steps_per_frame,
        "frames": [train.frames, validation.frames],
        "scale": train.scale,
        "variables": list(task.variables),
        "training_data": train.content_hash,
        "validation_data": validation.content_hash,
    }


def _check_plan(plan: Plan) -> None:
    if plan.noise.level > 0:
        raise ConfigError(
            f"noise level is {plan.noise.level!r}; online training draws none: leave it at 0."
        )


def _check_windows(windows: Windows, task: Unrolled, model: AbstractModel) -> None:
    """Raise unless the windows hold the model's states, one every so many of its steps."""
    missing = [name for name in task.variables if name not in windows.variables]
    if missing:
        raise ConfigError(
            f"windows of {windows.path} hold {list(windows.variables)}, but a state is "
            f"{list(task.variables)}; ask Windows for all of them."
        )
    between = task.steps_per_frame * model.dt
    if not np.isclose(between, windows.interval, rtol=1e-6, atol=0):
        raise ConfigError(
            f"{task.steps_per_frame} steps of {model.dt:g} make {between:g}, but frames of "
            f"{windows.path} are {windows.interval:g} apart; choose steps_per_frame and dt so that "
            "a step ends at each frame."
        )
    batch = windows.batch([0])
    shapes = {name: batch[name].shape[2:] for name in task.variables}
    wanted = [leaf.shape for leaf in jax.tree.leaves(task.like)]
    if list(shapes.values()) != wanted:
        raise ShapeError(
            f"windows of {windows.path} hold {shapes}, but the model's states are {wanted}; take "
            "the system on the grid of the windows."
        )
