"""A closure of your own, in one file: scale-selective damping of potential vorticity.

Use it by name in an experiment, run from the folder that holds this file:

    [[models]]
    name = "damping"
    kind = "closure"
    closure = "my_closure:ScaleSelectiveDamping"
    arguments = { damping_time = 172800.0 }

or in Python: `system.model(dt=3600.0, closure=ScaleSelectiveDamping(system))`. No file of subgrid
changes. `subgrid.closures.check_closure(closure, system)` says at once, without running anything,
whether what a closure returns fits the states of a system.

Four things make a closure:

1. The class subclasses `AbstractClosure` and declares its fields. Numbers that you may want to
   sweep or fit are arrays, so that new values need no compilation; choices are static fields.
2. The constructor takes the system and keyword arguments, and computes what never changes.
3. `__call__` returns the increment and the memory it got. The increment has the class, shape and
   dtype of the state, in units of the state per second. It is ADDED to the tendency: damping is
   therefore negative where q is positive.
4. It is written with `jax.numpy`, so that it compiles, runs on a GPU and can be differentiated.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.closures import AbstractClosure
from subgrid.grids import PeriodicGrid
from subgrid.systems import TwoLayerQG


class ScaleSelectiveDamping(AbstractClosure):
    """Damps small scales of q: ∂q̂/∂t += -(κ/κ_N)^(2n) q̂/τ.

    κ is the wavenumber and κ_N = π/Δx the shortest wave of the grid, which is damped in the time τ
    = `damping_time` (s, default two days). n = `order`: 1 is a diffusion, larger n spare the large
    scales more. Linear in q; keeps each layer's mean and lowers each layer's enstrophy.
    """

    damping_time: Float[Array, ""]
    rate: Float[Array, "1 l k"]  # (κ/κ_N)^(2n), no units
    grid: PeriodicGrid = eqx.field(static=True)  # models on another grid refuse the closure

    def __init__(self, system: TwoLayerQG, damping_time: float = 172800.0, order: int = 2):
        if damping_time <= 0:
            raise ValueError(f"damping_time must be positive (seconds), got {damping_time!r}")
        grid = system.grid
        self.damping_time = jnp.asarray(damping_time, system.dtype)
        # NumPy float64 here, once; the precision of the system in every step
        relative = grid.wavenumber_squared / grid.nyquist**2
        self.rate = jnp.asarray(relative[None] ** order, system.dtype)
        self.grid = grid

    def __call__(
        self, state: PyTree, memory: PyTree = None, forcing: PyTree = None
    ) -> tuple[PyTree, PyTree]:
        """Return the increment of q [level, y, x] in 1/s² and the memory it got."""
        damped = -self.rate / self.damping_time * jnp.fft.rfft2(state.q)
        return type(state)(jnp.fft.irfft2(damped, s=self.grid.shape)), memory


if __name__ == "__main__":
    from subgrid.closures import check_closure
    from subgrid.stepping import rollout

    system = TwoLayerQG(32)
    closure = ScaleSelectiveDamping(system)
    check_closure(closure, system)
    start = TwoLayerQG.State(1e-5 * jax.random.normal(jax.random.key(0), (2, 32, 32)))
    for name, chosen in (("without", None), ("with", closure)):
        end = rollout(system.model(3600.0, closure=chosen), start, steps=240, save_every=240)
        enstrophy = system.diagnostics(jax.tree.map(lambda leaf: leaf[-1], end.states))
        print(f"{name} the closure, enstrophy after ten days: {enstrophy['enstrophy_layers']} 1/s²")
