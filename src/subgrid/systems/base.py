"""What every system offers: equations on a domain, knowing no time stepping."""

import abc
import math
from collections.abc import Mapping
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from numpy.typing import NDArray

from subgrid.errors import ConfigError, KindError, ShapeError
from subgrid.grids import AbstractDomain, PeriodicGrid
from subgrid.grids.domain import Coordinates
from subgrid.numbers import finite_number, positive_number, shown, time_step, whole_number
from subgrid.registry import unknown_name_message
from subgrid.stepping import AbstractScheme, Model
from subgrid.systems.quantities import DrawnField, Quantity
from subgrid.systems.sample import check_sample, guard_methods, one_sample, shapes_of, state_shapes
from subgrid.systems.step_limits import StepLimits
from subgrid.types import Variable

DIAGONAL = "diagonal"  # the mirror that swaps x and y


class AbstractSystem(eqx.Module):
    """Equations on a domain.

    `State` is a frozen module with one array per entry of `variables`. `tendency` is the readable
    face: real space, units of the state per second. `forcing_variables` describe what drives the
    system from outside, likewise: one array each, in the PyTree that `tendency` takes as `forcing`
    and `forcing_at` prescribes. A system that steps faster in another
    representation (spectra) overrides the methods from `to_evolved` to `is_healthy`; by default the
    state itself is evolved. `evolves_spectra`: that representation is the rfft2 of the state's
    arrays (in any linear packing), so a multiplier of wavenumbers can act on it directly.
    `diagnosing`: the constants that say which flow a state is; the others act in the step alone.
    `limits`: the fields that only say when a run has blown up.
    `time_units`: of `dt` and of all rates; "1" in a dimensionless system.
    `citations`: what to cite, keys of `recipes/references.bib` or whole BibTeX entries.
    `step_limits`: what is known of the steps it takes.
    `velocities`: the variables that are components of the velocity, if these are variables, that
    along x first;
    `derived`: methods that return a field of a state, which networks may see.
    `quantities`: what `observe` returns, for scores of free runs; `drawn`: what `field` returns;
    `follows_truth`: whether a free run is compared with the truth's own trajectory too, and not
    with its statistics alone. A system without quantities runs and is trained, but not scored.
    `spectral_slope`: the power of k that flattens the first spectrum. `headline`: the metric and
    quantity that verdicts speak of, by default how long a followed run lasts, else the error of the
    first spectrum. `filter_begins`: the share of the Nyquist wavenumber from which on `after_step`
    damps, None for a system without such a filter. `energy_spectra`: the spectra in units of which
    errors of energy are given, a tuple of names to sum for each.

    Public methods take one sample: whatever argument is a `State`, or an `Evolved` (the class of
    those spectra), must have the shapes that `variables` and `coordinates` say, else they raise
    ShapeError. Subclasses inherit that check. Map over more samples with `jax.vmap`.
    """

    State: ClassVar[Any]
    Evolved: ClassVar[Any] = None
    evolves_spectra: ClassVar[bool] = False
    diagnosing: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[tuple[str, ...]] = ()
    time_units: ClassVar[str] = "s"
    citations: ClassVar[tuple[str, ...]] = ()
    velocities: ClassVar[tuple[str, ...]] = ()
    derived: ClassVar[tuple[str, ...]] = ()
    quantities: ClassVar[tuple[Quantity, ...]] = ()
    drawn: ClassVar[DrawnField | None] = None
    follows_truth: ClassVar[bool] = False
    filter_begins: ClassVar[float | None] = None
    spectral_slope: ClassVar[int | None] = None
    headline: ClassVar[tuple[str, str] | None] = None
    energy_spectra: ClassVar[tuple[tuple[str, ...], ...]] = ()
    step_limits: ClassVar[StepLimits[Any]] = StepLimits()

    domain: eqx.AbstractVar[AbstractDomain]

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        guard_methods(cls)

    @property
    @abc.abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """The table of state variables, in the order of the state's fields."""

    @abc.abstractmethod
    def initial_state(self, *, key: PRNGKeyArray) -> PyTree:
        """Return a random state from which the system spins up."""

    @abc.abstractmethod
    def tendency(self, state: PyTree, forcing: PyTree = None) -> PyTree:
        """Return the rate of change of the state, in its units per second."""

    @abc.abstractmethod
    def diagnostics(self, state: PyTree) -> dict[str, Array]:
        """Return scalars (or one per layer) that summarise a state: energies, enstrophy."""

    @abc.abstractmethod
    def default_scheme(self) -> AbstractScheme:
        """Return the scheme that `model` uses unless it is given another."""

    @property
    def forcing_variables(self) -> tuple[Variable, ...]:
        """The table of what drives the system from outside; empty unless a system says otherwise.

        A system without it may still be given a `forcing` like its state, per unit of time.
        """
        return ()

    @property
    def symmetries(self) -> tuple[tuple[str, ...], ...]:
        """What leaves the system as it is: some mirrors, one after another, for each symmetry.

        A mirror is a dimension that changes its sign, or `DIAGONAL`. (("x",), ("diagonal",)) span
        all symmetries of a square; (("x", "y"),) is half a turn alone. Velocities along a mirrored
        dimension, and pseudoscalars among `variables`, change sign with it. None is stated by
        default.
        """
        return ()

    def forcing_at(self, time: Float[Array, ""]) -> PyTree:
        """Return what drives the system at a time, in `time_units`; None if nothing does.

        One array per entry of `forcing_variables`, a function of the time and of the system's own
        arrays alone: whatever steps the system asks for it, so that a run can be repeated.
        """
        return None

    @property
    def length_units(self) -> str:
        """The unit of the domain's coordinates: metres, or "1" in a dimensionless system."""
        return "1" if self.time_units == "1" else "m"

    def coordinates(self) -> Coordinates:
        """Return the values and CF attributes of each dimension of all variables.

        Of static fields alone: how many values there are is looked up while tracing. A system with
        axes besides those of its domain, such as levels, adds them.
        """
        return self.domain.coordinates(self.length_units)

    @property
    def step_operations(self) -> float:
        """Floating-point operations of a step, roughly: some 60 per value.

        Where spectra are evolved also five transforms of every field, 2.5 n log₂ n each for n
        points: two velocities and the field back, their products forth.
        """
        values, points = sum(leaf.size for leaf in jax.tree.leaves(state_shapes(self))), 0.0
        if self.evolves_spectra:
            points = 5 * 2.5 * math.log2(self.domain.size)
        return values * (60 + points)

    def at(self, size: Any) -> "AbstractSystem":
        """Return the same physics at another resolution, or with fewer scales.

        `size`: what a config gives as the size of a coarse model; on a plane nx, or (ny, nx).
        Raises ConfigError for a system that has one resolution alone.
        """
        raise ConfigError(
            f"{type(self).__name__} has no coarser version: give its class a method at(size) that "
            "returns one"
        )

    def model(
        self, dt: SupportsFloat, closure: Any = None, scheme: AbstractScheme | None = None
    ) -> Model:
        """Return the model that steps this system by `dt` seconds, with a closure if given.

        Raises ValueError unless `dt` is a positive finite number, and ConfigError, naming what
        differs, for a closure of another system.
        """
        return Model(
            system=self,
            scheme=self.default_scheme() if scheme is None else scheme,
            dt=time_step(dt),
            closure=closure,
        )

    @one_sample
    def observe(self, state: PyTree, increment: PyTree = None) -> dict[str, Array]:
        """Return the value of each of `quantities`, of spectra the density.

        `increment`: what a closure, or the true subgrid forcing, adds to the tendency; None leaves
        it out of what depends on it, and a quantity `of_closure` out altogether.
        """
        return {}

    @one_sample
    def field(self, state: PyTree) -> Float[Array, "..."]:
        """Return the field that stands for a state, see `drawn`; raises ConfigError without one.

        Its dimensions are those of `drawn.components`, then those of the domain.
        """
        raise ConfigError(f"{type(self).__name__} does not say which field stands for a state")

    def values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return the values whose distributions runs are compared by: name → [component, value].

        `fields` [sample, ...]: what `field` returned of several states.
        """
        return {}

    def eddy_values(self, fields: NDArray) -> dict[str, NDArray]:
        """Return the same without the background that the system is stated about."""
        return self.values(fields)

    def check_state(self, state: PyTree) -> None:
        """Raise unless `state` is one of this system: TypeError, or ShapeError for its shapes."""
        if not isinstance(state, self.State):
            raise TypeError(
                f"{type(self).__name__} takes a {self.State.__name__}, got a {type(state).__name__}"
            )
        check_sample(self, state, type(self).__name__)

    @one_sample
    def to_evolved(self, state: PyTree) -> PyTree:
        """Return the representation that a model steps."""
        return state

    @one_sample
    def to_state(self, evolved: PyTree) -> PyTree:
        """Return the state from the representation that a model steps."""
        return evolved

    @one_sample
    def evolved_tendency(self, evolved: PyTree, forcing: PyTree = None) -> PyTree:
        """Return the tendency in the representation that a model steps."""
        return self.tendency(evolved, forcing)

    @one_sample
    def rate_to_state(self, rate: PyTree) -> PyTree:
        """Return a tendency of the representation that a model steps as one of the state.

        As `to_state`, which must be linear; else a system defines both.
        """
        return self.to_state(rate)

    @one_sample
    def increment_to_evolved(self, increment: PyTree) -> PyTree:
        """Return a closure's increment in the representation that a model steps."""
        return increment

    @one_sample
    def after_step(self, evolved: PyTree) -> PyTree:
        """Return what the system makes of the representation after each step (filters)."""
        return evolved

    @one_sample
    def is_healthy(self, evolved: PyTree) -> Bool[Array, ""]:
        """Return whether every array is finite and within the limits of its variable."""
        healthy = jnp.array(True)
        for variable, leaf in zip(self.variables, jax.tree.leaves(evolved), strict=True):
            low, high = variable.limits
            healthy &= jnp.all(jnp.isfinite(leaf) & (leaf >= low) & (leaf <= high))
        return healthy


