"""How closures come into a run: made on a bench in their folder, with hashes of what lies there."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from subgrid.checksums import altered, hashes, read_list, write_list
from subgrid.closures import holds_closure, save_closure
from subgrid.config import Config, build_coarse_systems, build_system
from subgrid.data import Samples
from subgrid.errors import CorruptFileError
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import COMPILING, Progress, Work
from subgrid.experiment.task import Context
from subgrid.ownership import files_below
from subgrid.provenance import write_atomic
from subgrid.recipes.card import model_card
from subgrid.systems import AbstractSystem
from subgrid.training import Event, remove_checkpoints, training_remarks

HASHES = "files.sha256"  # in a model's folder: of the other files there
# what a model's folder holds, below it
MODEL_FILES = re.compile(
    r"(stage_\d+/)?(metrics\.jsonl|best\.safetensors|card\.md|model\.json|weights\.safetensors)"
)


@dataclass(frozen=True)
class Bench:
    """Where a closure is made: the run, the folder `place` that it goes to, and its own seed.

    `number`: of the initialisation, None for a model that has one closure.
    """

    folder: RunFolder
    progress: Progress
    name: str
    number: int | None

    @property
    def config(self) -> Config:
        """The config of the run."""
        return self.folder.config

    @property
    def place(self) -> Path:
        """The folder of the closure."""
        return self.folder.model(self.name, self.number)

    @property
    def seed(self) -> int:
        """The seed of its training: other for every experiment, model and initialisation."""
        return zlib.crc32(f"{self.config.seed}/{self.name}/{self.number}".encode())

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.name if self.number is None else f"{self.name} seed {self.number}"

    @cached_property
    def systems(self) -> dict[int, AbstractSystem]:
        """The coarse systems by their sizes, finest first."""
        coarse = build_coarse_systems(self.config, build_system(self.config))
        return dict(zip(self.config.coarse.sizes, coarse, strict=True))

    @property
    def coarse(self) -> AbstractSystem:
        """The system that closures are for."""
        return self.systems[self.config.coarse.sizes[0]]

    @cached_property
    def watch(self) -> "Watch":
        """The callback of a training, which shows how far it is."""
        return Watch(self.progress, self.label)

    def samples(
        self, split: str, in_memory: bool | Literal["auto"] = "auto", size: int | None = None
    ) -> Samples:
        """Return states and targets of a split; `size`: of their coarse system, the finest."""
        system = self.coarse if size is None else self.systems[size]
        return samples_of(self.folder, split, system, in_memory)

    def write_card(self, model: Any) -> None:
        """Write the card of a model, without scores."""
        self.place.mkdir(parents=True, exist_ok=True)  # there is none where nothing was optimised
        write_atomic(self.place / "card.md", model_card(self.folder, model, self.number or 0))


def make_model(context: Context, model: Any, number: int | None = None) -> dict[str, Any]:
    """Write models/NAME, or models/NAME/seed_NUMBER, unless it is there, and return its notes.

    `model`: see `AbstractModelConfig.train`. Training that was interrupted goes on from its last
    checkpoint. Raises CorruptFileError if what is there was damaged.
    """
    folder, progress = context.folder, context.progress
    bench = Bench(folder, progress, model.name, number)
    place, notes = bench.place, {} if number is None else {"seed": bench.seed}
    if holds_closure(place):
        model.stored_closure(folder, number)  # raises if it was damaged
        progress.note(f"train {bench.label}: done already")
    elif (made := model.train(bench)) is not None:
        (place / HASHES).unlink(missing_ok=True)  # of a try that did not get to its closure
        place.mkdir(parents=True, exist_ok=True)
        keep_hashes(place)  # before the closure is there, which says that all is
        save_closure(made, place, {"experiment": folder.config.label, **notes})
    keep_hashes(place)
    for training in (place, *place.glob("stage_*")):
        remove_checkpoints(training)
    return (
        model.record(place)
        if number is None
        else {"models": {f"{model.name}/seed_{number}": notes}}
    )


def keep_hashes(target: Path) -> None:
    """Write down the hashes of the files of a model that were not written down before.

    Raises CorruptFileError for one that is gone or altered since it was.
    """
    kept = read_list(target / HASHES) if (target / HASHES).is_file() else {}
    if (wrong := altered(kept)) is not None:
        raise CorruptFileError(
            f"{wrong} is gone or was altered after it was written. Restore it, or remove {target} "
            "to train this model again."
        )
    ours = [f for f in files_below(target) if MODEL_FILES.fullmatch(f"{f.relative_to(target)}")]
    if added := [file for file in ours if file not in kept]:
        write_list(target / HASHES, {**kept, **hashes(added)})


def samples_of(
    folder: RunFolder, split: str, system: Any, in_memory: bool | Literal["auto"] = "auto"
) -> Samples:
    """Return the states and forcings of a split on the grid of a coarse system."""
    names = [variable.name for variable in system.variables]
    wanted = [*names, *(f"{name}_forcing" for name in names)]
    return Samples(folder.split(split), system.domain.shape[-1], wanted, in_memory)


class Watch:
    """Shows the updates of a training, or of the several of a cascade, as tasks."""

    def __init__(self, progress: Progress, label: str):
        self._progress, self._label = progress, label
        self._task: Work | None = None
        self._remark, self._compiling = "", True
        self._record: Mapping[str, Any] = {}  # the last one

    def __call__(self, event: Event) -> None:
        """Take an event of the training loop."""
        if event.kind == "start" or self._task is None:
            name = " ".join(part for part in ("train", self._label, event.label) if part)
            self._task = self._progress.task(name, event.updates, "updates", COMPILING)
            self._remark, self._compiling = "", True
        if event.kind == "update":
            self._compiling = False
        if event.kind == "record":
            self._record = event.record
            skipped = event.record["skipped"]
            self._remark = f"validation loss {event.record['validation']['loss']:.4g}"
            self._remark += f", {skipped} updates skipped" if skipped else ""
        if event.kind == "end":
            self._task.remark = self._remark
            self._task.finish()
            for said in training_remarks(self._record) if self._record else ():
                self._progress.note(f"{self._task.label}: {said}")
        else:
            # compiled are the validation, before its first record, and the update, after it
            parts = (self._remark, COMPILING if self._compiling else "")
            self._task.update(event.update, ", ".join(part for part in parts if part))
