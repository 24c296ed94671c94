"""The section of a search for an architecture."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, ValidationError

from subgrid.config.kinds import MULTISCALE
from subgrid.config.learned import LearnedConfig
from subgrid.config.output import Constraints, constraint_names
from subgrid.config.section import Parts, Section, check
from subgrid.config.training import training_problems
from subgrid.config.values import Count, FreeTable, Names, Positive

if TYPE_CHECKING:
    from subgrid.config.settings import Config

_MOST_CHOICES = 10_000


class SearchConfig(Section):
    """A search for an architecture: every way to choose one of `candidates` per coarse size.

    Each choice is a multiscale model (see `LearnedConfig` for the other settings), tested online
    like the models but kept out of their figures; all are ranked by their spectral errors.
    """

    named: ClassVar[Mapping[str, str]] = {"candidates": "network"}
    cited: ClassVar[tuple[str, ...]] = MULTISCALE
    renamed: ClassVar[Mapping[str, str]] = {"zero_mean": 'output = ["zero-mean"]'}

    candidates: Names
    width: Positive = 1.0
    output: Constraints = ()
    seeds: Count = 1
    training: FreeTable = Field(default_factory=dict)

    def models(self, scales: int) -> tuple[LearnedConfig, ...]:
        """Return the model of every choice, called by its networks: "psm4_pmd8"."""
        return tuple(
            self._model(networks) for networks in itertools.product(self.candidates, repeat=scales)
        )

    def _model(self, networks: tuple[str, ...]) -> LearnedConfig:
        return LearnedConfig(
            name=re.sub(r"[^A-Za-z0-9_.-]", "-", "_".join(networks)),
            kind="learned",
            networks=networks,
            arrangement="multiscale",
            width=self.width,
            output=self.output,
            seeds=self.seeds,
            training=self.training,
        )

    def code(self, key: str) -> list[tuple[str, str, str]]:
        """Return the names of the candidates and of the constraints."""
        held = constraint_names(self.output)
        return [*super().code(key), *((f"{key}.output", "constraint", name) for name in held)]

    def trainings(self, key: str) -> list[tuple[str, "SearchConfig"]]:
        """Return itself."""
        return [(key, self)]

    @check
    def _training_fits(self, config: "Config", key: str) -> Iterator[str]:
        yield from training_problems(config, self.training, f"{key}.training")

    @check
    def _choices(self, config: "Config", key: str) -> Iterator[str]:
        counts, scales = Counter(self.candidates), len(config.coarse.sizes)
        repeated = [name for name, times in counts.items() if times > 1]
        for name in repeated:
            yield f"{key}.candidates: got {name!r} {counts[name]} times; each is tried once"
        if len(self.candidates) ** scales > _MOST_CHOICES:
            yield (
                f"{key}.candidates: {len(self.candidates)} for each of {scales} sizes make more "
                f"than {_MOST_CHOICES} choices; each is trained"
            )
            return
        try:
            choices = Counter(model.name for model in self.models(scales))
        except ValidationError as error:
            name = error.errors()[0]["input"]
            yield f"{key}.candidates: {name!r} is no name of a model, of 60 characters"
            return
        taken = {entry.name for entry in (*config.models, *config.separated)}.intersection(choices)
        for name in sorted(taken):
            yield f"{key}: {name!r} is also the name of a model or a separated network; rename that"
        if not repeated and not taken:
            for name, times in choices.items():
                if times > 1:
                    yield (
                        f"{key}: {times} choices are called {name!r}; leave one of the candidates "
                        "out"
                    )

    def _each_alone(self, parts: Parts) -> list[LearnedConfig]:
        scales = len(parts.config.coarse.sizes)
        return [self._model((name,) * scales) for name in self.candidates]

    def build(self, parts: Parts, key: str) -> None:
        """Trace the network of every candidate in every place."""
        for model in self._each_alone(parts):
            model.build(parts, key)

    def trace(self, parts: Parts, key: str) -> None:
        """Raise unless the networks can be trained and make increments."""
        for model in self._each_alone(parts):
            model.trace(parts, key)

    def facts(self, config: "Config") -> dict[str, str]:
        """Return what is searched."""
        return {
            "search": f"{len(config.searched())} pairs of {', '.join(self.candidates)}, width "
            f"{self.width:g}, {self.seeds} initialisation(s) each"
        }
