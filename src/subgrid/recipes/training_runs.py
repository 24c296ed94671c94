"""What every training in a run needs: its seed, its samples, its progress, and tidying up."""

import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from subgrid.checksums import altered, hashes, read_list, write_list
from subgrid.closures import holds_closure, save_closure
from subgrid.data import Samples
from subgrid.errors import CorruptFileError
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import COMPILING, Progress, Work
from subgrid.ownership import files_below
from subgrid.training import Event, remove_checkpoints, training_remarks

HASHES = "files.sha256"  # in a model's folder: of the other files there
# what a model's folder holds, below it
MODEL_FILES = re.compile(
    r"(stage_\d+/)?(metrics\.jsonl|best\.safetensors|card\.md|model\.json|weights\.safetensors)"
)


def train_once(
    folder: RunFolder,
    name: str,
    number: int,
    progress: Progress,
    fit: Callable[[Path, int, "Watch"], Any],
) -> dict[str, Any]:
    """Write models/NAME/seed_NUMBER unless it is there, and return its notes.

    `fit`: folder, seed and callback → the trained module, with its best weights; what else it
    writes to the folder comes before the module, for a folder that holds that is complete. Raises
    CorruptFileError if what is there was damaged.
    """
    target, label = folder.model(name, number), f"{name} seed {number}"
    notes = {"seed": training_seed(folder.config.seed, name, number)}
    if holds_closure(target):
        folder.load_model(name, number)  # raises if it was damaged
        progress.note(f"train {label}: done already")
    else:
        trained = fit(target, notes["seed"], Watch(progress, label))
        (target / HASHES).unlink(missing_ok=True)  # of a try that did not get to its module
        keep_hashes(target)  # before the module is there, which says that all is
        save_closure(trained, target, {"experiment": folder.config.label, **notes})
    keep_hashes(target)
    for place in (target, *target.glob("stage_*")):
        remove_checkpoints(place)
    return {"models": {f"{name}/seed_{number}": notes}}


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


def training_seed(seed: int, model: str, number: int) -> int:
    """Return the seed of one training: other for every experiment, model and initialisation."""
    return zlib.crc32(f"{seed}/{model}/{number}".encode())


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
