"""What the closures of two-layer QG share: their checks and the streamfunction."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Complex

from subgrid.closures.base import AbstractClosure
from subgrid.nn import Fixed
from subgrid.systems import TwoLayerQG
from subgrid.systems.qg import QGState


class AbstractQGClosure(AbstractClosure):
    """A closure that was made for a two-layer QG system and holds it."""

    _system: eqx.AbstractVar[Fixed[TwoLayerQG]]

    @property
    def system(self) -> TwoLayerQG:
        """The system that the closure was made for; its numbers are fixed."""
        return self._system.value


def checked_system(system: Any, closure: str) -> TwoLayerQG:
    """Return the system; raises TypeError if it is not two-layer QG."""
    if not isinstance(system, TwoLayerQG):
        raise TypeError(
            f"{closure} is a closure of TwoLayerQG, got a system of class {type(system).__name__}. "
            "Closures for any system: subgrid.closures.LearnedClosure or your own."
        )
    return system


def streamfunction_hat(system: TwoLayerQG, state: QGState) -> Complex[Array, "level l k"]:
    """Return the transform of ψ in m²/s."""
    psi = system.invert(state)
    return jax.lax.complex(psi.real, psi.imag)
