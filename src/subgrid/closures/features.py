"""States as channels of a network, and what a network sees: variables, and what is made of them."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.errors import ShapeError, UnknownNameError
from subgrid.nn import Scaler
from subgrid.registry import unknown_name_message
from subgrid.systems import AbstractSystem, state_shapes

TENDENCY = "tendency"  # the name of the resolved tendency among the features
FORCING = "forcing"  # the name of what drives the system from outside


class Features(eqx.Module):
    """The channels that a network is given, standardised: (x - μ)/σ per channel.

    `names`, in the order of the channels: variables of the closure's system, each with all its
    levels; what the system derives of a state (`AbstractSystem.derived`: the vorticity of
    `KolmogorovFlow`, at north-east corners, which Otness et al. 2025 feed with u and v); and
    "tendency", the resolved tendency of every variable (its units per second). What a subgrid
    forcing S = C[F(x)] - F(C x) takes away is that tendency, formed on the coarse grid, so that a
    few local weights applied to it go further than many that must form products and invert
    operators of the whole domain themselves. A model has it already and hands it on; elsewhere the
    system forms it, at the cost of about one step of the coarse model; and "forcing", what drives
    the system from outside (`forcing_variables`): fields are channels, as are numbers, the same all
    over the domain. Without names a network sees the state: its arrays in their order, of any
    system that has as many channels.

    `scaler`: μ and σ; without one nothing is scaled, until a training measures it. Raises
    ValueError for no name and for one given twice.
    """

    names: tuple[str, ...] | None = eqx.field(static=True)
    scaler: Scaler | None

    def __init__(self, names: Sequence[str] | None = None, scaler: Scaler | None = None):
        if names is not None and (not names or len(set(names)) < len(names)):
            raise ValueError(f"features must be some names, each once, got {list(names)}")
        self.names, self.scaler = None if names is None else tuple(names), scaler

    def check(self, system: AbstractSystem | None) -> None:
        """Raise unless a system can form them, and as many as the scaler has.

        UnknownNameError for a name that it does not know, ValueError without a system where it
        takes one, ShapeError for a scaler of other channels.
        """
        if self.names is None:
            return
        if system is None:
            raise ValueError(f"the features {list(self.names)} are formed by a system: give it")
        known = [*(variable.name for variable in system.variables), *system.derived, TENDENCY]
        if system.forcing_variables:
            known.append(FORCING)
        for name in self.names:
            if name not in known:
                raise UnknownNameError(unknown_name_message("feature", name, known))
        scaled = None if self.scaler is None else len(self.scaler.mean)
        if scaled not in (None, count := self.count(system)):
            raise ShapeError(
                f"the features {list(self.names)} are {count} channels, but the scaler has {scaled}"
            )

    def count(self, system: AbstractSystem) -> int:
        """Return the number of channels of a system's features."""
        # the state stands for the tendency, which has as many and takes long to trace
        return jax.eval_shape(lambda x: self.form(x, system, x), _shape(system)).shape[0]

    def form(
        self,
        fields: Float[Array, "channel *space"],
        system: AbstractSystem | None,
        tendency: Float[Array, "channel *space"] | None = None,
        forcing: PyTree = None,
    ) -> Float[Array, "feature *space"]:
        """Return the channels from those of a state (see `state_to_channels`), in their units.

        `tendency`: its resolved tendency, as channels, if it is known already. `forcing`: what
        drives the system then, by default at time 0. Raises ShapeError for a state of other
        channels or on another grid than the system's.
        """
        if self.names is None or system is None:
            return fields
        if fields.shape != (wanted := _shape(system).shape):
            raise ShapeError(
                f"the state has {fields.shape} (channel, then the grid), but the features "
                f"{list(self.names)} are formed by a system of {wanted}"
            )
        state, dims = channels_to_state(fields, state_shapes(system)), fields.ndim - 1
        parts = []
        for name in self.names:
            if name == FORCING:
                found = _drivers(system, forcing)
            elif name == TENDENCY and tendency is not None:
                found = tendency
            elif name == TENDENCY:
                found = state_to_channels(system.tendency(state), dims)
            elif hasattr(state, name):
                found = state_to_channels(getattr(state, name), dims)
            else:
                found = state_to_channels(getattr(system, name)(state), dims)
            parts.append(found)
        return jnp.concatenate(parts).astype(fields.dtype)

    def __call__(
        self,
        fields: Float[Array, "channel *space"],
        system: AbstractSystem | None = None,
        tendency: Float[Array, "channel *space"] | None = None,
        noise: Float[Array, "feature *space"] | None = None,
        forcing: PyTree = None,
    ) -> Float[Array, "feature *space"]:
        """Return what the network sees: the channels of `form`, standardised.

        `noise` is added to them in training. Raises ShapeError as `form` does.
        """
        found = self.form(fields, system, tendency, forcing)
        if self.scaler is not None:
            if len(found) != (wanted := len(self.scaler.mean)):
                raise ShapeError(
                    f"the network's features have {len(found)} channels, but this closure was made "
                    f"for {wanted}"
                )
            found = self.scaler.normalise(found)
        return found if noise is None else found + noise


