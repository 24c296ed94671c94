"""The kinds of models that a run compares: none, closure, pretrained, grid; and what all have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, StrictBool

from subgrid.config.builders import (
    Nothing,
    build_model,
    build_online_system,
    check_step,
    require_arguments,
    validity_of,
)
from subgrid.config.names import shipped
from subgrid.config.section import Name, Parts, Section, check, keyed, naming
from subgrid.config.values import Count, FreeTable
from subgrid.errors import ConfigError
from subgrid.numbers import LARGEST_COUNT

if TYPE_CHECKING:
    from subgrid.config.learned import LearnedConfig
    from subgrid.config.sections import VariantConfig
    from subgrid.config.settings import Config
    from subgrid.config.training import Optimisation
    from subgrid.systems import AbstractSystem

MULTISCALE = ("otness2025",)  # to be cited
BASELINE = "none"  # what the evaluation calls the coarse model alone

# how the increment of a closure enters the step of a system that takes steps of its own
Coupling = Literal["add-after", "project-after", "add-within"]


class Stepped(NamedTuple):
    """What the free runs of a model step: `substeps` steps of `dt` for one of the coarse model.

    `coarsener`: from its system to the coarse one, None where they are the same.
    """

    system: "AbstractSystem"
    dt: float
    substeps: int = 1
    coarsener: Any = None


class Making(NamedTuple):
    """How the run folder comes by one closure of a model; `settings`: what decides it.

    `number`: of its initialisation, if there are several; `of`: the learned model whose network of
    that number it is made of; `stages`: the optimisations, one after another; `learns`: whether it
    sees the training data; `where`: see `subgrid.experiment.Task`.
    """

    settings: Mapping[str, Any]
    number: int | None = None
    of: str | None = None
    stages: "tuple[Optimisation, ...]" = ()
    learns: bool = True
    where: Literal["worker", "here"] = "worker"


@dataclass(frozen=True)
class Candidate:
    """One closure under test: of `model`, `label` its own name for messages and files.

    `entry`: the model's section; `coupling`: how the increment enters the step, the system's own
    way unless given.
    """

    model: str
    label: str
    closure: Any
    entry: "AbstractModelConfig"
    coupling: str | None = None


class AbstractModelConfig(Section):
    """Base of the kinds of models; a new kind is one class, listed in `settings`.

    `stored`: whether the run folder holds it, trained there or copied; `closes`: whether it has a
    closure, which is tested offline too.
    """

    stored: ClassVar[bool] = False
    closes: ClassVar[bool] = False

    name: Name

    @property
    def shown(self) -> str:
        """What the evaluation calls the model."""
        return self.name

    def base(self, config: "Config") -> "LearnedConfig | None":
        """Return the learned model that it is, or is made of, if any."""
        return None

    def labels(self, config: "Config") -> tuple[str, ...]:
        """Return what its closures are called in files, as many as it has."""
        return (self.shown,)

    def coupling_in(self, config: "Config") -> str | None:
        """Return how its increment enters the step; None for the system's own way."""
        return None

    def make(self, parts: Parts) -> Any:
        """Return its closure if it needs no training, else None."""
        return None

    def makings(self, config: "Config") -> list[Making]:
        """Return how its closures come into the run folder; none unless it is `stored`."""
        return []

    def train(self, bench: Any) -> Any:
        """Return a closure for the run folder, None if it was written there by this.

        `bench`: where it is made, a `subgrid.recipes.making.Bench`. What else it writes comes
        before the closure, for a folder that holds that is complete.
        """
        raise NotImplementedError

    def stored_closure(self, stored: Any, number: int | None) -> Any:
        """Return a closure from a `RunFolder`; raises CorruptFileError if it was damaged."""
        return stored.load_model(self.name, number)

    def record(self, place: Path) -> dict[str, Any]:
        """Return what the manifest says of a closure of it in the folder `place`."""
        return {}

    def candidate(
        self, config: "Config", coarse: "AbstractSystem", stored: Any, number: int
    ) -> Candidate:
        """Return one of its closures, as many as it has labels; `stored`: a `RunFolder`."""
        closure = self.make(Parts(config, (coarse,)))
        return Candidate(self.shown, self.shown, closure, self, self.coupling_in(config))

    def stepped(
        self, config: "Config", coarse: "AbstractSystem", variant: "VariantConfig | None" = None
    ) -> Stepped:
        """Return what its free runs step."""
        return Stepped(build_online_system(config, coarse, variant), config.coarse_dt)

    @check
    def _name_is_free(self, config: "Config", key: str) -> Iterator[str]:
        if self.name == "truth" or (self.name == BASELINE and self.shown != BASELINE):
            yield f"{key}.name: {self.name!r} has a meaning of its own"
        for other in config.models:
            if self.shown != other.shown and self.name in other.labels(config):
                yield (
                    f"{key}.name: {self.name!r} is what a trained network of the learned model "
                    f"{other.name!r} is called in files and tables; rename one of the two"
                )


