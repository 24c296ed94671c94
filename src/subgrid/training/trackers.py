"""Callbacks that watch a training run, and the one that writes `metrics.jsonl`."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from subgrid.errors import CorruptFileError
from subgrid.files import read_text, regular
from subgrid.provenance import write_atomic

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


Callback = Callable[[Event], None]
"""A tracker or progress display: called with each event, in order, on the host."""


@dataclass(frozen=True)
class JsonLines:
    """Writes each record of a run as one line of a JSON Lines file.

    When a run resumes, the lines after the update it resumes from are dropped first: they are
    written again. A last line cut short by a kill is dropped as well; any other broken line raises
    CorruptFileError.
    """

    path: Path

    def __call__(self, event: Event) -> None:
        """Trim the file at the start of a run, append at each record, flush at a checkpoint."""
        if event.kind == "start":
            kept = [line for line in read_records(self.path) if line["update"] <= event.update]
            # A run that starts anew writes its update 0 itself.
            kept = kept if event.update > 0 else []
            write_atomic(self.path, "".join(_line(record) for record in kept))
        elif event.kind == "record":
            with open(self.path, "a", encoding="utf-8", opener=regular) as stream:
                stream.write(_line(event.record))
        elif event.kind == "checkpoint":
            # A checkpoint promises every line up to its update, also after a power cut.
            with open(self.path, "a", encoding="utf-8", opener=regular) as stream:
                os.fsync(stream.fileno())


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file in order; none if it does not exist.

    A last line cut short is left out. Raises CorruptFileError for any other line that is not JSON.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = read_text(path).split("\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise CorruptFileError(
                f"{path}, line {number}: not JSON ({error}). Restore the file or remove it; the "
                "training itself does not need it."
            ) from error
    return records


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(_finite(record), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return the value with null for every number that JSON cannot write (NaN, infinity)."""
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
