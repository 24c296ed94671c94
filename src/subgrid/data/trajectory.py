"""One trajectory of the truth: spin-up, frames to the store segment by segment, kill-proof."""

import contextlib
import errno
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from subgrid.coarsening import AbstractCoarsener, AbstractTarget, TendencyDefect
from subgrid.computing import under
from subgrid.data.observing import Observer
from subgrid.data.records import Progress, Records, TrajectoryResult, locked
from subgrid.data.shards import ShardWriter
from subgrid.data.store import group_name
from subgrid.errors import RunFolderError, SubgridError
from subgrid.numbers import time_step, whole_number
from subgrid.provenance import load_arrays, maker, save_arrays
from subgrid.randomness import random_key, require_seed
from subgrid.stepping import Carry, Done, Segment, carry_arrays, carry_from, drive, segments_of
from subgrid.systems import AbstractSystem, dt_after_blow_up

ATTEMPTS = 6  # the first and five with new seeds
_LEAST = {"frames": 1, "save_every": 1, "segment_frames": 1, "spinup_steps": 0}
_PATIENCE = 600.0  # seconds: a worker that nobody waits for any more ends its segment first


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How a truth is made: what all trajectories of a split have in common.

    Each starts from `system.initial_state`, makes `spinup_steps` steps of `dt`, then
    `frames` frames `save_every` steps apart. Of each frame the state and its subgrid forcing are
    kept per coarse size (see `subgrid.data.Observer`; `store_flux` adds the flux form). `target`:
    what that forcing is, by default the difference of two tendencies.
    `segment_frames`: frames between two saves; one segment is computed while at most one is
    written. `seed`: of the random numbers. Raises ConfigError for numbers that cannot be.
    """

    system: AbstractSystem
    coarse_systems: Mapping[int, AbstractSystem]
    coarseners: Mapping[int, AbstractCoarsener]
    dt: float
    spinup_steps: int
    frames: int
    save_every: int
    seed: int
    segment_frames: int = 16
    store_flux: bool = False
    target: AbstractTarget = field(default_factory=TendencyDefect)

    def __post_init__(self):
        checked = {name: whole_number(name, getattr(self, name), n) for name, n in _LEAST.items()}
        checked |= {"dt": time_step(self.dt), "seed": require_seed(self.seed)}
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class TrajectoryJob(Truth):
    """Everything that `run_trajectory` needs, so that any process can run it.

    `store`: path of the Zarr store, made before. `split` and `seed` choose the stream of random
    numbers, `index` the trajectory within it. `config_hash`: of the generation it belongs to.
    `dimensions`: per array of the store ("scale_64/q") how many axes it has there. `settings`: of
    JAX, under which it is computed (see `subgrid.computing`). `maker`: what the generation itself
    would make it with. `call`: the generation that waits for it (see `Records.asking`); "" if it
    is to run to its end in any case.
    """

    store: str
    split: str
    index: int = 0
    config_hash: str = ""
    dimensions: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    maker: Mapping[str, str] = field(default_factory=dict)
    call: str = ""

    @property
    def observer(self) -> Observer:
        """What is computed of each frame."""
        return Observer(
            self.system, self.coarse_systems, self.coarseners, self.store_flux, self.target
        )

    @property
    def steps(self) -> int:
        """Steps of a whole attempt."""
        return self.spinup_steps + self.frames * self.save_every


def run_trajectory(job: TrajectoryJob) -> TrajectoryResult:
    """Simulate one trajectory into its part of the store and return how it ended.

    Goes on from the last saved segment if there is one, and returns at once if it has ended. An
    attempt that blows up is thrown away and repeated with a new seed, five times at most.

    After each segment first the frames are written and synced, then the restart file: a process
    killed anywhere loses a segment, and frames written after the last restart file are cut off
    before it goes on. Writing overlaps with the next segment's computation: the frames of two
    segments at most are in memory, one being computed on the device and one being written.

    Raises OSError when the disk is full (what was saved remains), CorruptFileError for a damaged
    restart file, RunLockedError if another process works on the same trajectory, and SubgridError
    if the generation that asked for it has ended before it, for then it stops at the next segment.
    """
    records = Records(job.store)
    what = f"trajectory {job.index} of {job.store}"
    # a generation has the store's lock: who holds a trajectory's must be about to notice and stop
    patience = _PATIENCE if job.call else None
    with (
        under(job.settings),
        locked(records.folder / f"{job.index:05d}.lock", what, patience) as lock,
    ):
        done = records.result(job.index)
        if done is None:
            if job.maker and (here := maker()) != job.maker:
                records.tell_maker(here)
            with _explained(job), contextlib.closing(_Run(job, records, lock)) as run:
                done = run.to_the_end()
        records.remove_work(job.index)
        return done


def trajectory_key(seed: int, split: str, index: int, attempt: int) -> PRNGKeyArray:
    """Return the random key of an attempt (from 0) at a trajectory: other for every argument.

    fold_in(fold_in(fold_in(key(seed), crc32(split)), index), attempt)
    """
    key = random_key(seed)
    for number in (zlib.crc32(split.encode()), index, attempt):
        key = jax.random.fold_in(key, np.uint32(number))
    return key


class _Run:
    """A trajectory at work: its model, its files and where it stands.

    One thread writes; each of its jobs holds a share in the trajectory's lock until it has ended.
    """

    def __init__(
        self,
        job: TrajectoryJob,
        records: Records,
        lock: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ):
        self.job, self.records, self.lock = job, records, lock
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self.folder = records.work(job.index)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.restart = self.folder / "restart.safetensors"
        self.model = job.system.model(job.dt)
        self.observer = job.observer
        self.writers: dict[str, ShardWriter] = {}
        self.blow_ups: list[int] = []
        self.safe_dts: list[float | None] = []

    def to_the_end(self) -> TrajectoryResult:
        """Run attempts until one stays healthy or there are no more."""
        carry, done = self._load() if self.restart.exists() else self._begin()
        while True:
            blew_up_at = self._attempt(carry, done)
            if blew_up_at < 0:
                return self._finish()
            self.blow_ups.append(blew_up_at)
            if len(self.blow_ups) == ATTEMPTS:
                return self._end(None)
            carry, done = self._begin()

    def close(self) -> None:
        """Close the files, after the segment that is being written, however often Ctrl-C comes."""
        closed = self._submit(self._close_files)
        self.pool.shutdown(wait=False)
        interrupt = None
        while not closed.done():
            try:
                wait([closed])
            except KeyboardInterrupt as again:  # `Interrupts` repeats it every second
                interrupt = again
        if interrupt is not None:
            raise interrupt

    def _submit(self, function: Callable[..., None], *given: Any) -> Future:
        """Let the writing thread do this next, under the lock even if this thread gives it up."""

        def owning(share: AbstractContextManager[Any]) -> None:
            with share:
                function(*given)

        return self.pool.submit(owning, self.lock())

    def _close_files(self) -> None:
        for writer in self.writers.values():
            writer.close()

    def _attempt(self, carry: Carry, done: int) -> int:
        """Run the segments from number `done` on; return the step of the blow-up, or -1."""
        waiting: Future | None = None
        numbers = itertools.count(done + 1)

        def take(part: Done) -> bool:
            nonlocal waiting
            blew_up_at = int(part.after.blew_up_at)
            if waiting is not None:
                waiting.result()
            if blew_up_at >= 0:
                state = self.model.state(part.before)  # the later one's is the blow-up's
                self.safe_dts.append(dt_after_blow_up(self.job.system, state, self.job.dt))
                return False
            waiting = self._submit(self._save, part, next(numbers))
            return True

        ahead = itertools.islice(_segments(self.job), done, None)
        carry = drive(self.model, carry, self._asked_for(ahead), take, self.observer)
        if waiting is not None:
            waiting.result()
        return int(carry.blew_up_at)

    def _asked_for(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield segments for as long as somebody waits for this trajectory."""
        for segment in segments:
            self._check_that_it_is_asked_for()
            yield segment

    def _check_that_it_is_asked_for(self) -> None:
        if self.job.call and not self.records.asked(self.job.call):
            raise SubgridError(
                f"trajectory {self.job.index} of {self.job.store} is not waited for any more: the "
                "generation that asked for it was stopped. What it saved remains"
            )

    def _save(self, part: Done, done: int) -> None:
        """Write what was seen, then where to go on."""
        for size, arrays in (part.seen or {}).items():
            for name, frames in arrays.items():
                writer = self.writers[f"{group_name(size)}/{name}"]
                writer.append(np.asarray(frames))
                writer.sync()
        self._save_restart(part.after, done)
        end = part.segment.end
        self._tell("production" if end > self.job.spinup_steps else "spin-up", end)

    def _save_restart(self, carry: Carry, done: int) -> None:
        arrays = carry_arrays(carry)
        arrays |= {f"lengths/{name}": writer.lengths for name, writer in self.writers.items()}
        notes = {
            "config_hash": self.job.config_hash,
            "segments": str(done),
            "blow_ups": json.dumps(self.blow_ups),
            "safe_dts": json.dumps(self.safe_dts),
        }
        save_arrays(self.restart, arrays, notes)

    def _start(self) -> Carry:
        """Return the carry that the attempt starts from."""
        job = self.job
        key = trajectory_key(job.seed, job.split, job.index, len(self.blow_ups))
        return self.model.init(job.system.initial_state(key=key), key=jax.random.fold_in(key, 0))

    def _begin(self) -> tuple[Carry, int]:
        """Return the carry of a new attempt.

        The new restart file knows of no frames, so those of an attempt before it no longer count.
        """
        carry = self._start()
        self._close_files()
        self.writers = {name: self._writer(name) for name in self.job.dimensions}
        self._save_restart(carry, 0)
        self._tell("spin-up" if self.job.spinup_steps else "production", 0)
        return carry, 0

    def _load(self) -> tuple[Carry, int]:
        """Return the carry of the restart file and how many segments are behind it."""
        arrays, notes = load_arrays(self.restart)
        if notes.get("config_hash") != self.job.config_hash:
            raise RunFolderError(
                f"{self.restart} belongs to another config. Remove {self.folder} to simulate "
                "this trajectory from the start."
            )
        self.blow_ups, self.safe_dts = (json.loads(notes[n]) for n in ("blow_ups", "safe_dts"))
        carry = carry_from(arrays, self._start(), self.restart)
        for name in self.job.dimensions:
            self.writers[name] = self._writer(name, arrays[f"lengths/{name}"])
        return carry, int(notes["segments"])

    def _writer(self, name: str, lengths: Any = ()) -> ShardWriter:
        return ShardWriter(self.folder / name.replace("/", "."), self.job.frames, lengths)

    def _finish(self) -> TrajectoryResult:
        shards = [
            path
            for name, writer in self.writers.items()
            for path in writer.finish(
                self.records.store / name, self.job.dimensions[name], self.job.index
            )
        ]
        return self._end(shards)

    def _end(self, shards: list[Path] | None) -> TrajectoryResult:
        job = self.job
        attempts = len(self.blow_ups) + (shards is not None)
        seeds = tuple(
            "".join(f"{word:08x}" for word in np.ravel(jax.random.key_data(key)))
            for key in (
                trajectory_key(job.seed, job.split, job.index, number) for number in range(attempts)
            )
        )
        return self.records.finish(
            job.index, seeds, tuple(self.blow_ups), tuple(self.safe_dts), shards
        )

    def _tell(self, phase: str, steps: int) -> None:
        attempt = len(self.blow_ups) + 1
        self.records.tell(Progress(self.job.index, phase, steps, self.job.steps, attempt))


def _segments(job: TrajectoryJob) -> Iterator[Segment]:
    """Yield the segments of an attempt: the spin-up's, then those that make frames."""
    longest = job.segment_frames * job.save_every
    for start in range(0, job.spinup_steps, longest):
        yield Segment(start, 1, min(longest, job.spinup_steps - start), seen=False)
    whole, rest = divmod(job.frames, job.segment_frames)
    counts = [job.segment_frames] * whole + [rest] * (rest > 0)
    yield from segments_of(counts, job.save_every, job.spinup_steps)


@contextlib.contextmanager
def _explained(job: TrajectoryJob) -> Iterator[None]:
    """Say of a full disk what it means for this trajectory."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"no space left while writing trajectory {job.index} of {job.store}. Finished "
            "trajectories and saved segments are intact: free some space and run the same again",
        ) from error