def check_table(system: AbstractSystem) -> None:
    """Raise ShapeError or TypeError unless states and tendencies are what the system says of them.

    Shapes are those of its variables along its coordinates, the dtype is `dtype`, if it has one.
    The forcing at the start is looked at likewise.
    """
    state = state_shapes(system)
    _check_arrays(system, "initial_state", state, system.variables)
    forcing = forcing_shapes(system)
    _check_arrays(system, "forcing_at", forcing, system.forcing_variables)
    rate = jax.eval_shape(system.tendency, state, forcing)
    if jax.tree.structure(rate) != jax.tree.structure(state):
        raise TypeError(
            f"{type(system).__name__}.tendency must return a {type(state).__name__}, like the "
            f"state, but returned a {type(rate).__name__}"
        )
    _check_arrays(system, "tendency", rate, system.variables)


def forcing_shapes(system: AbstractSystem) -> PyTree:
    """Return the shapes and dtypes of what drives a system, None if nothing does."""
    return eqx.filter_eval_shape(system.forcing_at, jax.ShapeDtypeStruct((), jnp.float32))


def _check_arrays(
    system: AbstractSystem, method: str, tree: PyTree, table: tuple[Variable, ...]
) -> None:
    """Raise unless the arrays that a method returns have the shapes and dtype of a table."""
    what, leaves = f"{type(system).__name__}.{method}", jax.tree.leaves(tree)
    shapes = list(shapes_of(system, table).values())
    found = [leaf.shape for leaf in leaves]
    if found != shapes:
        raise ShapeError(
            f"{what} must return arrays of the shapes {shapes}, as its variables and coordinates "
            f"say, but returned {found}"
        )
    for leaf in leaves:
        if leaf.dtype != (dtype := getattr(system, "dtype", leaves[0].dtype)):
            raise TypeError(f"{what} must return {dtype}, but returned {leaf.dtype}")


