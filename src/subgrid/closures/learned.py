"""A network as a closure: scaling, the network, and what makes its output conserve the mean."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.closures._channels import channels_to_state, state_to_channels
from subgrid.closures._spectral import divergence
from subgrid.closures.base import AbstractClosure
from subgrid.closures.inputs import TENDENCY, Inputs
from subgrid.errors import ShapeError
from subgrid.grids import PeriodicGrid, low_pass
from subgrid.systems import AbstractSystem


class LearnedClosure(AbstractClosure):
    """A network from the state to the increment, with its scaling inside.

        increment = μ_S + σ_S · network((x - μ_x)/σ_x)                                 default
        increment = the same minus its domain mean, per channel                       zero_mean
        increment = -∂x f_x - ∂y f_y,   (f_x, f_y) = μ_f + σ_f · network((x - μ_x)/σ_x)   flux_form

    x holds the arrays of the state [level, y, x] (or [y, x]) as channels, in the order of its
    fields, or what `inputs` makes of them (resolved tendencies, say). `network` maps [C, y, x] to
    [C', y, x]: C' = channels of the state, and twice as many with `flux_form`, the fluxes in x of
    all channels first, then those in y. `input_scaler` (μ_x, σ_x per channel, units of x) and
    `output_scaler` (units of the state per second; times metres with `flux_form`) have `normalise`
    and `denormalise`, as `subgrid.nn.Scaler` does. `grid` is needed for the divergence of
    `flux_form`, and to train a cascade with `target_cut`. The first two options make the mean of
    every channel exact (zero increment to rounding), `flux_form` by construction. With `target_cut`
    the increment has no scales beyond that share of the Nyquist wavenumber (see
    `subgrid.grids.low_pass`): where a model's filter damps, the network need not predict.

    The network is evaluated in the precision of its own weights, a tendency in that of its system,
    the rest in that of the state. Convolutional networks accept any grid (with `inputs`, that of
    their system); whether they are right there is another question, since scaling and kernels were
    fitted at one. Raises ValueError for `flux_form` without `grid`, and ShapeError if inputs and
    scaler, or on a call channels or grid of state, network and scalers do not match.
    """

    network: Callable[[Array], Array]
    input_scaler: Any
    output_scaler: Any
    zero_mean: bool = eqx.field(static=True)
    flux_form: bool = eqx.field(static=True)
    grid: PeriodicGrid | None = eqx.field(static=True)
    inputs: Inputs | None = None
    target_cut: float | None = eqx.field(static=True, default=None)

    def __init__(
        self,
        network: Callable[[Array], Array],
        input_scaler: Any,
        output_scaler: Any,
        zero_mean: bool = False,
        flux_form: bool = False,
        grid: PeriodicGrid | None = None,
        inputs: Inputs | None = None,
        target_cut: float | None = None,
    ):
        if flux_form and grid is None:
            raise ValueError("flux_form needs `grid`, the grid on which the divergence is taken")
        scaled = len(getattr(input_scaler, "mean", ())) or None
        if inputs is not None and scaled not in (None, inputs.count):
            raise ShapeError(
                f"the inputs {list(inputs.names)} are {inputs.count} channels, but the scaler "
                f"has {scaled}"
            )
        self.network = network
        self.input_scaler = input_scaler
        self.output_scaler = output_scaler
        self.zero_mean = bool(zero_mean)
        self.flux_form = bool(flux_form)
        self.grid = grid
        self.inputs = inputs
        self.target_cut = None if target_cut is None else float(target_cut)

    @property
    def takes_tendency(self) -> bool:
        """Return whether the network sees the resolved tendency."""
        return self.inputs is not None and TENDENCY in self.inputs.names

    def __call__(
        self,
        state: PyTree,
        memory: PyTree = None,
        forcing: PyTree = None,
        *,
        tendency: PyTree = None,
    ) -> tuple[PyTree, PyTree]:
        """Return the increment, like the state and per second, and the memory it got.

        `tendency`: the resolved one, if the caller has it and the inputs name it.
        """
        fields = state_to_channels(state)
        seen = self.seen(fields, None if tendency is None else state_to_channels(tendency))
        output = self.network(seen.astype(_precision(self.network, fields.dtype)))
        self._check_output(output, fields)
        increment = self.increment_of(output.astype(fields.dtype), self.grid)
        return channels_to_state(increment.astype(fields.dtype), state), memory

    def seen(
        self,
        fields: Float[Array, "channel y x"],
        tendency: Float[Array, "channel y x"] | None = None,
    ) -> Float[Array, "input y x"]:
        """Return what the network sees of a state's channels: its inputs, standardised.

        `tendency`: the channels of the resolved tendency, if they are known.
        """
        self._check_grid(fields)
        inputs = fields if self.inputs is None else self.inputs(fields, tendency)
        wanted = jnp.shape(getattr(self.input_scaler, "mean", inputs))[0]
        if inputs.shape[0] != wanted:
            raise ShapeError(
                f"the network's inputs have {inputs.shape[0]} channels, but this closure was made "
                f"for {wanted}"
            )
        return self.input_scaler.normalise(inputs)

    def increment_of(
        self, output: Float[Array, "out y x"], grid: PeriodicGrid | None
    ) -> Float[Array, "channel y x"]:
        """Return the increment that a network output on `grid` stands for, per second.

        `grid` matters to `flux_form`, and to `target_cut`, whose wavenumber is that of the finest
        grid: training takes increments on a cascade's coarser grids too.
        """
        increment = self.output_scaler.denormalise(output)
        if self.flux_form:
            flux_x, flux_y = jnp.split(increment, 2)
            increment = -divergence(flux_x, flux_y, grid)  # type: ignore[arg-type]
        if self.zero_mean:
            increment = increment - jnp.mean(increment, axis=(-2, -1), keepdims=True)
        if self.target_cut is None:
            return increment
        coarser = 1.0 if grid is None or self.grid is None else grid.dx / self.grid.dx
        return low_pass(increment, self.target_cut * coarser)

    def _check_grid(self, fields: Float[Array, "channel y x"]) -> None:
        if self.flux_form and self.grid is not None and fields.shape[-2:] != self.grid.shape:
            raise ShapeError(
                f"the state is on {fields.shape[-2:]} (ny, nx), but this flux-form closure takes "
                f"its divergence on {self.grid.shape}; build it with the grid it runs on"
            )

    def _check_output(self, output: Array, fields: Float[Array, "channel y x"]) -> None:
        channels = fields.shape[0] * (2 if self.flux_form else 1)
        wanted = (channels, *fields.shape[1:])
        if output.shape != wanted:
            raise ShapeError(
                f"the network {type(self.network).__name__} must map {fields.shape} to {wanted}"
                f"{' (two fluxes per channel)' if self.flux_form else ''}, but returned "
                f"{output.shape}"
            )


def in_system(closure: Any, system: AbstractSystem) -> Any:
    """Return a closure whose inputs are formed by `system`: the tendency of the model it runs in.

    Closures without such inputs are returned as they are. Raises UnknownNameError if the system
    lacks a variable of the inputs.
    """
    if not isinstance(closure, LearnedClosure) or closure.inputs is None:
        return closure
    inputs = Inputs(system, closure.inputs.names)
    return eqx.tree_at(lambda closure: closure.inputs, closure, inputs)


def _precision(network: Any, default: Any) -> Any:
    """Return the dtype of a network's first floating-point weight, or `default` without weights."""
    weights = jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))
    return weights[0].dtype if weights else default
