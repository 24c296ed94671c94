"""Tasks, the resumable units of an experiment with keys that say which must run again; recipes."""

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from subgrid.config import RECIPES, Config
from subgrid.errors import ConfigError
from subgrid.experiment.progress import Progress
from subgrid.provenance import config_hash

if TYPE_CHECKING:
    from subgrid.experiment.folder import RunFolder

STAGES = ("simulate", "train", "evaluate", "report")


@dataclass(frozen=True)
class Context:
    """What a task works with: the run folder, the progress display, and a `map` over workers."""

    folder: "RunFolder"
    progress: Progress = field(default_factory=Progress)
    map: Callable[..., Any] = map


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a task takes, as far as its settings say it.

    `amounts`: how much of what it does, in words ("steps" → 12000); `operations`: floating-point,
    NaN where a network of the user's does not say its own; `memory`: bytes while it runs; `disk`:
    bytes that it leaves; `seconds`: while as many run side by side as the run lets.
    """

    amounts: Mapping[str, int]
    operations: float | int = 0.0
    memory: float | int = 0.0
    disk: float | int = 0.0
    seconds: float | int = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """One unit of work, done once for each key.

    `name`: its own in the run, as a rule where its output lies ("models/cascade/seed_0").
    `stage`: one of STAGES, the command that runs it. `settings`: plain data, all that its output
    depends on besides its inputs. `inputs`: tasks whose output it reads. `after`: tasks that must
    be done before it but do not change its output, such as a check. `run`: does the work and
    returns notes for the manifest; a function that can be pickled, which goes on where a killed
    process stopped. `outputs`: its files and folders, by default the one called like the task.
    `files`, `passing`: patterns of the files there that are results, and of those that are of no
    use once it is done; any other file is the user's. `recorded`: hashes of results from when each
    was written. `lasting`: whether unfinished output is worth keeping when the config changes.
    `where`: "worker" for any process; "here" for this one, which may give parts of the work to the
    workers by `Context.map`, as many as it has `parts`; "alone" while nothing else runs, as time
    is measured. `estimate`: of what it takes, by what the recipe times on this machine; None for
    next to nothing.
    """

    name: str
    stage: str
    settings: Mapping[str, Any]
    run: Callable[[Context], Mapping[str, Any] | None]
    inputs: tuple["Task", ...] = ()
    after: tuple["Task", ...] = ()
    outputs: tuple[str, ...] | None = None
    files: str = r".+"
    passing: str = r"(?!)"
    recorded: Callable[[Path], Mapping[Path, str]] | None = None
    lasting: Callable[[Path], bool] | None = None
    where: Literal["worker", "here", "alone"] = "worker"
    parts: int = 1
    estimate: Callable[[Any], Estimate] | None = None

    @cached_property
    def key(self) -> str:
        """The hash of the settings and of the inputs' keys."""
        inputs = {task.name: task.key for task in self.inputs}
        return config_hash({"settings": self.settings, "inputs": inputs})

    @property
    def needs(self) -> tuple["Task", ...]:
        """The tasks that must be done before this one."""
        return (*self.inputs, *self.after)

    def places(self, folder: Path) -> list[Path]:
        """Return its files and folders in a run folder."""
        names = (self.name,) if self.outputs is None else self.outputs
        return [folder / name for name in names]


Graph = Mapping[str, Task]


def graph(tasks: Iterable[Task]) -> Graph:
    """Return tasks by name; raises ConfigError unless each comes once and after what it needs."""
    found: dict[str, Task] = {}
    for task in tasks:
        if task.name in found:
            raise ConfigError(
                f"the recipe makes two tasks called {task.name!r}; each needs its own name"
            )
        if task.stage not in STAGES:
            raise ConfigError(
                f"task {task.name!r}: stage {task.stage!r} is none of {', '.join(STAGES)}"
            )
        for needed in task.needs:
            if found.get(needed.name) is not needed:
                raise ConfigError(
                    f"task {task.name!r} needs {needed.name!r}, which is not among the tasks "
                    "before it: return it from the recipe's `tasks`, before those that need it"
                )
        found[task.name] = task
    return found


def downstream(tasks: Graph, names: Iterable[str]) -> set[str]:
    """Return these tasks and all whose output depends on theirs."""
    found = set(names)
    for task in tasks.values():  # in an order in which inputs come first
        if any(each.name in found for each in task.inputs):
            found.add(task.name)
    return found


class AbstractRecipe(abc.ABC):
    """Makes the tasks of an experiment from its config, which names it as `recipe`.

    Your own is registered by the entry point `subgrid.recipes` or given as "module:Class".
    `sections`: those of the config that it brings, by name, each its type and its default, such as
    `{"search": (SearchConfig | None, None)}` for a `subgrid.config.Section`; only a config with
    this recipe has them.
    """

    sections: ClassVar[Mapping[str, tuple[Any, Any]]] = {}

    @abc.abstractmethod
    def tasks(self, config: Config) -> Iterable[Task]:
        """Return the tasks, each after those that it needs; nothing is computed yet."""

    def check(  # noqa: B027 - a recipe need not have checks of its own
        self,
        config: Config,
        stages: Sequence[str],
        folder: "RunFolder | None" = None,
        force: bool = False,
        trust: bool = False,
    ) -> None:
        """Raise what would fail later on, before anything is written; nothing by default.

        `stages`: those asked for; `folder`: the run, if it was begun; `force`: whether they are
        made again; `trust`: see `run_experiment`.
        """

    def notes(self, folder: "RunFolder") -> list[str]:
        """Return sentences on a run that is about to go on, for the progress display."""
        return []


def recipe_of(config: Config) -> AbstractRecipe:
    """Return the recipe that a config names; raises UnknownNameError, listing the known ones."""
    return RECIPES.get(config.recipe)()


def may_build(there: Config, ours: Config) -> bool:
    """Return whether the tasks of another's config can be looked at without code of theirs."""
    return ":" not in there.recipe or there.recipe == ours.recipe