def merged_constants(
    owner: str, defaults: Mapping[str, float], given: Mapping[str, Any]
) -> dict[str, float]:
    """Return the defaults with what is given in place.

    Raises ConfigError for unknown names and for what is no finite number.
    """
    for name in given:
        if name not in defaults:
            raise ConfigError(unknown_name_message(f"constant of {owner}", name, defaults))
    return {**defaults, **{name: finite_number(name, value) for name, value in given.items()}}


def refuse_negative(**values: SupportsFloat) -> None:
    """Raise ValueError if one of the values is negative or no finite number."""
    for name, value in values.items():
        finite_number(name, value, least=0.0)


def checked_grid(
    nx: SupportsIndex,
    ny: SupportsIndex | None,
    length_x: SupportsFloat,
    length_y: SupportsFloat | None = None,
) -> PeriodicGrid:
    """Return the grid of a system, with square cells where `ny` or `length_y` is not given.

    Raises ConfigError for what is no size or no length.
    """
    columns = whole_number("nx", nx, least=4, even=True)
    rows = columns if ny is None else whole_number("ny", ny, least=4, even=True)
    height = 0.0 if length_y is None else positive_number("length_y", length_y)
    return PeriodicGrid(columns, rows, positive_number("length_x", length_x), height)


def known_configuration(name: str, known: Mapping[str, Any]) -> str:
    """Return the name of a configuration; raises ConfigError unless it is one of `known`."""
    if not isinstance(name, str):
        raise KindError(f"configuration must be text, one of {', '.join(known)}, got {shown(name)}")
    if name not in known:
        raise ConfigError(unknown_name_message("configuration", name, known))
    return name


def check_whole_waves(forcing_wavenumber: float, grid: PeriodicGrid) -> None:
    """Raise ValueError unless a whole number of waves of a force along y fits the height."""
    waves = forcing_wavenumber * grid.length_y / (2 * np.pi)
    if abs(waves - round(waves)) > 1e-9 * max(waves, 1):
        raise ValueError(
            f"forcing_wavenumber = {forcing_wavenumber:g} makes {waves:g} waves over the height "
            f"{grid.length_y:g}; a whole number must fit"
        )


def checked_dtype(dtype: DTypeLike) -> str:
    """Return the name of a precision; raises ConfigError unless float32 or, enabled, float64."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = shown(dtype)
    if name not in ("float32", "float64"):
        raise ConfigError(f"dtype must be float32 or float64, got {name}")
    if name == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ConfigError(
            "dtype float64 needs jax.config.update('jax_enable_x64', True) before the system "
            "is made"
        )
    return name


def plain_number(value: ArrayLike) -> float:
    """Return a scalar as a float that prints as it was typed (float32 1.5e-11 → 1.5e-11)."""
    return float(str(np.asarray(value)[()]))