class NoClosureConfig(AbstractModelConfig):
    """The coarse model alone: what every closure is compared with."""

    kind: Literal["none"]

    @property
    def shown(self) -> str:
        """What the evaluation calls the model."""
        return BASELINE


class ClosingConfig(AbstractModelConfig):
    """Base of the kinds that have a closure."""

    closes: ClassVar[bool] = True

    coupling: Coupling | None = None

    def coupling_in(self, config: "Config") -> str | None:
        """Return how its increment enters the step; None for the system's own way."""
        return self.coupling

    def build(self, parts: Parts, key: str) -> None:
        """Build what the model needs, but for a network to train."""
        if (coupling := self.coupling_in(parts.config)) is not None:
            with naming(f"{key}.coupling"):
                build_model(parts.coarse[0], parts.config.coarse_dt, None, coupling)
        self.make(parts)

    def trace(self, parts: Parts, key: str) -> None:
        """Raise what a step of a system of the user's raises, with an increment coupled to it."""
        coupling = self.coupling_in(parts.config)
        if coupling is not None and not parts.shipped:
            with keyed(f"{key}.coupling"):
                check_step(
                    build_model(parts.coarse[0], parts.config.coarse_dt, Nothing(), coupling)
                )


def closure_citations(name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a closure of the registry is to be cited with; nothing of one of the user's."""
    found = shipped("closure", name)
    return found.cite(**arguments) if hasattr(found, "cite") else ()


class ClosureConfig(ClosingConfig):
    """A closure from the registry, or your own as "module:Class", with its arguments.

    `coupling`: how its increment enters the step of a system that takes steps of its own: see
    `subgrid.stepping`; "add-after" unless given.
    """

    named: ClassVar[Mapping[str, str]] = {"closure": "closure"}

    kind: Literal["closure"]
    closure: str
    arguments: FreeTable = Field(default_factory=dict)

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> tuple[str, ...]:
        """Return what the closure is to be cited with."""
        return closure_citations(self.closure, self.arguments)

    def make(self, parts: Parts) -> Any:
        """Return the closure, built on the coarse system.

        Raises ConfigError if its arguments do not fit and whatever `check_closure` finds wrong.
        """
        from subgrid.closures import CLOSURES, check_closure

        with naming(f"models.{self.name}"):
            kind = CLOSURES.get(self.closure)
            require_arguments(kind, self.closure, self.arguments, given=1)
            closure = kind(parts.coarse[0], **self.arguments)
        with keyed(f"models.{self.name}.closure"):
            check_closure(closure, parts.coarse[0])
        return closure


class GridConfig(AbstractModelConfig):
    """The model without a closure on a finer grid: what the cost of a closure could buy instead.

    `size` cells along x, between the first coarse size and the truth's; `substeps` steps for each
    step of the coarse model. It starts from the coarse states, padded with zeros in wavenumber
    space (their streamfunction where they are velocities on faces), and is coarsened like the truth
    before it is compared.
    """

    kind: Literal["grid"]
    size: Count
    substeps: Count = 1

    def stepped(
        self, config: "Config", coarse: "AbstractSystem", variant: "VariantConfig | None" = None
    ) -> Stepped:
        """Return the finer system, and the map from it to the coarse one."""
        from subgrid.coarsening import COARSENERS

        online = build_online_system(config, coarse, variant)
        with naming(f"models.{self.name}"):
            fine = online.at(self.size)
            coarsener = COARSENERS.get(config.coarse.operator).between(fine, online)
        return Stepped(fine, config.coarse_dt / self.substeps, self.substeps, coarsener)

    @check
    def _size_fits(self, config: "Config", key: str) -> Iterator[str]:
        key = f"{key}.size"
        nx, coarsest = config.truth.nx, config.coarse.sizes[0]
        if self.size <= coarsest or (nx is not None and self.size > nx):
            yield (
                f"{key}: got {self.size}; must be above coarse.sizes[0] = {coarsest} and at most "
                f"truth.nx = {nx}"
            )

    @check
    def _steps_fit(self, config: "Config", key: str) -> Iterator[str]:
        key = f"{key}.substeps"
        steps = config.evaluation.steps * self.substeps
        if steps > LARGEST_COUNT:
            yield (
                f"{key}: times evaluation.steps make {steps} steps; must be at most "
                f"{LARGEST_COUNT}, what 32 bits count"
            )

    def build(self, parts: Parts, key: str) -> None:
        """Build the finer systems of all free runs."""
        for variant in (None, *parts.config.evaluation.variants):
            self.stepped(parts.config, parts.coarse[0], variant)


class PretrainedConfig(ClosingConfig):
    """A closure trained earlier, from a bundle: the name of a shipped one, or its folder.

    It is refused where system, constants, coarse grid or operator differ from what it was trained
    and tested in, unless `transfer`: then it is tested there, and the report says so. `coupling`:
    see `ClosureConfig`; that of its training unless given.
    """

    stored: ClassVar[bool] = True

    kind: Literal["pretrained"]
    bundle: str
    transfer: StrictBool = False

    def load(self, parts: Parts) -> Any:
        """Return the bundle, its closure read and checked on the coarse system.

        Raises ConfigError for an unknown bundle, for a use that it was not trained and tested for,
        listing what differs, unless `transfer` is set, and for a closure that cannot run on this
        grid; CorruptFileError for a damaged file of it.
        """
        from subgrid.closures import check_closure, in_system
        from subgrid.deploy import load_bundle

        with naming(f"models.{self.name}"):
            bundle = load_bundle(parts.copies.get(self.name, self.bundle), parts.trust)
            differing = bundle.differences(validity_of(parts.config))
            if differing and not self.transfer:
                lines = (
                    f"  {key}: bundle {its!r}, experiment {ours!r}\n"
                    for key, (its, ours) in differing.items()
                )
                raise ConfigError(
                    f"bundle {bundle.name!r} was trained and tested for another use:\n"
                    f"{''.join(lines)}Set transfer = true to test it here all the same; the report "
                    "will say so."
                )
        with naming(f"models.{self.name}: bundle {bundle.name!r} cannot run here"):
            check_closure(in_system(bundle.closure, parts.coarse[0]), parts.coarse[0])
        return bundle

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> tuple[str, ...]:
        """Return the paper behind the arrangement of the networks."""
        from subgrid.deploy import load_bundle  # imports JAX, which the others do not need

        bundle = load_bundle(copies.get(self.name, self.bundle))
        return MULTISCALE if bundle.metadata.get("arrangement", "single") != "single" else ()

    def make(self, parts: Parts) -> Any:
        """Return the closure of the bundle on the coarse system."""
        from subgrid.closures import in_system

        return in_system(self.load(parts).closure, parts.coarse[0])

    def candidate(
        self, config: "Config", coarse: "AbstractSystem", stored: Any, number: int
    ) -> Candidate:
        """Return the closure that the run took over."""
        from subgrid.closures import in_system, load_metadata

        closure = in_system(self.stored_closure(stored, None), coarse)
        metadata = load_metadata(stored.model(self.name))["metadata"]
        coupling = self.coupling or metadata.get("coupling")
        return Candidate(self.name, self.name, closure, self, coupling)

    def makings(self, config: "Config") -> list[Making]:
        """Return its copy, made here, for its path is one from where the command was given."""
        settings = {"name": self.name, "bundle": self.bundle}
        return [Making(settings, learns=False, where="here")]

    def train(self, bench: Any) -> None:
        """Copy the bundle; raises CorruptFileError if it was damaged."""
        from subgrid.deploy import copy_bundle, load_bundle

        copy_bundle(load_bundle(self.bundle, bench.folder.trust), bench.place)
        bench.progress.note(f"train: takes over bundle {self.bundle} as {self.name}")

    def stored_closure(self, stored: Any, number: int | None) -> Any:
        """Return the copy, which is of others: it names code of theirs only if that is trusted."""
        from subgrid.closures import load_closure

        return load_closure(stored.model(self.name), stored.trust)

    def record(self, place: Path) -> dict[str, Any]:
        """Return which bundle was taken over."""
        from subgrid.deploy import load_bundle

        taken = {"bundle": self.bundle, "sha256": load_bundle(place).checksum}
        return {"pretrained": {self.name: taken}}
