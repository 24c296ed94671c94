"""The learned models of a run, and those adapted from them."""

import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Strict, model_validator

from subgrid.config.kinds import MULTISCALE, Candidate, ClosingConfig
from subgrid.config.networks import require_trainable, require_trusted, traced
from subgrid.config.output import Constraints, build_constraints, constraint_names, output_in_words
from subgrid.config.section import Name, Parts, check, keyed, naming
from subgrid.config.training import FineTuneConfig, Trained
from subgrid.config.values import FreeTable, Names, Sizes
from subgrid.errors import ConfigError

if TYPE_CHECKING:
    from subgrid.closures import LearnedClosure
    from subgrid.config.sections import CoarseConfig
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem


class _TrainedHere(ClosingConfig):
    """Base of the kinds whose closures this run trains, one per initialisation."""

    stored: ClassVar[bool] = True

    def candidate(
        self, config: "Config", coarse: "AbstractSystem", stored: Any, number: int
    ) -> Candidate:
        """Return the trained closure of an initialisation."""
        label, closure = self.labels(config)[number], stored.load_model(self.name, number)
        return Candidate(self.name, label, closure, self, self.coupling_in(config))


class LearnedConfig(Trained, _TrainedHere):
    """A closure learned from the data of this run.

    `networks` are in the order in which they work. `arrangement` is "single" (one network),
    "stacked" (two networks at the finest coarse size, the second correcting the first, trained
    together) or "multiscale" (one network per coarse size, the one for the coarsest size first,
    trained one after another with the earlier ones frozen). `width` multiplies the channels of each
    network. `features` names what the networks see: variables of the system, what it derives of
    them, and "tendency", its resolved tendency; by default the state. `output` lists the
    constraints that hold of the increment, in their order, by name ("zero-mean") or as a table with
    arguments ({ name = "cut", share = 0.65 }): see `subgrid.closures.CONSTRAINTS`. `coupling`: see
    `ClosureConfig`. `seeds` is the number of independent initialisations. `calibrated_as`: the
    model whose noise --noise-from takes for this one, unless it has the same name.
    `training` changes single settings of [training] for this model, and `stage_training`, with a
    table per network of a multiscale model, for one network on top of that.
    """

    named: ClassVar[Mapping[str, str]] = {"networks": "network"}
    renamed: ClassVar[Mapping[str, str]] = {
        "inputs": "features",
        "zero_mean": 'output = ["zero-mean"]',
        "flux_form": 'output = ["flux-form"]',
        "divergence_free": 'output = ["divergence-free"]',
        "target_cut": 'output = [{ name = "cut", share = ... }]',
    }

    kind: Literal["learned"]
    networks: Names
    arrangement: Literal["single", "stacked", "multiscale"] = "single"
    sizes: Sizes | None = None
    features: Names | None = None
    output: Constraints = ()
    calibrated_as: Name | None = None
    stage_training: Annotated[tuple[FreeTable, ...], Strict(False)] = ()

    @model_validator(mode="after")
    def _networks_fit(self) -> "LearnedConfig":
        wanted = {"single": 1, "stacked": 2}.get(self.arrangement, len(self.networks))
        if len(self.networks) != wanted:
            raise ValueError(
                f"arrangement {self.arrangement!r} needs {wanted} network(s), "
                f"got {len(self.networks)}: {list(self.networks)}"
            )
        if self.sizes is not None and not self.multiscale:
            raise ValueError(f"arrangement {self.arrangement!r} takes no sizes; multiscale does")
        tables = len(self.networks) if self.multiscale else 0
        if self.stage_training and len(self.stage_training) != tables:
            raise ValueError(
                f"stage_training has {len(self.stage_training)} table(s); a multiscale model takes "
                "one per network, others none"
            )
        return self

    @property
    def multiscale(self) -> bool:
        """Whether its networks work at several scales and are trained one after another."""
        return self.arrangement == "multiscale"

    def scales(self, coarse: "CoarseConfig") -> tuple[int, ...]:
        """Return the sizes that the model works at, finest first: one unless it is multiscale."""
        return (self.sizes or coarse.sizes) if self.multiscale else coarse.sizes[:1]

    def changes(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Return what each of its trainings, one after another, changes of [training], keyed."""
        if self.stage_training:
            return tuple(
                (f"stage_training.{stage}", {**self.training, **own})
                for stage, own in enumerate(self.stage_training)
            )
        return (("training", self.training),) * (len(self.networks) if self.multiscale else 1)

    def base(self, config: "Config") -> "LearnedConfig":
        """Return itself."""
        return self

    def labels(self, config: "Config") -> tuple[str, ...]:
        """Return what its networks are called in files."""
        return self.trained_names()

    def metrics_files(self) -> tuple[str, ...]:
        """Return where, in the folder of an initialisation, each of its trainings is recorded."""
        if not self.multiscale:
            return ("metrics.jsonl",)
        return tuple(f"stage_{stage}/metrics.jsonl" for stage in range(len(self.networks)))

    def code(self, key: str) -> list[tuple[str, str, str]]:
        """Return the names of the networks and of the constraints."""
        held = constraint_names(self.output)
        return [*super().code(key), *((f"{key}.output", "constraint", name) for name in held)]

    def untrained(self, config: "Config", coarse: "AbstractSystem") -> "LearnedClosure":
        """Return the closure without a network: what it sees, and what is made of an output."""
        from subgrid.closures import Features, LearnedClosure, Output

        constraints = build_constraints(self.output, coarse, f"models.{self.name}")
        with naming(f"models.{self.name}.output"):
            for constraint in constraints:
                constraint.check_sizes(self.scales(config.coarse))
            output = Output(None, constraints)
        with naming(f"models.{self.name}.features"):
            # only named features need the system, and its tables are large
            system = coarse if self.features else None
            return LearnedClosure(Features(self.features), None, output, system)

    def channels(self, config: "Config", coarse: "AbstractSystem") -> tuple[int, int]:
        """Return how many channels the networks see, and how many they are to return."""
        from subgrid.closures import channel_count

        closure, count = self.untrained(config, coarse), channel_count(coarse)
        seen = closure.features.count(coarse) if self.features else count
        return seen, closure.output.channels(count)

    def closure(self, config: "Config", coarse: "AbstractSystem", key: Any) -> "LearnedClosure":
        """Return the untrained closure, its network of random weights."""
        network = self.network(config, coarse, key)
        return self.untrained(config, coarse).changed(network=network)

    def network(self, config: "Config", coarse: "AbstractSystem", key: Any) -> Any:
        """Return the untrained network: a named one, a `Stacked` or a `Cascade`.

        It maps the channels of the features to those that the output takes.
        """
        import jax

        from subgrid.nn import Stacked, build, build_cascade

        seen, out = self.channels(config, coarse)
        dims = len(coarse.domain.dims)
        settings = {"out_channels": out, "width": self.width}
        with naming(f"models.{self.name}"):
            if self.multiscale:
                if dims != 2:
                    raise ConfigError("a multiscale network works on planes alone")
                sizes = self.scales(config.coarse)
                return build_cascade(self.networks, sizes, state_channels=seen, key=key, **settings)
            # the second of a stack sees the same and what the first made of it
            counts = [seen, seen + out]
            keys = jax.random.split(key, len(self.networks))
            networks = [
                build(name, in_channels=count, spatial_dims=dims, key=part, **settings)
                for name, count, part in zip(self.networks, counts, keys, strict=False)
            ]
            return Stacked(*networks) if self.arrangement == "stacked" else networks[0]

    @check
    def scales_fit(self, config: "Config", key: str) -> Iterator[str]:
        """Yield what is wrong with its scales and the number of its networks."""
        sizes = self.scales(config.coarse)
        if not self.multiscale:
            return
        if len(self.networks) != len(sizes):
            what = "coarse sizes" if self.sizes is None else "sizes"
            yield (
                f"{key}.networks: got {len(self.networks)} for {len(sizes)} {what} {list(sizes)}; "
                "a multiscale model has one network per size"
            )
        if self.sizes is None:
            return  # what is wrong with coarse.sizes is said once, under that key
        if sizes[0] != config.coarse.sizes[0]:
            yield (
                f"{key}.sizes: got {list(sizes)}; the first must be coarse.sizes[0] = "
                f"{config.coarse.sizes[0]}, the grid of the coarse model"
            )
        if any(fine <= small for fine, small in itertools.pairwise(sizes)):
            yield f"{key}.sizes: got {list(sizes)}; must decrease, finest first"

    def build(self, parts: Parts, key: str) -> None:
        """Trace the closure, and see that its constraints apply to the system."""
        ClosingConfig.build(self, parts, key)
        with naming(f"{key}.sizes"):
            for size in self.sizes or ():
                parts.coarse[0].at(size)
        traced(partial(self.closure, parts.config, parts.coarse[0]))

    def trace(self, parts: Parts, key: str) -> None:
        """Raise unless a network that is not ours can be trained and makes an increment."""
        Trained.trace(self, parts, key)
        ClosingConfig.trace(self, parts, key)
        from subgrid.nn import named_builder
        from subgrid.systems import state_shapes

        config, coarse = parts.config, parts.coarse[0]
        own = not all(map(named_builder, self.networks))
        if own:
            use = partial(_increment, coarse, self.untrained(config, coarse))
            with keyed(f"{key}.networks"):
                make = partial(self.network, config, coarse)
                require_trainable(make, use, state_shapes(coarse))
        if own or self.output:
            require_trusted(partial(self.closure, config, coarse), self.name, parts)

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> tuple[str, ...]:
        """Return the paper behind the arrangement of the networks."""
        return () if self.arrangement == "single" else MULTISCALE

    def facts(self, config: "Config") -> dict[str, str]:
        """Return what it is, what it sees and predicts, and how it is trained."""
        noise = config.training_of(self).noise
        said = f", sees {' and '.join(self.features)}" if self.features else ""
        if held := output_in_words(self.output, config):
            said += f", its increment has {', '.join(held)}"
        return {
            self.name: f"{self.arrangement}: {', '.join(self.networks)}, width {self.width:g}, on "
            f"{', '.join(map(str, self.scales(config.coarse)))} cells, "
            f"{', '.join(map(str, config.updates_of(self)))} updates, {self.seeds} "
            f"initialisation(s){said}{f', noise {noise:g}' if noise else ''}"
        }


class AdaptedConfig(_TrainedHere):
    """A learned model of this run, `of`, changed after its training: each of its networks in turn.

    `fine_tune`: trained on through the solver. `output`: constraints that its increment gets
    besides (see `LearnedConfig`): of "energy-limit" the power given to the flow is at most the
    largest of the true forcing in the training split. `coupling`: see `ClosureConfig`; that of the
    learned model unless given.
    """

    renamed: ClassVar[Mapping[str, str]] = {"energy_limit": 'output = ["energy-limit"]'}

    kind: Literal["adapted"]
    of: Name
    fine_tune: FineTuneConfig | None = None
    output: Constraints = ()

    @model_validator(mode="after")
    def _changes_something(self) -> "AdaptedConfig":
        if self.fine_tune is None and not self.output and self.coupling is None:
            raise ValueError(
                f"model {self.name!r} changes nothing of {self.of!r}: give fine_tune, output or "
                "coupling"
            )
        return self

    def base(self, config: "Config") -> LearnedConfig:
        """Return the learned model that it is made of."""
        return next(learned for learned in config.learned() if learned.name == self.of)

    def labels(self, config: "Config") -> tuple[str, ...]:
        """Return what its networks are called in files."""
        seeds = (model.seeds for model in config.learned() if model.name == self.of)
        return tuple(f"{self.name}-seed{number}" for number in range(next(seeds, 0)))

    def coupling_in(self, config: "Config") -> str | None:
        """Return how its increment enters the step; None for the system's own way."""
        return self.coupling or self.base(config).coupling

    def code(self, key: str) -> list[tuple[str, str, str]]:
        """Return the names of the constraints."""
        return [(f"{key}.output", "constraint", name) for name in constraint_names(self.output)]

    def metrics_files(self) -> tuple[str, ...]:
        """Return where, in the folder of an initialisation, its training is recorded."""
        return () if self.fine_tune is None else ("metrics.jsonl",)

    @check
    def _windows_fit(self, config: "Config", key: str) -> Iterator[str]:
        if self.fine_tune is not None:
            yield from self.fine_tune.windows_fit(config, f"{key}.fine_tune")

    @check
    def _base_is_here(self, config: "Config", key: str) -> Iterator[str]:
        names = [model.name for model in config.every_model if isinstance(model, LearnedConfig)]
        if self.of not in names:
            yield (
                f"{key}.of: got {self.of!r}; must be a learned model of this run: "
                f"{', '.join(names) or 'there is none'}"
            )

    def build(self, parts: Parts, key: str) -> None:
        """See that its constraints apply to the system."""
        super().build(parts, key)
        build_constraints(self.output, parts.coarse[0], key)

    def trace(self, parts: Parts, key: str) -> None:
        """Raise ConfigError unless every batch can be divided over the devices."""
        super().trace(parts, key)
        if self.fine_tune is not None:
            self.fine_tune.check_devices(f"{key}.fine_tune")

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> tuple[str, ...]:
        """Return the papers behind training through the solver."""
        return () if self.fine_tune is None else ("kochkov2021", "frezat2022")

    def facts(self, config: "Config") -> dict[str, str]:
        """Return what it changes of its learned model."""
        changes = []
        if (tune := self.fine_tune) is not None:
            changes.append(f"{tune.updates} updates through the solver over {tune.frames} frames")
        changes += output_in_words(self.output, config)
        if self.coupling is not None:
            changes.append(self.coupling)
        return {self.name: f"{self.of}, then {', '.join(changes)}"}


def _increment(
    coarse: "AbstractSystem", untrained: "LearnedClosure", network: Any, state: Any
) -> Any:
    """Return the increment that a network makes of a state."""
    from subgrid.closures import state_to_channels
    from subgrid.randomness import random_key

    closure = untrained.changed(network=network)
    fields = state_to_channels(state, len(coarse.domain.dims))
    return closure.predict(fields, closure.first_memory(fields, random_key(0)))[0]
