"""Callbacks that watch a training run, and the one that writes `metrics.jsonl`."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from subgrid.errors import CorruptFileError
from subgrid.files import read_text, regular
from subgrid.provenance import config_hash, write_atomic

# What a record holds that differs between two runs that are otherwise the same bit for bit.
TIMINGS = ("seconds",)

EventKind = Literal["start", "update", "record", "checkpoint", "end"]


@dataclass(frozen=True)
class Event:
    """Something a training run reports to its callbacks.

    `kind`: "start" (also after a resume), "update", "record" (a line of metrics), "checkpoint" or
    "end". `update` of `updates` are done. `label` tells several runs apart ("stage_0"). `record` is
    the line of metrics, filled for "record" only.
    """

    kind: EventKind
    update: int
    updates: int
    label: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


_CHECKSUM = "checksum"  # the last entry of a line
_ADVICE = "Restore it, or remove its folder to train this again."

Callback = Callable[[Event], None]
"""A tracker or progress display: called with each event, in order, on the host."""


@dataclass(frozen=True)
class JsonLines:
    """Writes each record of a run as one line of a JSON Lines file, with a checksum in each line.

    When a run resumes, the lines after the update it resumes from are dropped first: they are
    written again. A last line cut short by a kill is dropped as well; any other broken line raises
    CorruptFileError, and so does a file that lacks the last record before that update. `every`:
    updates between two records; 0 if they may come at any.
    """

    path: Path
    every: int = 0

    def __call__(self, event: Event) -> None:
        """Trim the file at the start of a run, append at each record, flush at a checkpoint."""
        if event.kind == "start":
            kept = [line for line in read_records(self.path) if line["update"] <= event.update]
            # A run that starts anew writes its update 0 itself.
            kept = kept if event.update > 0 else []
            self._refuse_gap(kept, event)
            lines: list[str] = []
            for record in kept:
                lines.append(_line(record, lines))
            write_atomic(self.path, "".join(lines))
        elif event.kind == "record":
            lines = read_text(self.path).splitlines() if self.path.exists() else []
            with open(self.path, "a", encoding="utf-8", opener=regular) as stream:
                stream.write(_line(event.record, lines))
        elif event.kind == "checkpoint":
            # A checkpoint promises every line up to its update, also after a power cut.
            with open(self.path, "a", encoding="utf-8", opener=regular) as stream:
                os.fsync(stream.fileno())

    def _refuse_gap(self, kept: list[dict[str, Any]], event: Event) -> None:
        """Raise CorruptFileError if the file lacks the last record before a checkpoint."""
        last = event.update if event.update == event.updates else event.update - self._since(event)
        if self.every and event.update and (not kept or kept[-1]["update"] != last):
            raise CorruptFileError(
                f"{self.path} is gone, or lacks the record of update {last}. {_ADVICE}"
            )

    def _since(self, event: Event) -> int:
        return event.update % self.every if self.every else 0


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file in order; none if it does not exist.

    A last line cut short is left out. Raises CorruptFileError for any other line that is no record
    or whose checksum, which covers the lines before it too, is another. Lines of earlier versions
    have none.
    """
    path = Path(path)
    if not path.exists():
        return []
    records: list[dict[str, Any]] = []
    lines = read_text(path).split("\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            written = record.pop(_CHECKSUM, None)
            record["update"]
        except (json.JSONDecodeError, AttributeError, TypeError, KeyError) as error:
            raise CorruptFileError(
                f"{path}, line {number}: no record of a training ({error!r}). {_ADVICE}"
            ) from error
        if written is not None and f"{line}\n" != _line(record, lines[: number - 1]):
            raise CorruptFileError(
                f"{path}, line {number}: this line, or one before it, was altered or removed after "
                f"it was written (its checksum differs). {_ADVICE}"
            )
        records.append(record)
    return records


def _line(record: Mapping[str, Any], before: Sequence[str]) -> str:
    """Return a record as a line; its checksum covers that of the line before it."""
    plain = _finite(record)
    after = json.loads(before[-1]).get(_CHECKSUM) if before else None
    checksum = config_hash({**plain, "after": after})[:16]
    return json.dumps({**plain, _CHECKSUM: checksum}, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return the value with null for every number that JSON cannot write (NaN, infinity)."""
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