def state_to_channels(state: PyTree, dims: int = 2) -> Float[Array, "channel *space"]:
    """Return the arrays of a state as channels, in their order.

    The last `dims` axes of every array are those of the domain: (y, x) of a plane, or the one of a
    line. A further one before them, such as levels, counts channels. Variables may differ in it.
    Raises ShapeError for other axes and for arrays that are not all on one grid.
    """
    leaves = jax.tree.leaves(state)
    grids = {leaf.shape[-dims:] for leaf in leaves}
    if len(grids) != 1 or any(leaf.ndim - dims not in (0, 1) for leaf in leaves):
        axes = "y, x" if dims == 2 else "x"
        raise ShapeError(
            f"a network needs one state, whose arrays [{axes}] or [level, {axes}] all end in the "
            f"same ({axes}), got shapes {[leaf.shape for leaf in leaves]}; several go through "
            "jax.vmap"
        )
    return jnp.concatenate([leaf.reshape(-1, *leaf.shape[-dims:]) for leaf in leaves])


def channels_to_state(fields: Float[Array, "channel *space"], like: PyTree) -> PyTree:
    """Return channels as a state shaped like `like`: the inverse of `state_to_channels`.

    Raises ShapeError for another number of channels and another grid.
    """
    leaves, structure = jax.tree.flatten(like)
    dims = fields.ndim - 1
    wanted = jax.eval_shape(lambda state: state_to_channels(state, dims), like).shape
    if fields.shape != wanted:
        raise ShapeError(
            f"the channels of one {type(like).__name__} are {wanted} (channel, then the grid), got "
            f"{fields.shape}; several go through jax.vmap"
        )
    parts, start = [], 0
    for leaf in leaves:
        count = math.prod(leaf.shape[: leaf.ndim - dims])
        parts.append(fields[start : start + count].reshape(leaf.shape))
        start += count
    return jax.tree.unflatten(structure, parts)


def channel_counts(state: PyTree, dims: int = 2) -> list[int]:
    """Return how many channels each array of a state makes."""
    return [math.prod(leaf.shape[: leaf.ndim - dims]) for leaf in jax.tree.leaves(state)]


def spatial_dims(system: AbstractSystem) -> int:
    """Return the number of dimensions of a system's domain."""
    return len(system.domain.dims)


def channel_count(system: AbstractSystem) -> int:
    """Return how many channels the states of a system are."""
    return sum(channel_counts(state_shapes(system), spatial_dims(system)))


def _shape(system: AbstractSystem) -> jax.ShapeDtypeStruct:
    """Return the shape of a state's channels."""
    dims = spatial_dims(system)
    return jax.eval_shape(lambda state: state_to_channels(state, dims), state_shapes(system))


def _drivers(system: AbstractSystem, forcing: PyTree) -> Float[Array, "channel *space"]:
    """Return what drives a system as channels."""
    shape, dims = system.domain.shape, system.domain.dims
    outside = system.forcing_at(jnp.zeros(())) if forcing is None else forcing
    parts = []
    for leaf, variable in zip(jax.tree.leaves(outside), system.forcing_variables, strict=True):
        if variable.dims[-len(dims) :] != dims:
            leaf = jnp.broadcast_to(jnp.reshape(leaf, (-1, *[1] * len(dims))), (leaf.size, *shape))
        parts.append(leaf.reshape(-1, *shape))
    return jnp.concatenate(parts)
