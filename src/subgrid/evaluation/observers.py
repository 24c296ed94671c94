"""What is recorded of a model at a frame of its free run: the quantities of its system."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from subgrid.coarsening import AbstractTarget, TendencyDefect
from subgrid.errors import ConfigError
from subgrid.randomness import random_key
from subgrid.systems import AbstractSystem, DrawnField


def require_quantities(system: AbstractSystem) -> DrawnField:
    """Return the field that is drawn of a system.

    Raises ConfigError for one that does not say by what its free runs are scored.
    """
    if not system.quantities or system.drawn is None:
        raise ConfigError(
            f"{type(system).__name__} does not say by what its free runs are scored. Give the "
            "class `quantities` with `observe`, and `drawn` with `field`: see "
            "subgrid.systems.AbstractSystem."
        )
    return system.drawn


class ModelObserver(eqx.Module):
    """Observes the states of a coarse model; its closure's increment enters the spectral budget.

    A closure that carries memory is left out of the budget: its increment is not a function of the
    state alone.
    """

    system: AbstractSystem
    closure: Any = None

    def __call__(self, state: PyTree) -> dict[str, Array]:
        """Return what the system observes of the state, by quantity."""
        if self.closure is None:
            return {**self.system.observe(state), **self._of_no_closure(state)}
        # with a key, for a closure that draws: what it draws is not looked at
        memory = self.closure.init(state, key=random_key(0))
        if memory is not None:
            return self.system.observe(state)
        return self.system.observe(state, self.closure(state, None)[0])

    def coarse(self, state: PyTree) -> PyTree:
        """Return the state kept as a snapshot: the state itself."""
        return state

    def _of_no_closure(self, state: PyTree) -> dict[str, Array]:
        """Return zeros for the quantities that say what a closure does."""
        names = [quantity.name for quantity in self.system.quantities if quantity.of_closure]
        if not names:
            return {}
        none = jax.tree.map(jnp.zeros_like, state)
        shapes = jax.eval_shape(self.system.observe, state, none)
        return {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in names}


class CoarsenedObserver(eqx.Module):
    """Observes a fine model as the coarse one should be: coarsened, with its true forcing.

    `system`: the coarse one; `fine`: the model's own.
    """

    system: AbstractSystem
    fine: AbstractSystem
    coarsener: Any
    target: AbstractTarget = TendencyDefect()

    def __call__(self, state: PyTree) -> dict[str, Array]:
        """Return what the system observes of the coarsened state and its forcing."""
        return self.system.observe(*self.target(self.fine, self.system, self.coarsener, state))

    def coarse(self, state: PyTree) -> PyTree:
        """Return the coarsened state."""
        return self.coarsener(state)
