"""What a network sees of a state: some of its variables, and what the model itself makes of it."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.closures._channels import channels_to_state, state_to_channels
from subgrid.errors import ShapeError, UnknownNameError
from subgrid.nn import Fixed, fixed_as
from subgrid.registry import unknown_name_message
from subgrid.systems import AbstractSystem, state_shapes

TENDENCY = "tendency"  # the name of the resolved tendency among the inputs
VORTICITY = "vorticity"  # and that of the vorticity, where it is no variable of the system


class Inputs(eqx.Module):
    """The channels that a network is given, instead of those of the state alone.

    `names`, in the order of the channels: variables of `system`, each with all its levels,
    "vorticity" if it is no variable but the system offers `vorticity(state)`, as `KolmogorovFlow`
    does (1/time, one channel at north-east corners; what Otness et al. 2025 feed with u and v), and
    "tendency", the resolved tendency of every variable (its units per second). What a subgrid
    forcing S = C[F(x)] - F(C x) takes away is that tendency, formed on the coarse grid, so that a
    few local weights applied to it go further than many that must form products and invert
    operators of the whole domain themselves. A model has it already and hands it on; elsewhere
    `system` forms it, at the cost of about one step of the coarse model.

    `system` is the one that the closure works in: its grid and constants are those of the
    tendency. Raises UnknownNameError for another name, ValueError for none or one given twice.
    """

    _system: Fixed[AbstractSystem] = eqx.field(metadata=fixed_as("system"))
    names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, system: AbstractSystem, names: Sequence[str]):
        known = [variable.name for variable in system.variables]
        if VORTICITY not in known and callable(getattr(system, VORTICITY, None)):
            known.append(VORTICITY)
        known.append(TENDENCY)
        for name in names:
            if name not in known:
                raise UnknownNameError(unknown_name_message("input", name, known))
        if not names or len(set(names)) < len(names):
            raise ValueError(f"inputs must be some of {known}, each once, got {list(names)}")
        self._system, self.names = Fixed(system), tuple(names)

    @property
    def system(self) -> AbstractSystem:
        """The system that forms the inputs; its numbers are fixed."""
        return self._system.value

    @property
    def count(self) -> int:
        """Return the number of channels."""
        like = self._state()
        sizes = [math.prod(leaf.shape[:-2]) for leaf in jax.tree.leaves(like)]
        named = dict(zip((v.name for v in self.system.variables), sizes, strict=True))
        named[TENDENCY] = sum(sizes)
        if VORTICITY in self.names and VORTICITY not in named:
            named[VORTICITY] = math.prod(jax.eval_shape(self._vorticity, like).shape[:-2])
        return sum(named[name] for name in self.names)

    def __call__(
        self,
        fields: Float[Array, "channel y x"],
        tendency: Float[Array, "channel y x"] | None = None,
    ) -> Float[Array, "input y x"]:
        """Return the network's channels from those of a state (see `state_to_channels`).

        `tendency`: its resolved tendency, as channels, if it is known already.

        Raises ShapeError for a state of other channels or on another grid than the system's.
        """
        like = self._state()
        wanted = jax.eval_shape(state_to_channels, like).shape
        if fields.shape != wanted:
            raise ShapeError(
                f"the state has {fields.shape} (channel, y, x), but the inputs {list(self.names)} "
                f"are formed by a system of {wanted}"
            )
        state = channels_to_state(fields, like)
        parts = []
        for name in self.names:
            if name == TENDENCY:
                known = tendency is not None
                parts.append(tendency if known else state_to_channels(self.system.tendency(state)))
            elif name == VORTICITY and not hasattr(state, name):
                parts.append(state_to_channels(self._vorticity(state)))
            else:
                parts.append(state_to_channels(getattr(state, name)))
        return jnp.concatenate(parts).astype(fields.dtype)

    def _vorticity(self, state: PyTree) -> Float[Array, "*level y x"]:
        return getattr(self.system, VORTICITY)(state)

    def _state(self) -> PyTree:
        return state_shapes(self.system)
