"""One training run: start or resume, update, validate, record, save."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from subgrid.errors import ConfigError, NothingLearnedError, UnstableRunError
from subgrid.nn import trainable
from subgrid.provenance import load_arrays, save_arrays
from subgrid.randomness import random_key
from subgrid.training.checkpoint import Checkpoint, Checkpoints, Position, arrays_by_path
from subgrid.training.plan import Plan
from subgrid.training.prefetch import Prefetch
from subgrid.training.stopwatch import Stopwatch
from subgrid.training.trackers import Callback, Event, EventKind
from subgrid.training.update import (
    Loss,
    TrainState,
    evaluate_loss,
    initial_state,
    make_update,
    place_batch,
    replicate,
)


@dataclass(frozen=True)
class FitResult:
    """What a training run returns.

    `network`: with the weights of the lowest validation loss (averaged ones if EMA is on), also in
    `folder`/best.safetensors. `best_update`, `best_loss`: where that was. `updates`: made,
    `skipped`: of these without effect. `samples`: seen. `seconds`: wall time over all sessions;
    `waited`: part of this session's spent waiting for data [s]. `update_seconds`: mean wall time of
    one update in this session [s], without the first, which compiles, and without validation and
    checkpoints; nan if there was no second one.
    """

    network: Any
    best_update: int
    best_loss: float
    updates: int
    skipped: int
    samples: int
    seconds: float
    waited: float
    update_seconds: float
    folder: Path


@dataclass(frozen=True)
class Parts:
    """A network taken apart: arrays to train, arrays to keep, and what is no array."""

    parameters: Any
    frozen: Any
    static: Any

    @staticmethod
    def split(network: Any, where: Callable[[Any], Any] | None) -> "Parts":
        """Return the parts of `network`, with the weights of the part `where` as parameters.

        Constants (see `subgrid.nn.trainable`) are kept. Raises ConfigError if nothing is to train.
        """
        weights = trainable(network)
        if where is not None:
            nothing = jax.tree.map(lambda _: False, network)
            weights = eqx.tree_at(where, nothing, where(weights))
        parameters, rest = eqx.partition(network, weights)
        if not jax.tree.leaves(parameters):
            raise ConfigError(
                f"nothing to train: what is to change of a {type(network).__name__} holds no "
                "floating-point array but constants (what is Fixed: scalers, systems)"
            )
        return Parts(parameters, *eqx.partition(rest, eqx.is_array))

    def join(self, parameters: Any) -> Any:
        """Return the network with these parameters."""
        return eqx.combine(parameters, self.frozen, self.static)


class Session(NamedTuple):
    """How one session of a run ended; the timings are those of `FitResult`."""

    checkpoint: Checkpoint
    batch_size: int
    waited: float
    update_seconds: float


@dataclass(frozen=True)
class Run:
    """The pieces of one call of `fit`; its methods pass state and position along."""

    plan: Plan
    parts: Parts
    loss: Loss
    batches: Callable[[int], Any]
    validate: Callable[[Any], Mapping[str, float]]
    seed: int
    callbacks: tuple[Callback, ...]
    label: str
    mesh: Mesh
    folder: Path
    checkpoints: Checkpoints

    def start(self) -> tuple[Checkpoint, int]:
        """Return the checkpoint to go on from (a fresh one in a new folder), and the batch size."""
        first = self.batches(0)
        size, names = self._describe(first)
        state = initial_state(
            self.parts.parameters,
            self.plan.optimiser.transformation(),
            ema=self.plan.ema,
            names=names,
        )
        # Through the host, as after a resume: same types, no weak ones, hence the same program.
        state = jax.tree.map(np.asarray, state)
        fresh = Checkpoint(state, jax.tree.map(np.asarray, self.parts.parameters), Position())
        self.checkpoints.clean()
        found = self.checkpoints.load(fresh)
        self._check_best(found)
        self._emit("start", (found or fresh).position.update)
        if found is not None:
            return found, size
        return self._record(replicate(state, self.mesh), fresh, elapsed=0.0), size

    def train(self, checkpoint: Checkpoint, size: int) -> "Session":
        """Make the updates that are left."""
        position = checkpoint.position
        state = replicate(checkpoint.state, self.mesh)
        frozen = replicate(self.parts.frozen, self.mesh)
        update = make_update(
            self.loss,
            self.plan.optimiser.transformation(),
            self.parts.static,
            self.mesh,
            seed=self.seed,
            chunk=self.plan.chunk,
            ema=self.plan.ema,
        )
        stream = Prefetch(self._load, position.update, self.plan.updates)
        clock = time.perf_counter() - position.seconds
        watch, before = Stopwatch(), None
        for number, batch in enumerate(stream, start=position.update):
            state, skipped_in_row = update(state, frozen, batch, jnp.int32(number))
            # One update is always under way while the host looks at the one before it.
            self._check_skipped(before, number)
            before, done = skipped_in_row, number + 1
            self._emit("update", done)
            if number == position.update or self._due(done):
                self._check_skipped(before, done)
                watch.pause(done)
                elapsed = time.perf_counter() - clock
                state, checkpoint = self._at_interval(state, checkpoint, elapsed, done)
                watch.go_on(done)
        return Session(checkpoint, size, stream.waited, watch.per_update)

    def result(self, session: "Session") -> FitResult:
        """Return the result of a finished run."""
        checkpoint = session.checkpoint
        position, skipped = checkpoint.position, int(checkpoint.state.skipped)
        if position.best_update < 0:
            raise UnstableRunError(
                f"no validation loss of {self.folder} was finite, so no weights can be chosen. "
                "Lower the learning rate or look for non-finite values in the validation data."
            )
        self._check_learned(checkpoint.state.parameters, position.update, skipped)
        self._emit("end", position.update)
        return FitResult(
            network=self.parts.join(jax.tree.map(jnp.asarray, checkpoint.best)),
            best_update=position.best_update,
            best_loss=position.best_loss,
            updates=position.update,
            skipped=skipped,
            samples=position.update * session.batch_size,
            seconds=position.seconds,
            waited=session.waited,
            update_seconds=session.update_seconds,
            folder=self.folder,
        )

    def _describe(self, batch: Any) -> tuple[int, tuple[str, ...]]:
        """Return the batch size and the names of the loss's further scalars, without computing."""
        size = jax.tree.leaves(place_batch(batch, self.mesh, self.plan.chunk))[0].shape[0]
        keys = jax.random.split(random_key(0), size)
        network = self.parts.join(self.parts.parameters)
        _, values = eqx.filter_eval_shape(evaluate_loss, self.loss, network, batch, keys)
        return size, tuple(name for name in values if name != "loss")

    def _load(self, number: int) -> Any:
        return place_batch(self.batches(number), self.mesh, self.plan.chunk)

    def _due(self, done: int) -> bool:
        every = self.plan.validate_every, self.plan.checkpoint_every, self.plan.updates
        return any(done % interval == 0 for interval in every)

    def _at_interval(
        self, state: TrainState, checkpoint: Checkpoint, elapsed: float, done: int
    ) -> tuple[TrainState, Checkpoint]:
        """Validate and save if it is time for either."""
        last = done == self.plan.updates
        if done % self.plan.validate_every == 0 or last:
            checkpoint = self._record(state, checkpoint, elapsed, done)
            state = _with_zero_sums(state)
        if done % self.plan.checkpoint_every == 0 or last:
            checkpoint = self._save(state, checkpoint, elapsed, done)
        return state, checkpoint

    def _record(
        self, state: TrainState, checkpoint: Checkpoint, elapsed: float, done: int = 0
    ) -> Checkpoint:
        """Validate, keep the weights if they are the best so far, report a line of metrics."""
        weights = jax.device_get(state.parameters if self.plan.ema is None else state.average)
        scores = self.validate(self.parts.join(jax.tree.map(jnp.asarray, weights)))
        scores = {name: float(value) for name, value in scores.items()}
        position = checkpoint.position
        if scores["loss"] < position.best_loss:
            position = replace(position, best_update=done, best_loss=scores["loss"])
            checkpoint = replace(checkpoint, best=weights, position=position)
            self._save_best(checkpoint)
        skipped = int(state.skipped)
        means = {name: float(total / state.count) for name, total in state.sums.items()}
        means = {"loss": means.pop("loss"), **means}
        rate = float(self.plan.optimiser.schedule(max(done - 1 - skipped, 0)))
        record = {
            "update": done,
            **means,
            "learning_rate": rate,
            "skipped": skipped,
            "validation": scores,
            "best_update": position.best_update,
            "seconds": elapsed,
        }
        self._emit("record", done, record)
        return checkpoint

    def _save(
        self, state: TrainState, checkpoint: Checkpoint, elapsed: float, done: int
    ) -> Checkpoint:
        position = replace(checkpoint.position, update=done, seconds=elapsed)
        checkpoint = Checkpoint(jax.device_get(state), checkpoint.best, position)
        # The event first: it brings the metrics to disk, which the checkpoint then relies on.
        self._emit("checkpoint", done)
        self.checkpoints.save(checkpoint)
        return checkpoint

    @property
    def _best_file(self) -> Path:
        return self.folder / "best.safetensors"

    def _save_best(self, checkpoint: Checkpoint) -> None:
        position = checkpoint.position
        save_arrays(
            self._best_file,
            arrays_by_path(self.parts.join(checkpoint.best)),
            {"update": str(position.best_update), "validation_loss": repr(position.best_loss)},
        )

    def _check_best(self, found: Checkpoint | None) -> None:
        """Bring best.safetensors to the checkpoint resumed from; refuse a damaged one."""
        if self._best_file.exists():
            load_arrays(self._best_file)
        if found is not None and found.position.best_update >= 0:
            self._save_best(found)

    def _check_skipped(self, in_row: Any, done: int) -> None:
        if in_row is not None and int(in_row) > self.plan.most_skipped:
            paths = self.checkpoints.paths()
            kept = f"The last checkpoint is {paths[-1]}. " if paths else ""
            raise UnstableRunError(
                f"{int(in_row)} updates in a row, up to update {done}, had a loss or gradient that "
                f"is not finite; at most {self.plan.most_skipped} are allowed. {kept}Lower the "
                "learning rate, clip the gradient, or look for non-finite values in the training "
                "data."
            )

    def _check_learned(self, parameters: Any, updates: int, skipped: int) -> None:
        """Raise NothingLearnedError unless an update took effect."""
        pairs = zip(
            jax.tree.leaves(self.parts.parameters), jax.tree.leaves(parameters), strict=True
        )
        if skipped < updates and not all(np.array_equal(*pair) for pair in pairs):
            return
        why = "no update changed a weight: look at the learning rate, and whether the units died"
        if skipped == updates:
            why = (
                "every loss or gradient was not finite, and such an update is skipped: lower the "
                "learning rate, clip the gradient, or look for non-finite values in the training "
                "data"
            )
        raise NothingLearnedError(
            f"the training in {self.folder} learned nothing in {updates} updates, {skipped} of "
            f"them skipped; {why}. Train in another folder, or remove this one."
        )

    def _emit(self, kind: EventKind, update: int, record: Mapping[str, Any] | None = None) -> None:
        event = Event(kind, update, self.plan.updates, self.label, record or {})
        for callback in self.callbacks:
            callback(event)


def _with_zero_sums(state: TrainState) -> TrainState:
    zeros = jax.tree.map(jnp.zeros_like, (state.sums, state.count))
    return replace(state, sums=zeros[0], count=zeros[1])
