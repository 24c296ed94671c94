"""Closures whose numbers are fitted to the data of the run in closed form: no network, no steps."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from subgrid.config.builders import require_arguments
from subgrid.config.kinds import Candidate, ClosingConfig, Making, closure_citations
from subgrid.config.section import Parts, check, naming
from subgrid.config.values import FreeTable
from subgrid.errors import ConfigError

if TYPE_CHECKING:
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem


class FittedConfig(ClosingConfig):
    """A closure fitted to the training split at once, as a polynomial is by least squares.

    `closure`: of the registry, or your own as "module:Class", whose class has
    `fit(system, data, *, dt, **arguments)`: `data` holds each variable of the coarse states beside
    its target, `x` and `x_forcing` [trajectory, time, ...], as an xarray.Dataset, and `dt` is the
    step of the coarse model. `coupling`: see `ClosureConfig`.
    """

    stored: ClassVar[bool] = True
    named: ClassVar[Mapping[str, str]] = {"closure": "closure"}

    kind: Literal["fitted"]
    closure: str
    arguments: FreeTable = Field(default_factory=dict)

    @check
    def _data_exist(self, config: "Config", key: str) -> Iterator[str]:
        if config.data.trajectories.train == 0:
            yield (
                "data.trajectories.train: got 0; must be at least 1, since there are numbers to "
                f"fit ({key})"
            )

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> tuple[str, ...]:
        """Return what the closure is to be cited with."""
        return closure_citations(self.closure, self.arguments)

    def build(self, parts: Parts, key: str) -> None:
        """Raise ConfigError for a closure that cannot be fitted."""
        super().build(parts, key)
        fit = getattr(self._class(), "fit", None)
        if not callable(fit):
            raise ConfigError(
                f"{key}.closure: {self.closure!r} has no fit(system, data, *, dt, ...); use kind = "
                '"closure" for one whose numbers are given'
            )
        with naming(f"models.{self.name}"):  # now, not once hours are simulated
            require_arguments(fit, self.closure, self.arguments, given=2, named=("dt",))

    def _class(self) -> Any:
        from subgrid.closures import CLOSURES

        return CLOSURES.get(self.closure)

    def makings(self, config: "Config") -> list[Making]:
        """Return its fit."""
        return [Making({"model": self.model_dump(mode="json"), "dt": config.coarse_dt})]

    def train(self, bench: Any) -> Any:
        """Return the closure fitted to the frames of the training split.

        Raises ConfigError if its arguments do not fit and whatever `check_closure` finds wrong.
        """
        from subgrid.closures import check_closure
        from subgrid.data import open_dataset

        config, coarse = bench.config, bench.coarse
        data = open_dataset(bench.folder.split("train"), config.coarse.sizes[0])
        with naming(f"models.{self.name}"):
            closure = self._class().fit(coarse, data, dt=config.coarse_dt, **self.arguments)
        check_closure(closure, coarse)
        bench.progress.note(f"train: fitted {self.name}")
        return closure

    def candidate(
        self, config: "Config", coarse: "AbstractSystem", stored: Any, number: int
    ) -> Candidate:
        """Return the fitted closure."""
        from subgrid.closures import in_system

        closure = in_system(stored.load_model(self.name), coarse)
        return Candidate(self.name, self.name, closure, self, self.coupling)

    def facts(self, config: "Config") -> dict[str, str]:
        """Return what is fitted."""
        given = ", ".join(f"{name} = {value}" for name, value in self.arguments.items())
        return {self.name: f"{self.closure}{f' ({given})' if given else ''}, fitted to the data"}
