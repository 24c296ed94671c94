"""How what a network says becomes an increment: scales, and constraints that hold of every one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from subgrid.grids import PeriodicGrid
from subgrid.nn import Scaler


class AbstractConstraint(eqx.Module):
    """One thing that holds of every increment, and how what a network says is made to hold it.

    A constraint maps channels to channels: it is called with values in the units that it takes and
    returns them in those of the next one, at last of the increment. So the loss of a training sees
    it. One that `in_run` overrides acts on the increments of a run alone. A class of your own
    overrides what it needs, and is named "module:Class" wherever a constraint is chosen by name.

    `reads`: it makes other channels of the network's, and so must be the first. `claims`: what it
    guarantees, in the words of `subgrid.closures.CLAIMS`. `words`: what it does, a clause that
    follows "the increment has" in cards and reports.
    """

    reads: ClassVar[bool] = False
    claims: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[str] = ""

    @classmethod
    def for_system(cls, system: Any, **arguments: Any) -> "AbstractConstraint":
        """Return the constraint for increments of a system; `arguments` are those of a config.

        Raises ConfigError, or ValueError, where it does not apply to the system.
        """
        return cls(**arguments)

    @property
    def in_words(self) -> str:
        """What it does: its `words`, or what these numbers make of them."""
        return self.words or type(self).__name__

    def channels(self, count: int) -> int:
        """Return how many channels it takes to return `count`."""
        return count

    def scaler(self, scaler: Scaler) -> Scaler:
        """Return the scales of what it takes, from those of what it returns."""
        return scaler

    def reachable(self, target: Float[Array, "channel *space"]) -> Float[Array, "channel *space"]:
        """Return the part of a standardised target that such increments can be: all, or less."""
        return target

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Raise ConfigError where a cascade of these sizes, finest first, has nothing to learn."""

    def fitted(self, samples: Any) -> "AbstractConstraint":
        """Return the constraint with the numbers that it takes from a training split."""
        return self

    def __call__(
        self, values: Float[Array, "given *space"], fields: Float[Array, "channel *fine"]
    ) -> Float[Array, "returned *space"]:
        """Return the values with the constraint.

        `fields`: channels of the state on the closure's own grid; a stage of a cascade has values
        on a coarser one.
        """
        return values

    def around(
        self,
        made: Callable[[Float[Array, "channel *space"]], Float[Array, "given *space"]],
        fields: Float[Array, "channel *space"],
    ) -> Float[Array, "returned *space"]:
        """Return what a call does, for a constraint that asks `made` for more than one state.

        `made`: the function from a state's channels to what the constraint takes. A network with
        memory or random numbers has none such.
        """
        return self(made(fields), fields)

    def in_run(self, increment: PyTree, state: PyTree) -> PyTree:
        """Return the increment of a run, both states."""
        return increment


class Output(eqx.Module):
    """Turns what a network says into an increment, per second.

        increment = c_n(... c_1(μ + σ · said))      c_1 … c_n: `constraints`, in this order

    `scaler` (μ, σ per channel of the network) has units of what c_1 takes, without constraints of
    the state per second; without one nothing is scaled, until a training measures it. Raises
    ValueError for two constraints that read the network's channels, and for one that is not first.
    """

    scaler: Scaler | None
    constraints: tuple[AbstractConstraint, ...]

    def __init__(
        self, scaler: Scaler | None = None, constraints: Sequence[AbstractConstraint] = ()
    ):
        reading = [type(one).__name__ for one in constraints if one.reads]
        if len(reading) > 1:
            raise ValueError(
                f"{' and '.join(reading)} are two readings of the network's output; choose one"
            )
        if reading and not constraints[0].reads:
            raise ValueError(f"{reading[0]} reads the network's output: put it first")
        self.scaler, self.constraints = scaler, tuple(constraints)

    @property
    def claims(self) -> tuple[str, ...]:
        """Return what the constraints guarantee: none if one in a run may take it back."""
        late = any(type(c).in_run is not AbstractConstraint.in_run for c in self.constraints)
        found = (claim for one in self.constraints for claim in one.claims)
        return () if late else tuple(dict.fromkeys(found))

    @property
    def in_words(self) -> list[str]:
        """Return what each constraint does, see `AbstractConstraint.in_words`."""
        return [one.in_words for one in self.constraints]

    @property
    def grid(self) -> PeriodicGrid | None:
        """Return the grid on which derivatives are taken, None where none are."""
        return next((g for c in self.constraints if (g := getattr(c, "grid", None))), None)

    def channels(self, count: int) -> int:
        """Return how many channels a network must return for an increment of `count`."""
        for one in reversed(self.constraints):
            count = one.channels(count)
        return count

    def scaled(self, targets: Scaler, unit: float = 1.0) -> "Output":
        """Return the output with the scales of a network of order one, unless it has its own.

        `targets`: the scaler of increments; `unit`: the size of a typical one in its units.
        """
        if self.scaler is not None:
            return self
        scaler = Scaler(targets.mean, unit * targets.scale)
        for one in reversed(self.constraints):
            scaler = one.scaler(scaler)
        return Output(scaler, self.constraints)

    def fitted(self, samples: Any) -> "Output":
        """Return the output whose constraints have what they take from a training split."""
        return Output(self.scaler, [one.fitted(samples) for one in self.constraints])

    def with_constraints(self, *added: AbstractConstraint) -> "Output":
        """Return the output with these constraints, after all others but in place of their kind."""
        kinds = {type(one) for one in added}
        kept = [one for one in self.constraints if type(one) not in kinds]
        return Output(self.scaler, [*kept, *added])

    def without(self, kind: type[AbstractConstraint]) -> "Output":
        """Return the output without the constraints of a class."""
        return Output(self.scaler, [one for one in self.constraints if not isinstance(one, kind)])

    def reachable(self, target: Float[Array, "channel *space"]) -> Float[Array, "channel *space"]:
        """Return the part of a standardised target that can be learned."""
        for one in self.constraints:
            target = one.reachable(target)
        return target

    @property
    def reaches_all(self) -> bool:
        """Whether every target is reachable."""
        plain = AbstractConstraint.reachable
        return all(type(one).reachable is plain for one in self.constraints)

    def __call__(
        self, said: Float[Array, "out *space"], fields: Float[Array, "channel *fine"]
    ) -> Float[Array, "channel *space"]:
        """Return the increment's channels; `fields`: see `AbstractConstraint.__call__`."""
        values = said if self.scaler is None else self.scaler.denormalise(said)
        for one in self.constraints:
            values = one(values, fields)
        return values

    @property
    def asks_again(self) -> bool:
        """Whether a constraint asks the network for more than one state (see `around`)."""
        plain = AbstractConstraint.around
        return any(type(one).around is not plain for one in self.constraints)

    def around(
        self,
        say: Callable[[Float[Array, "channel *space"]], Float[Array, "out *space"]],
        fields: Float[Array, "channel *space"],
    ) -> Float[Array, "channel *space"]:
        """Return the increment's channels; `say`: from a state's channels to the network's output.

        As the call does, but constraints may ask for the output of other states.
        """
        scaler = self.scaler
        made = say if scaler is None else lambda x: scaler.denormalise(say(x))
        for one in self.constraints:
            made = partial(one.around, made)
        return made(fields)

    def in_run(self, increment: PyTree, state: PyTree) -> PyTree:
        """Return the increment of a run, with what is not in the loss of a training."""
        for one in self.constraints:
            increment = one.in_run(increment, state)
        return increment
