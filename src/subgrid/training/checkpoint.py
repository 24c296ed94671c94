"""Checkpoints of a training run: one file each, whole or absent, with all that a resume needs."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.ownership import is_leftover, remove_ours
from subgrid.provenance import config_hash, load_arrays, save_arrays

Tree = TypeVar("Tree")

KEPT = 2
_NAME = re.compile(r"^(\d{8})\.safetensors$")


@dataclass(frozen=True)
class Position:
    """Where a run stands on the host: what is no array of the training state.

    `update`: updates made. `best_update`, `best_loss`: of the lowest validation loss so far.
    `seconds`: wall time spent so far, over all sessions. Batches and random draws are functions of
    seed and update, so these need no state of their own.
    """

    update: int = 0
    best_update: int = -1
    best_loss: float = float("inf")
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """All that a resumed run needs: training state, weights of the best update, position."""

    state: Any
    best: Any
    position: Position


class Checkpoints:
    """The checkpoints of one run, in `folder`/checkpoints, named by their update.

    `settings` are plain values that decide the run's numbers; their hash is inside every file and a
    file of other settings is refused. The last two are kept.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]):
        self.folder = Path(folder) / "checkpoints"
        self._settings = json.loads(json.dumps(settings, default=str))

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and remove those older than the last two. Returns its path.

        Raises OSError (disk full) with the earlier checkpoints untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{checkpoint.position.update:08d}.safetensors"
        arrays = arrays_by_path({"state": checkpoint.state, "best": checkpoint.best})
        metadata = {
            "config_hash": config_hash(self._settings),
            "settings": json.dumps(self._settings, sort_keys=True),
            "position": json.dumps(dataclasses.asdict(checkpoint.position)),
        }
        save_arrays(path, arrays, metadata)
        for old in self.paths()[:-KEPT]:
            old.unlink()
        return path

    def load(self, like: Checkpoint) -> Checkpoint | None:
        """Return the newest checkpoint, in the structure of `like`; None if there is none.

        Raises CorruptFileError if the newest is truncated, altered or lacks an array, and
        RunFolderError if it was made with other settings. An older checkpoint is never taken
        silently in its place, and nothing is overwritten.
        """
        paths = self.paths()
        if not paths:
            return None
        path = paths[-1]
        try:
            arrays, metadata = load_arrays(path)
        except CorruptFileError as error:
            advice = " to start again" if len(paths) == 1 else f" to go on from {paths[-2].name}"
            raise CorruptFileError(f"{error} Remove {path.name}{advice}.") from error
        self._check(path, metadata)
        trees = fill({"state": like.state, "best": like.best}, arrays, path)
        position = Position(**json.loads(metadata["position"]))
        return Checkpoint(trees["state"], trees["best"], position)

    def paths(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.match(path.name))

    def clean(self) -> None:
        """Remove the half-written files that a killed run left behind."""
        if self.folder.is_dir():
            remove_ours(self.folder, lambda name: is_leftover(name, _NAME.match))

    def _check(self, path: Path, metadata: Mapping[str, str]) -> None:
        if metadata.get("config_hash") == config_hash(self._settings):
            return
        theirs = json.loads(metadata.get("settings", "{}"))
        names = sorted(
            name
            for name in {*theirs, *self._settings}
            if theirs.get(name) != self._settings.get(name)
        )
        changes = "; ".join(
            f"{name} was {theirs.get(name)!r}, is {self._settings.get(name)!r}" for name in names
        )
        raise RunFolderError(
            f"{path} was made with other settings ({changes}), and a training goes on only to the "
            "bits it would have had. Set them as they were (`devices`: as many, of that kind) to "
            "go on, train in another folder, or remove this one to start again."
        )


def remove_checkpoints(folder: str | Path) -> None:
    """Remove `folder`/checkpoints, whose run needs none any more; files of others stay."""
    place = Path(folder) / "checkpoints"
    if place.is_dir():
        remove_ours(place, lambda name: _NAME.match(name) or is_leftover(name, _NAME.match))


def arrays_by_path(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a PyTree on the host, by their path ("network/layers/0/weight")."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in leaves
        if _is_array(leaf)
    }


def fill(like: Tree, arrays: Mapping[str, np.ndarray], path: str | Path) -> Tree:
    """Return `like` with its arrays replaced by those of the same path in `arrays`.

    Raises CorruptFileError, naming the file `path`, if one is missing or has another shape or type.
    """

    def pick(place, leaf):
        if not _is_array(leaf):
            return leaf
        name = jax.tree_util.keystr(place, simple=True, separator="/")
        found = arrays.get(name)
        if found is None:
            raise CorruptFileError(f"{path} holds no array {name!r}, which the network needs.")
        if found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise CorruptFileError(
                f"{path}: {name!r} is {found.dtype}{list(found.shape)}, but the network needs "
                f"{leaf.dtype}{list(leaf.shape)}."
            )
        return found

    return jax.tree_util.tree_map_with_path(pick, like)


def tree_hash(tree: Any) -> str:
    """Return a hash of the paths, shapes, types and bytes of the arrays of a PyTree."""
    digest = hashlib.sha256()
    for name, value in arrays_by_path(tree).items():
        digest.update(f"{name}|{value.dtype.str}|{value.shape}|".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
