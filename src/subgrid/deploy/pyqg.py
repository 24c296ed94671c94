"""Closures inside pyqg and pyqg-jax, the two models that share our two-layer equations.

Both hosts add a parameterization's dq/dt to the tendency of q before the time step and the filter,
as our own coupled model does, so the same closure gives the same run there (to rounding).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from subgrid.closures import AbstractClosure, check_closure, in_system
from subgrid.errors import ConfigError
from subgrid.systems import TwoLayerQG

# the hosts' attribute → our setting; H₁ is left out: it scales energies, not the flow
_NAMES = {
    "nx": "nx",
    "ny": "ny",
    "L": "length_x",
    "W": "length_y",
    "beta": "beta",
    "rd": "deformation_radius",
    "delta": "thickness_ratio",
    "U1": "upper_velocity",
    "U2": "lower_velocity",
    "rek": "bottom_drag",
}


def in_pyqg_jax(
    host: Any, closure: AbstractClosure, system: TwoLayerQG, *, key: PRNGKeyArray | None = None
) -> Any:
    """Return a `pyqg_jax.parameterizations.ParameterizedModel`: `host` with the closure in it.

    `host`: a `pyqg_jax.qg_model.QGModel` with the grid and constants of `system`. Step it as any
    pyqg-jax model, for example in `SteppedModel(..., AB3Stepper(dt))`. The closure's memory is the
    host's `param_aux`; `key` is the random key of a stochastic closure.

    Raises ConfigError if the host is another model than `system` or the closure was built for
    another flow than that (see `subgrid.closures.in_system`), TypeError or ShapeError for a closure
    that does not fit, and ImportError without pyqg-jax.
    """
    from pyqg_jax.parameterizations import ParameterizedModel, q_parameterization

    _check_host(host, system)
    closure = in_system(closure, system)
    check_closure(closure, system)
    # pyqg-jax takes pytrees: arrays travel as arguments, all else within the structure
    arrays, static = eqx.partition(closure, eqx.is_array)

    @q_parameterization
    def increment(state: Any, memory: PyTree, model: Any, arrays: PyTree) -> tuple[Array, PyTree]:
        whole = eqx.combine(arrays, static)
        added, memory = whole(_state(system, state.q), memory)
        return added.q.astype(state.q.dtype), memory

    def first_memory(state: Any, model: Any, arrays: PyTree) -> PyTree:
        return eqx.combine(arrays, static).init(_state(system, state.q), key=key)

    return ParameterizedModel(
        host,
        param_func=jax.tree_util.Partial(increment, arrays=arrays),
        init_param_aux_func=jax.tree_util.Partial(first_memory, arrays=arrays),
    )


class PyqgParameterization:
    """A closure as the `q_parameterization` of a `pyqg.QGModel`.

        pyqg.QGModel(nx=64, q_parameterization=PyqgParameterization(closure, system))

    Called with the model at every step it returns dq/dt [level, y, x] in 1/s², float64. The closure
    is compiled once and runs in the precision of `system`. `key`: random key of a stochastic
    closure. Its memory begins anew with every object, so each host model needs its own.

    Raises TypeError or ShapeError for a closure that does not fit `system`, ConfigError for one of
    another flow; a call raises ConfigError if the host is another model than `system`.
    """

    def __init__(
        self, closure: AbstractClosure, system: TwoLayerQG, *, key: PRNGKeyArray | None = None
    ):
        closure = in_system(closure, system)
        check_closure(closure, system)
        self._closure, self._system, self._key = closure, system, key
        self._memory: PyTree = None
        self._host: Any = None

    def __call__(self, host: Any) -> Float[np.ndarray, "level y x"]:
        """Return what the closure adds to the tendency of the host's q, 1/s²."""
        state = _state(self._system, jnp.asarray(host.q))
        if host is not self._host:
            _check_host(host, self._system)
            if self._host is None:
                self._memory = self._closure.init(state, key=self._key)
            self._host = host
        added, self._memory = _call(self._closure, state, self._memory)
        return np.asarray(added.q, np.float64)


@eqx.filter_jit
def _call(closure: AbstractClosure, state: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
    return closure(state, memory)


def _state(system: TwoLayerQG, q: Array) -> PyTree:
    return system.State(q.astype(system.dtype))


def _check_host(host: Any, system: TwoLayerQG) -> None:
    """Raise ConfigError, naming what differs, if a host is another model than `system`."""
    ours = system.settings()
    differing = [
        f"{theirs} = {getattr(host, theirs):g} (here {name} = {ours[name]:g})"
        for theirs, name in _NAMES.items()
        if not np.isclose(float(getattr(host, theirs)), ours[name], rtol=1e-5, atol=0)
    ]
    if differing:
        raise ConfigError(
            f"the host is not the model that the closure is given for: {', '.join(differing)}. "
            "Build the host with these values, or pass the system that it is; a closure trained "
            "for other values is untested there."
        )
