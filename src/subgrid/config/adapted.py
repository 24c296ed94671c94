"""Models adapted from the learned ones of a run: trained through the solver, or constrained."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from subgrid.config.builders import build_model, build_online_system
from subgrid.config.kinds import Making
from subgrid.config.learned import LearnedConfig, TrainedHere
from subgrid.config.output import Constraints, build_constraints, constraint_names, output_in_words
from subgrid.config.section import Name, Parts, check
from subgrid.config.training import FineTuneConfig

if TYPE_CHECKING:
    from subgrid.closures import LearnedClosure
    from subgrid.config.settings import Config


class AdaptedConfig(TrainedHere):
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

    def makings(self, config: "Config") -> list[Making]:
        """Return the changes of the networks of its learned model, one by one."""
        settings = {
            "model": self.model_dump(mode="json"),
            "coupling": self.coupling_in(config),
            "dt": config.coarse_dt,
            "constants": config.evaluation.constants,
        }
        stages = () if self.fine_tune is None else (self.fine_tune,)
        numbers = range(len(self.labels(config)))
        return [Making(settings, number, self.of, stages) for number in numbers]

    def train(self, bench: Any) -> "LearnedClosure":
        """Return a network of the learned model, trained on and constrained."""
        closure = self.base(bench.config).stored_closure(bench.folder, bench.number)
        if self.fine_tune is not None:
            closure = self._tuned(closure, self.fine_tune, bench)
        if self.output:
            samples = bench.samples("train", in_memory=False)
            constraints = build_constraints(self.output, bench.coarse, f"models.{self.name}")
            added = [one.fitted(samples) for one in constraints]
            closure = closure.changed(output=closure.output.with_constraints(*added))
            bench.progress.note(f"train {self.name}: {', '.join(one.in_words for one in added)}")
        bench.write_card(self)
        return closure

    def _tuned(
        self, closure: "LearnedClosure", tune: FineTuneConfig, bench: Any
    ) -> "LearnedClosure":
        from subgrid.closures import in_system
        from subgrid.data import Windows
        from subgrid.training import train_online

        config, folder, coarse = bench.config, bench.folder, bench.coarse
        online, coupling = build_online_system(config, coarse), self.coupling_in(config)
        in_memory = config.training_of(self.base(config)).in_memory
        names = [variable.name for variable in coarse.variables]
        training, validation = (
            Windows(folder.split(split), config.coarse.sizes[0], names, tune.frames, in_memory)
            for split in ("train", "validation")
        )
        return train_online(
            closure,
            lambda one: build_model(online, config.coarse_dt, in_system(one, online), coupling),
            training,
            validation,
            tune.plan(),
            folder=bench.place,
            seed=bench.seed,
            steps_per_frame=config.steps_per_frame,
            callbacks=(bench.watch,),
        ).closure

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
