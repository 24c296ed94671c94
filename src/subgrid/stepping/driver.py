"""Everything that runs long goes through here: compiled segments, one after another, into a sink.

After a segment the sink gets what was seen of it and decides whether the run goes on. It keeps
frames in memory, writes them to a store, or adds them to sums; what a run needs to go on after a
kill is its carry (see `subgrid.stepping.kept_run`), so a run resumed at any segment has the same
bits.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

from subgrid.stepping.model import AbstractModel, Carry
from subgrid.stepping.rollout import Observe, advance_segment


@dataclass(frozen=True)
class Segment:
    """Consecutive steps that are one compiled call: `frames` · `every` steps after `start`.

    Frames are observed unless they are not `seen`, as in a spin-up.
    """

    start: int
    frames: int
    every: int
    seen: bool = True

    @property
    def end(self) -> int:
        """Steps done at its end."""
        return self.start + self.frames * self.every


class Done(NamedTuple):
    """A segment that was run: the carries at its ends, and what was seen [frame, ...]."""

    segment: Segment
    before: Carry
    after: Carry
    seen: PyTree


Sink = Callable[[Done], bool]  # takes a segment; whether the run goes on


def segments_of(frames: Iterable[int], every: int, start: int = 0) -> Iterator[Segment]:
    """Yield segments of so many frames each, one after another."""
    for count in frames:
        segment = Segment(start, count, every)
        yield segment
        start = segment.end


def drive(
    model: AbstractModel,
    carry: Carry,
    segments: Iterable[Segment],
    sink: Sink,
    observe: Observe | None = None,
    forcing: PyTree = None,
) -> Carry:
    """Run segments into a sink until they end or it stops them; return the last carry.

    `carry`: of one member, or stacked [member, ...]: then all are stepped together, and what is
    seen is [frame, member, ...]. `observe(state, time)`: what is kept of a frame, by default the
    state. `forcing`: a PyTree with a leading axis of steps from step 0 on, for one member; by
    default what the model prescribes.
    """
    for segment in segments:
        part = jax.tree.map(lambda f, s=segment: f[s.start : s.end], forcing)
        look, before = observe if segment.seen else see_nothing, carry
        run = advance_segment if carry.step.ndim == 0 else _advance_members
        carry, seen = run(model, before, segment.frames, segment.every, look, part)
        if not sink(Done(segment, before, carry, seen)):
            break
    return carry


@eqx.filter_jit
def _advance_members(
    model: AbstractModel,
    carry: Carry,
    frames: int,
    every: int,
    observe: Observe | None,
    forcing: PyTree,
) -> tuple[Carry, PyTree]:
    """Advance all members by a segment; what is seen comes out [frame, member, ...]."""

    def one(member: Carry) -> tuple[Carry, PyTree]:
        return advance_segment(model, member, frames, every, observe, forcing)

    return eqx.filter_vmap(one, out_axes=(0, 1))(carry)


def see_nothing(state: PyTree, time: PyTree) -> None:
    """Observe nothing of a frame: only the steps are taken."""
