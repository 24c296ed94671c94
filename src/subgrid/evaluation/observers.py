"""What is recorded of a model at a frame of its free run: the quantities of its system."""

import abc
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from subgrid.closures import channels_to_state
from subgrid.coarsening import AbstractCoarsener, AbstractTarget, TendencyDefect
from subgrid.errors import ConfigError
from subgrid.randomness import random_key
from subgrid.stepping import AbstractModel
from subgrid.systems import AbstractSystem, DrawnField, Quantity


def require_quantities(system: Any) -> tuple[Quantity, ...]:
    """Return the quantities of a system.

    Raises ConfigError for one that does not say by what its free runs are scored.
    """
    if not system.quantities:
        raise ConfigError(
            f"{type(system).__name__} does not say by what its free runs are scored. Give the "
            "class `quantities` with `observe`, and `drawn` with `field`: see "
            "subgrid.systems.AbstractSystem."
        )
    return system.quantities


class AbstractObserver(eqx.Module):
    """What is recorded of a state at a time, and all that a dataset says of it.

    A call returns the value of every one of `quantities`, of spectra the density. `system` says the
    domain, the coordinates, the time unit and what field stands for a state, if any; of a model
    without a system it is the model itself.
    """

    system: eqx.AbstractVar[Any]

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities that are recorded."""
        return require_quantities(self.system)

    @property
    def drawn(self) -> DrawnField | None:
        """What describes the field that stands for a state."""
        return getattr(self.system, "drawn", None)

    @abc.abstractmethod
    def __call__(self, state: PyTree, time: ArrayLike = 0.0) -> dict[str, Array]:
        """Return the value of every quantity, of spectra the density."""

    def field(self, state: PyTree) -> Array | None:
        """Return the field that is kept as a snapshot of a state, if there is one."""
        return self.field_of_truth(state)

    def field_of_truth(self, state: PyTree) -> Array | None:
        """Return the field of a state of the truth, which is as coarse as what is recorded."""
        return None if self.drawn is None else self.system.field(state)


class ModelObserver(AbstractObserver):
    """Observes the states of a coarse model; its closure's increment enters what depends on it.

    A closure that carries memory is left out: its increment is not a function of the state alone.
    """

    system: AbstractSystem
    closure: Any = None

    def __call__(self, state: PyTree, time: ArrayLike = 0.0) -> dict[str, Array]:
        """Return what the system observes of the state, by quantity."""
        if self.closure is None:
            return {**self.system.observe(state), **self._of_no_closure(state)}
        # with a key, for a closure that draws: what it draws is not looked at
        memory = self.closure.init(state, key=random_key(0))
        if memory is not None:
            return self.system.observe(state)
        forcing = self.system.forcing_at(jnp.asarray(time))
        return self.system.observe(state, self.closure(state, None, forcing)[0])

    def _of_no_closure(self, state: PyTree) -> dict[str, Array]:
        """Return zeros for the quantities that say what a closure does."""
        names = [quantity.name for quantity in self.system.quantities if quantity.of_closure]
        if not names:
            return {}
        none = jax.tree.map(jnp.zeros_like, state)
        shapes = jax.eval_shape(self.system.observe, state, none)
        return {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in names}


class CoarsenedObserver(AbstractObserver):
    """Observes a fine model as the coarse one should be: coarsened, with its true forcing.

    `system`: the coarse one; `fine`: the model's own. The true forcing, by default the difference
    of two tendencies, takes the place of the closure in what depends on it. With it `free_runs` of
    a fine model are the truth.
    """

    system: AbstractSystem
    fine: AbstractSystem
    coarsener: AbstractCoarsener
    target: AbstractTarget = TendencyDefect()

    def __call__(self, state: PyTree, time: ArrayLike = 0.0) -> dict[str, Array]:
        """Return what the system observes of the coarsened state and its forcing."""
        return self.system.observe(
            *self.target(self.fine, self.system, self.coarsener, state, time)
        )

    def field(self, state: PyTree) -> Array | None:
        """Return the field of the coarsened state."""
        return self.field_of_truth(self.coarsener(state))


class StateObserver(AbstractObserver):
    """Observes a model without a system, such as an emulator: each variable as a field.

    `system`: the model.
    """

    system: AbstractModel

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """One field for each variable."""
        return tuple(
            Quantity(v.name, ("time", *v.dims), v.units, v.long_name, kind="field")
            for v in self.system.variables
        )

    def __call__(self, state: PyTree, time: ArrayLike = 0.0) -> dict[str, Array]:
        """Return the arrays of the state by variable."""
        names = [variable.name for variable in self.system.variables]
        return dict(zip(names, jax.tree.leaves(state), strict=True))


def observer_of(model: AbstractModel, system: AbstractSystem | None = None) -> AbstractObserver:
    """Return what records a model's free runs by the quantities of `system`, or of its own.

    A model without a system is recorded variable by variable.
    """
    own = getattr(model, "system", None) if system is None else system
    if own is None:
        return StateObserver(model)
    return ModelObserver(own, getattr(model, "closure", None))


def in_order(values: Any) -> Any:
    """Return arrays by variable as a tuple, in their order: JAX would sort them by name."""
    return tuple(values.values()) if isinstance(values, Mapping) else values


def state_of(values: Any, like: PyTree) -> PyTree:
    """Return the state, or stacked states, of what a data set holds.

    `values`: arrays by variable or `in_order`, in that of the state; or one array of the channels
    of one state [channel, *domain], where all variables have one grid. `like`: its shapes.
    """
    values = in_order(values)
    if isinstance(values, tuple):
        return jax.tree.unflatten(jax.tree.structure(like), values)
    return channels_to_state(values, like)
