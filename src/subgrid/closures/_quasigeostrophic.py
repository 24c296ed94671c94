"""What the closures of two-layer QG share: the streamfunction."""

import jax
from jaxtyping import Array, Complex

from subgrid.systems import TwoLayerQG
from subgrid.systems.qg import QGState


def streamfunction_hat(system: TwoLayerQG, state: QGState) -> Complex[Array, "level l k"]:
    """Return the transform of ψ in m²/s."""
    psi = system.invert(state)
    return jax.lax.complex(psi.real, psi.imag)
