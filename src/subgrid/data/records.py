"""The folder beside a store: how far each trajectory is, how it ended, who works on it."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subgrid import locks
from subgrid.checksums import hashes, signed, unsigned
from subgrid.data.shards import ShardReader
from subgrid.errors import CorruptFileError, RunLockedError
from subgrid.files import inside, read_json, read_text
from subgrid.ownership import is_leftover, remove_ours
from subgrid.provenance import aside_of, file_hash, write_atomic

# of a trajectory's unfinished files; of files in the records of no use once all have ended
WORK_FILES = re.compile(r"restart\.safetensors|progress\.(json|\d+)|scale_\d+\.\w+\.\d+")
PASSING_FILES = re.compile(
    rf"\d{{5,}}\.lock|maker-[0-9a-f]{{12}}\.json|\d{{5,}}/({WORK_FILES.pattern})"
)
_RECORDS = re.compile(rf"\d{{5,}}\.json|lock|call|{PASSING_FILES.pattern}")
_ZARRS_ASIDE = re.compile(r"(.+/)?(zarr|\d+)\.[0-9a-f]+\.partial")  # as Zarr names its own
_PATIENCE = 5.0  # seconds: a worker whose parent was killed needs a moment to notice and end


@dataclass(frozen=True)
class TrajectoryResult:
    """How a trajectory ended, after one or more attempts.

    `seeds`: the random key of each attempt as 16 hex digits. `blow_ups`: the step at which each
    attempt but the last blew up; of a failed trajectory every attempt did. `safe_dts`: for each of
    these the largest dt (s) that would have been safe, None where the system does not tell.
    `files`: sizes in bytes of its shards by path within the store. `content`: SHA-256 over the
    shards' bytes. `hashes`: SHA-256 of each shard, which records of earlier versions lack.
    """

    index: int
    failed: bool
    seeds: tuple[str, ...]
    blow_ups: tuple[int, ...]
    safe_dts: tuple[float | None, ...]
    files: dict[str, int]
    content: str
    hashes: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def attempts(self) -> int:
        """How many seeds were tried."""
        return len(self.seeds)


@dataclass(frozen=True)
class Progress:
    """How far a trajectory is: `steps` of `total` in its present attempt (from 1).

    `phase`: "spin-up", "production", "done" or "failed".
    """

    trajectory: int
    phase: str
    steps: int
    total: int
    attempt: int


class Records:
    """The files that belong to one store: `train.zarr` has them in `train.records`."""

    def __init__(self, store: str | Path):
        self.store = Path(store)
        self.folder = self.store.with_suffix(".records")

    def work(self, index: int) -> Path:
        """Return the folder of a trajectory's unfinished files."""
        return self.folder / f"{index:05d}"

    @contextlib.contextmanager
    def asking(self) -> Iterator[str]:
        """Give the name of a call that asks for trajectories, which `asked` knows in the block.

        A worker elsewhere cannot be stopped: it looks here before each segment. Kept in a file,
        which reaches any cluster; that of a killed process is replaced by the next call's.
        """
        path, call = self.folder / "call", uuid.uuid4().hex
        write_atomic(path, call)
        try:
            yield call
        finally:
            path.unlink(missing_ok=True)

    def asked(self, call: str) -> bool:
        """Return whether the generation of this name still waits for its trajectories."""
        try:
            return read_text(self.folder / "call") == call
        except FileNotFoundError:
            return False

    def result(self, index: int) -> TrajectoryResult | None:
        """Return how a trajectory ended, None if it has not.

        Raises CorruptFileError if the record is damaged, or if a shard is absent or has another
        size than recorded.
        """
        path = self._result_path(index)
        try:
            values = unsigned(read_json(path), path)
            tuples = {name: tuple(values.pop(name)) for name in ("seeds", "blow_ups", "safe_dts")}
            result = TrajectoryResult(**tuples, **values)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptFileError(f"{path} is truncated or was altered") from error
        for name, size in result.files.items():
            shard = inside(self.store, name)
            found = shard.stat().st_size if shard.exists() else 0
            if found != size:
                raise CorruptFileError(
                    f"{shard} of trajectory {index} has {found} bytes instead of {size}. Restore "
                    f"it, or remove {path} to simulate this trajectory again."
                )
        return result

    def verify(self, result: TrajectoryResult) -> None:
        """Raise CorruptFileError if a shard of an ended trajectory has other bytes than written.

        Names array and frame where the frame's own checksum tells.
        """
        if _content(_hashes(self.store, result.files)) == result.content:
            return
        for array in sorted({name.partition("/c/")[0] for name in result.files}):
            reader = ShardReader(self.store, array)
            for frame in range(reader.shape[1]):
                reader.read(result.index, [frame])
        raise CorruptFileError(
            f"{self.store}: what trajectory {result.index} holds is not what was written (its "
            f"checksum differs): {', '.join(result.files)}. Restore these files, or remove "
            f"{self._result_path(result.index)} to simulate this trajectory again."
        )

    def finish(
        self,
        index: int,
        seeds: tuple[str, ...],
        blow_ups: tuple[int, ...],
        safe_dts: tuple[float | None, ...],
        shards: list[Path] | None,
    ) -> TrajectoryResult:
        """Write and return how a trajectory ended; `shards` is None if it failed."""
        paths = {shard.relative_to(self.store).as_posix(): shard for shard in sorted(shards or [])}
        files = {name: shard.stat().st_size for name, shard in paths.items()}
        found = _hashes(self.store, files)
        result = TrajectoryResult(
            index, shards is None, seeds, blow_ups, safe_dts, files, _content(found), found
        )
        write_atomic(self._result_path(index), json.dumps(signed(dataclasses.asdict(result))))
        return result

    def recorded(self) -> dict[Path, str]:
        """Return the hashes of all that trajectories wrote, as they were when each ended.

        Raises CorruptFileError for a damaged record.
        """
        found = {}
        for path in sorted(self.folder.glob("[0-9]*.json")):
            if not path.stem.isdigit():
                continue
            found |= hashes([path])  # before it is read: it holds its own checksum
            result = self.result(int(path.stem))
            kept = {} if result is None else result.hashes
            found |= {self.store / name: digest for name, digest in kept.items()}
        return found

    def tidy(self) -> None:
        """Remove what is of no more use once every trajectory has ended: locks, and leftovers.

        A kill leaves the folder of a trajectory's unfinished files, or a file half written.
        """
        remove_ours(
            self.folder,
            lambda name: PASSING_FILES.fullmatch(name) or is_leftover(name, _RECORDS.fullmatch),
        )
        remove_ours(self.store, _ZARRS_ASIDE.fullmatch)

    def remove_work(self, index: int) -> None:
        """Remove the unfinished files of a trajectory."""
        if self.work(index).is_dir():
            remove_ours(
                self.work(index),
                lambda name: WORK_FILES.fullmatch(name) or is_leftover(name, WORK_FILES.fullmatch),
            )

    def tell_maker(self, maker: Mapping[str, str]) -> None:
        """Note that something of the store is made with other versions or on another machine."""
        text = json.dumps(dict(maker), sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        write_atomic(self.folder / f"maker-{name}.json", text)

    def makers(self) -> list[dict[str, str]]:
        """Return the makers that `tell_maker` noted, each once."""
        paths = sorted(self.folder.glob("maker-*.json"))
        return [read_json(path) for path in paths]

    def tell(self, progress: Progress) -> None:
        """Note how far a trajectory is, for whoever watches."""
        path = self._progress_path(progress.trajectory)
        aside = aside_of(path)
        aside.write_text(json.dumps(dataclasses.asdict(progress)))
        os.replace(aside, path)

    def progress(self, index: int) -> Progress | None:
        """Return how far a trajectory is, None if it has not begun or has ended."""
        try:
            return Progress(**read_json(self._progress_path(index)))
        except (OSError, ValueError, TypeError):
            return None

    def _result_path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.json"

    def _progress_path(self, index: int) -> Path:
        return self.work(index) / "progress.json"


def _hashes(store: Path, files: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 (hex) of files of a store."""
    return {name: file_hash(inside(store, name)) for name in files}


def _content(found: Mapping[str, str]) -> str:
    """Return the SHA-256 (hex) over the hashes of files, in order."""
    lines = "".join(f"{name} {digest}\n" for name, digest in found.items())
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def locked(
    path: Path, what: str, patience: float | None = None
) -> Iterator[Callable[[], AbstractContextManager[Any]]]:
    """Hold a lock file while the block runs; the system releases it if the process dies.

    Gives a function that returns a share in the lock, for a thread that may outlive the block: the
    lock is released when the block and all shares have been closed.
    Raises RunLockedError if another process still holds it after `patience` seconds, by default
    a few.
    """
    stream = locks.take(path, _PATIENCE if patience is None else patience)
    if stream is None:
        raise RunLockedError(f"another process is working on {what}; wait for it or stop it")
    with stream:
        yield lambda: os.fdopen(os.dup(stream.fileno()), "a")
