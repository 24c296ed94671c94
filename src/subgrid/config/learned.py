"""The learned models of a run."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Strict, model_validator

from subgrid.config.kinds import MULTISCALE, Candidate, ClosingConfig, Making
from subgrid.config.networks import require_trainable, require_trusted, traced
from subgrid.config.output import Constraints, build_constraints, constraint_names, output_in_words
from subgrid.config.section import Name, Parts, check, keyed, naming
from subgrid.config.training import Trained
from subgrid.config.values import FreeTable, Names, Sizes
from subgrid.errors import ConfigError

if TYPE_CHECKING:
    from subgrid.closures import LearnedClosure
    from subgrid.config.sections import CoarseConfig
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem


# settings that change no bit of a training
_NO_NUMBERS = {"in_memory"}
_NO_TRAINING = {"seeds", "calibrated_as", "training", "stage_training", "coupling"}


class TrainedHere(ClosingConfig):
    """Base of the kinds whose closures this run trains, one per initialisation."""

    stored: ClassVar[bool] = True

    def base(self, config: "Config") -> "LearnedConfig":
        """Return the learned model that it is, or is made of."""
        raise NotImplementedError

    def candidate(
        self, config: "Config", coarse: "AbstractSystem", stored: Any, number: int
    ) -> Candidate:
        """Return the trained closure of an initialisation."""
        label, closure = self.labels(config)[number], self.stored_closure(stored, number)
        return Candidate(self.name, label, closure, self, self.coupling_in(config))


class LearnedConfig(Trained, TrainedHere):
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

    def makings(self, config: "Config") -> list[Making]:
        """Return its trainings, one for each initialisation."""
        stages = tuple(config.training_of(self, stage) for stage in range(len(self.changes())))
        settings = {
            "model": self.model_dump(mode="json", exclude=_NO_TRAINING),
            "training": [stage.model_dump(mode="json", exclude=_NO_NUMBERS) for stage in stages],
        }
        return [Making(settings, number, stages=stages) for number in range(self.seeds)]

    def train(self, bench: Any) -> Any:
        """Return the closure with the weights that are best on the validation split.

        Raises UnstableRunError for a loss that does not stay finite and CorruptFileError for a
        damaged checkpoint.
        """
        from subgrid.randomness import random_key
        from subgrid.training import train_cascade, train_offline

        config = bench.config
        plans = [config.training_of(self, stage).plan() for stage in range(len(self.changes()))]
        trainer: Callable[..., Any] = train_cascade if self.multiscale else train_offline
        in_memory = config.training_of(self).in_memory
        result = trainer(
            self.closure(config, bench.coarse, random_key(bench.seed)),
            bench.samples("train", in_memory),
            bench.samples("validation", in_memory),
            plans if self.multiscale else plans[0],
            folder=bench.place,
            seed=bench.seed,
            callbacks=(bench.watch,),
        )
        bench.write_card(self)
        return result.closure

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


def _increment(
    coarse: "AbstractSystem", untrained: "LearnedClosure", network: Any, state: Any
) -> Any:
    """Return the increment that a network makes of a state."""
    from subgrid.closures import state_to_channels
    from subgrid.randomness import random_key

    closure = untrained.changed(network=network)
    fields = state_to_channels(state, len(coarse.domain.dims))
    return closure.predict(fields, closure.first_memory(fields, random_key(0)))[0]
