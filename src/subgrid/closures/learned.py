"""A network as a closure: features → network → output."""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from subgrid.closures.base import AbstractClosure
from subgrid.closures.features import (
    FORCING,
    TENDENCY,
    Features,
    channels_to_state,
    state_to_channels,
)
from subgrid.closures.output import Output
from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import PeriodicGrid
from subgrid.nn import Fixed, dims_of, fixed_as
from subgrid.systems import AbstractSystem


class LearnedClosure(AbstractClosure):
    """A network from what it sees of the state to the increment.

        increment = output(network(features(x)))

    `features` (see `Features`) makes channels [C, y, x] of the arrays of the state, [level, y, x]
    or [y, x] each ([C, x] on a line), and standardises them; `network` maps them to [C', y, x];
    `output` (see `Output`) gives these units and makes its constraints hold. C' is what the output
    says: the channels of the state, unless a constraint reads others.

    A network with memory, or one that draws, has `init(seen, key=key)`, which returns its memory
    for a run whose first channels are `seen`, and is called as network(seen, memory) → (channels,
    memory). Others are called with the channels alone.

    `system` is the one that the closure was made for: it forms the features, if these have names,
    and models of another refuse the closure (see `in_system`). The closures of bundles have it;
    without it any model whose states have the channels is taken.

    The network is evaluated in the precision of its own weights, a tendency in that of its system,
    the rest in that of the state. Convolutional networks accept any grid (with named features, that
    of their system); whether they are right there is another question, since scaling and kernels
    were fitted at one. Raises what `Features.check` does, on a call ShapeError if channels, fields
    or grid of state, network, scalers and constraints do not match.
    """

    features: Features
    network: Any
    output: Output
    _system: Fixed[AbstractSystem | None] = eqx.field(metadata=fixed_as("system"))

    def __init__(
        self, features: Features, network: Any, output: Output, system: AbstractSystem | None = None
    ):
        features.check(system)
        if output.asks_again and (hasattr(network, "init") or FORCING in (features.names or ())):
            raise ConfigError(
                "symmetry takes the mean over images of a state: its network must have no memory "
                "and no random numbers, and see nothing of the forcing, which has no image here"
            )
        self.features, self.network, self.output = features, network, output
        self._system = Fixed(system)

    @property
    def system(self) -> AbstractSystem | None:
        """The system that the closure was made for; its numbers are fixed."""
        return self._system.value

    @property
    def own_grid(self) -> PeriodicGrid | None:
        """Return the grid on which it takes derivatives, None where it takes none."""
        return self.output.grid

    def moves(self, differing: Iterable[str]) -> bool:
        """Return whether no grid stays behind: any system of its variables can form its inputs."""
        return self.own_system is not None and self.own_grid is None

    def changed(self, **parts: Any) -> "LearnedClosure":
        """Return the closure with other parts: features, network, output, system."""
        own = {name: getattr(self, name) for name in ("features", "network", "output", "system")}
        return type(self)(**own | parts)

    def in_system(self, system: Any) -> "LearnedClosure":
        """Return the closure of `system`, which then forms the features: the tendency, say.

        The network stays as it was trained. Raises UnknownNameError if the system lacks one.
        """
        return self.changed(system=system)

    @property
    def claims(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return what the constraints of the output guarantee."""
        return self.output.claims

    @property
    def takes_tendency(self) -> bool:
        """Return whether the network sees the resolved tendency."""
        return TENDENCY in (self.features.names or ())

    def init(self, state: PyTree, *, key: PyTree = None) -> PyTree:
        """Return the network's memory for a run that starts at `state`; mostly None."""
        return self.first_memory(state_to_channels(state, dims_of(self.network)), key)

    def first_memory(self, fields: Float[Array, "channel *space"], key: PyTree = None) -> PyTree:
        """Return what `init` does, for the channels of a state."""
        first = getattr(self.network, "init", None)
        return None if first is None else first(self.seen(fields), key=key)

    def __call__(
        self,
        state: PyTree,
        memory: PyTree = None,
        forcing: PyTree = None,
        *,
        tendency: PyTree = None,
    ) -> tuple[PyTree, PyTree]:
        """Return the increment, like the state and per second, and the network's memory.

        `tendency`: the resolved one, if the caller has it and the features name it.
        """
        dims = dims_of(self.network)
        fields = state_to_channels(state, dims)
        known = None if tendency is None else state_to_channels(tendency, dims)
        increment, memory = self.predict(fields, memory, forcing, tendency=known)
        increment = channels_to_state(increment.astype(fields.dtype), state)
        return self.output.in_run(increment, state), memory

    def predict(
        self,
        fields: Float[Array, "channel *space"],
        memory: PyTree = None,
        forcing: PyTree = None,
        *,
        tendency: Float[Array, "channel *space"] | None = None,
        noise: Float[Array, "feature *space"] | None = None,
    ) -> tuple[Float[Array, "channel *space"], PyTree]:
        """Return the increment of a state's channels, as a training has it, and the memory.

        `forcing`, `tendency`, `noise`: see `seen`.
        """
        if hasattr(self.network, "init"):
            seen = self.seen(fields, tendency, noise, forcing)
            said, memory = self.network(seen, memory)
            return self.output(self._checked(said, fields, seen.dtype), fields), memory

        def say(x: Float[Array, "channel *space"]) -> Float[Array, "out *space"]:
            # of another state than the given one, an image, the system forms the tendency itself
            seen = self.seen(x, tendency if x is fields else None, noise, forcing)
            return self._checked(self.network(seen), x, seen.dtype)

        return self.output.around(say, fields), memory

    def seen(
        self,
        fields: Float[Array, "channel *space"],
        tendency: Float[Array, "channel *space"] | None = None,
        noise: Float[Array, "feature *space"] | None = None,
        forcing: PyTree = None,
    ) -> Float[Array, "feature *space"]:
        """Return what the network sees of a state's channels, in the precision of its weights.

        `tendency`: the channels of the resolved tendency, if they are known; `noise`: what is added
        to the standardised channels in training; `forcing`: what drives the system then.
        """
        system = None if self.features.names is None else self.system
        seen = self.features(fields, system, tendency, noise, forcing)
        return seen.astype(_precision(self.network, fields.dtype))

    def _checked(self, said: Array, fields: Array, precision: Any) -> Array:
        """Return what the network says in the precision of the fields; raises for another shape."""
        channels = self.output.channels(fields.shape[0])
        name, wanted = type(self.network).__name__, (channels, *fields.shape[1:])
        if said.shape != wanted:
            reading = [one for one in self.output.constraints if one.reads]
            made = f" (of which {type(reading[0]).__name__} makes the increment)" if reading else ""
            raise ShapeError(
                f"the network {name} must map {fields.shape} to {wanted}{made}, but returned "
                f"{said.shape}"
            )
        if said.dtype != precision:
            raise TypeError(
                f"the network {name} must return {precision}, the precision of its weights, which "
                f"it was given, but returned {said.dtype}"
            )
        return said.astype(fields.dtype)


def _precision(network: Any, default: Any) -> Any:
    """Return the dtype of a network's first floating-point weight, or `default` without weights."""
    weights = jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))
    return weights[0].dtype if weights else default
