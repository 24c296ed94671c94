"""A network as a closure: scaling, the network, and what makes its output conserve the mean."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from subgrid.closures._channels import channels_to_state, state_to_channels
from subgrid.closures._energy import check_velocities, limited
from subgrid.closures._spectral import divergence
from subgrid.closures._structure import UNLESS_DEFAULT
from subgrid.closures.base import AbstractClosure
from subgrid.closures.inputs import TENDENCY, Inputs
from subgrid.errors import ShapeError
from subgrid.grids import PeriodicGrid, downscale, low_pass, upscale
from subgrid.grids.staggered import rotated_gradient
from subgrid.nn import Fixed, dims_of
from subgrid.numbers import finite_number, positive_number, true_or_false
from subgrid.systems import AbstractSystem


class LearnedClosure(AbstractClosure):
    """A network from the state to the increment, with its scaling inside.

        increment = μ_S + σ_S · network((x - μ_x)/σ_x)                                 default
        increment = the same minus its domain mean, per channel                       zero_mean
        increment = -∂x f_x - ∂y f_y,   (f_x, f_y) = μ_f + σ_f · network((x - μ_x)/σ_x)   flux_form
        increment = (-∂ψ/∂y, ∂ψ/∂x),   ψ = μ_ψ + σ_ψ · network((x - μ_x)/σ_x)       divergence_free

    x holds the arrays of the state [level, y, x] (or [y, x]) as channels, in the order of its
    fields, or what `inputs` makes of them (resolved tendencies, say). `network` maps [C, y, x] to
    [C', y, x]: C' = channels of the state, and twice as many with `flux_form`, the fluxes in x of
    all channels first, then those in y; 1 with `divergence_free`, for states of two channels, u and
    v on the faces of `subgrid.grids.staggered`: ψ at north-east corners, with the differences found
    there. `input_scaler` (μ_x, σ_x per channel, units of x) and `output_scaler` (units of the state
    per second; times metres with `flux_form` and `divergence_free`) have `normalise` and
    `denormalise`, as `subgrid.nn.Scaler` does. `grid` is needed for the derivatives of these two
    forms, which exclude each other, and to train a cascade with `target_cut`. All three options
    make the mean of every channel exact (zero increment to rounding), the last two by construction;
    `divergence_free` the divergence at every cell. With `target_cut` the increment has no scales
    beyond that share of the Nyquist wavenumber (see `subgrid.grids.low_pass`): where a model's
    filter damps, the network need not predict.

    `energy_limit` (energy per time; none by default) bounds the power P that the increment S gives
    to velocities u and v. < > being the mean over the domain,

        S ← S - max(0, P - energy_limit)/<u² + v²> (u, v),   P = <u S_u + v S_v>,

    so P ends at the limit, to rounding, and S below it keeps its bits. The subtracted part has the
    mean momentum, divergence and scales of the flow, whatever the options above. A negative limit
    asks for damping, without bound towards rest. It acts in calls alone, on states of the fields
    u and v without levels; `subgrid.training.energy_limit_of` finds one in data.

    `system`, or else that of `inputs`, is the one that the closure was made for: models of another
    refuse it (see `in_system`). The closures of bundles have it; without it any model whose states
    have the channels is taken.

    The network is evaluated in the precision of its own weights, a tendency in that of its system,
    the rest in that of the state. Convolutional networks accept any grid (with `inputs`, that of
    their system); whether they are right there is another question, since scaling and kernels were
    fitted at one. Raises ValueError for `flux_form` and `divergence_free` together or without
    `grid` and for a limit that is not finite, ShapeError if inputs and scaler, or on a call
    channels, fields or grid of state, network, scalers and options do not match.
    """

    network: Callable[[Array], Array]
    input_scaler: Any
    output_scaler: Any
    zero_mean: bool = eqx.field(static=True)
    flux_form: bool = eqx.field(static=True)
    grid: PeriodicGrid | None = eqx.field(static=True)
    inputs: Inputs | None = None
    target_cut: float | None = eqx.field(static=True, default=None)
    divergence_free: bool = eqx.field(static=True, default=False, metadata=UNLESS_DEFAULT)
    energy_limit: float | None = eqx.field(static=True, default=None, metadata=UNLESS_DEFAULT)
    system: Fixed[AbstractSystem] | None = eqx.field(default=None, metadata=UNLESS_DEFAULT)

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
        divergence_free: bool = False,
        energy_limit: float | None = None,
        system: AbstractSystem | Fixed[AbstractSystem] | None = None,
    ):
        _check_form(flux_form, divergence_free, grid)
        scaled = len(getattr(input_scaler, "mean", ())) or None
        if inputs is not None and scaled not in (None, inputs.count):
            raise ShapeError(
                f"the inputs {list(inputs.names)} are {inputs.count} channels, but the scaler "
                f"has {scaled}"
            )
        self.network = network
        self.input_scaler = input_scaler
        self.output_scaler = output_scaler
        self.zero_mean = true_or_false("zero_mean", zero_mean)
        self.flux_form = true_or_false("flux_form", flux_form)
        self.grid = grid
        self.inputs = inputs
        self.target_cut = None
        if target_cut is not None:
            self.target_cut = positive_number("target_cut", target_cut)
        self.divergence_free = true_or_false("divergence_free", divergence_free)
        self.energy_limit = None
        if energy_limit is not None:
            self.energy_limit = finite_number("energy_limit", energy_limit)
        self.system = Fixed(system) if isinstance(system, AbstractSystem) else system

    @property
    def own_system(self) -> AbstractSystem | None:
        """Return the system that forms the inputs, else the one given as `system`."""
        if self.inputs is not None:
            return self.inputs.system
        return None if self.system is None else self.system.value

    @property
    def own_grid(self) -> PeriodicGrid | None:
        """Return the grid on which it takes derivatives, None where it takes none."""
        return self.grid if self.flux_form or self.divergence_free else None

    def moves(self, differing: Iterable[str]) -> bool:
        """Return whether no grid stays behind: any system of its variables can form its inputs."""
        return self.own_system is not None and self.own_grid is None

    def in_system(self, system: Any) -> "LearnedClosure":
        """Return the closure of `system`, which then forms the inputs: the tendency, say.

        The network stays as it was trained. Raises UnknownNameError if the system lacks a variable
        of the inputs.
        """
        if self.inputs is None:
            held = Fixed(system)
            return eqx.tree_at(lambda c: c.system, self, held, is_leaf=lambda part: part is None)
        return eqx.tree_at(lambda c: c.inputs, self, Inputs(system, self.inputs.names))

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what the options guarantee: the mean, unless a limit takes some flow off."""
        kept = self.zero_mean or self.flux_form or self.divergence_free
        return ("conserves mean",) if kept and self.energy_limit is None else ()

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
        if self.energy_limit is not None:
            check_velocities(state)
        dims = dims_of(self.network)
        fields = state_to_channels(state, dims)
        known = None if tendency is None else state_to_channels(tendency, dims)
        increment = self.predict(fields, known)
        if self.energy_limit is not None:
            increment = limited(increment, fields, self.energy_limit)
        return channels_to_state(increment.astype(fields.dtype), state), memory

    def predict(
        self,
        fields: Float[Array, "channel *space"],
        tendency: Float[Array, "channel *space"] | None = None,
        noise: Float[Array, "input *space"] | None = None,
    ) -> Float[Array, "channel *space"]:
        """Return the increment of a state's channels, before any limit; arguments as `seen`."""
        seen = self.seen(fields, tendency, noise)
        seen = seen.astype(_precision(self.network, fields.dtype))
        output = self.network(seen)
        self._check_output(output, fields, seen.dtype)
        return self.increment_of(output.astype(fields.dtype), self.grid)

    def seen(
        self,
        fields: Float[Array, "channel *space"],
        tendency: Float[Array, "channel *space"] | None = None,
        noise: Float[Array, "input *space"] | None = None,
    ) -> Float[Array, "input *space"]:
        """Return what the network sees of a state's channels: its inputs, standardised.

        `tendency`: the channels of the resolved tendency, if they are known; `noise`: what is added
        to the standardised inputs in training.
        """
        self._check_fields(fields)
        inputs = fields if self.inputs is None else self.inputs(fields, tendency)
        wanted = jnp.shape(getattr(self.input_scaler, "mean", inputs))[0]
        if inputs.shape[0] != wanted:
            raise ShapeError(
                f"the network's inputs have {inputs.shape[0]} channels, but this closure was made "
                f"for {wanted}"
            )
        normalised = self.input_scaler.normalise(inputs)
        return normalised if noise is None else normalised + noise

    def increment_of(
        self, output: Float[Array, "out *space"], grid: PeriodicGrid | None
    ) -> Float[Array, "channel *space"]:
        """Return the increment that a network output on `grid` stands for, per second.

        `grid` matters to `flux_form`, and to `target_cut`, whose wavenumber is that of the finest
        grid: training takes increments on a cascade's coarser grids too. Those of `divergence_free`
        are what D leaves of the differences on the closure's own grid, D C⊥ D†ψ, and so match D S.
        """
        increment = self.output_scaler.denormalise(output)
        if self.flux_form:
            flux_x, flux_y = jnp.split(increment, 2)
            increment = -divergence(flux_x, flux_y, grid)  # type: ignore[arg-type]
        if self.divergence_free:
            increment = self._velocities(increment)
        if self.zero_mean:
            space = tuple(range(1, increment.ndim))
            increment = increment - jnp.mean(increment, axis=space, keepdims=True)
        if self.target_cut is None:
            return increment
        coarser = 1.0 if grid is None or self.grid is None else grid.dx / self.grid.dx
        return low_pass(increment, self.target_cut * coarser)

    def _velocities(self, psi: Float[Array, "1 m n"]) -> Float[Array, "2 m n"]:
        """Return D C⊥ D†ψ: (-∂ψ/∂y, ∂ψ/∂x) by the differences of the closure's own grid.

        Differences on a coarser one would be worse, and sit elsewhere: up to half a coarse cell
        from where D, which keeps the first point of each row in its place, puts u and v.
        """
        grid = cast(PeriodicGrid, self.grid)
        velocities = jnp.stack(rotated_gradient(upscale(psi[0], *grid.shape), grid))
        ny, nx = psi.shape[-2:]
        return downscale(velocities, ny, nx)

    def _check_fields(self, fields: Float[Array, "channel *space"]) -> None:
        derived = self.flux_form or self.divergence_free
        if derived and self.grid is not None and fields.shape[-2:] != self.grid.shape:
            raise ShapeError(
                f"the state is on {fields.shape[-2:]} (ny, nx), but this "
                f"{'flux-form' if self.flux_form else 'divergence-free'} closure takes its "
                f"{'divergence' if self.flux_form else 'differences'} on {self.grid.shape}; build "
                "it with the grid it runs on"
            )
        if self.divergence_free and fields.shape[0] != 2:
            raise ShapeError(
                "divergence_free makes increments of two channels, the velocities u and v, but the "
                f"state has {fields.shape[0]}"
            )

    def _check_output(
        self, output: Array, fields: Float[Array, "channel *space"], precision: Any
    ) -> None:
        channels = 1 if self.divergence_free else fields.shape[0] * (2 if self.flux_form else 1)
        wanted = (channels, *fields.shape[1:])
        if output.shape != wanted:
            raise ShapeError(
                f"the network {type(self.network).__name__} must map {fields.shape} to {wanted}"
                f"{' (two fluxes per channel)' if self.flux_form else ''}"
                f"{' (a streamfunction)' if self.divergence_free else ''}, but returned "
                f"{output.shape}"
            )
        if output.dtype != precision:
            raise TypeError(
                f"the network {type(self.network).__name__} must return {precision}, the precision "
                f"of its weights, which it was given, but returned {output.dtype}"
            )


def with_energy_limit(closure: Any, limit: float | None) -> LearnedClosure:
    """Return the closure with this `energy_limit`, or with none; the network is the same.

    Raises TypeError for another closure, ValueError for a limit that is not finite.
    """
    if not isinstance(closure, LearnedClosure):
        raise TypeError(
            f"only a LearnedClosure takes an energy limit, got a {type(closure).__name__}"
        )
    return dataclasses.replace(closure, energy_limit=limit)


def _check_form(flux_form: bool, divergence_free: bool, grid: PeriodicGrid | None) -> None:
    if flux_form and divergence_free:
        raise ValueError(
            "flux_form and divergence_free are two readings of the network's output; choose one"
        )
    if flux_form and grid is None:
        raise ValueError("flux_form needs `grid`, the grid on which the divergence is taken")
    if divergence_free and grid is None:
        raise ValueError("divergence_free needs `grid`, on which ψ is differentiated")


def _precision(network: Any, default: Any) -> Any:
    """Return the dtype of a network's first floating-point weight, or `default` without weights."""
    weights = jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))
    return weights[0].dtype if weights else default
