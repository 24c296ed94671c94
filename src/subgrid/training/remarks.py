"""What is to be said of a training that ended, but not as a training should."""

from collections.abc import Mapping
from typing import Any

_MANY_SKIPPED = 0.1  # share of the updates: a few are lost to a rare sample, more are a pattern


def training_remarks(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return clauses on a training by a record of metrics.jsonl, the last; none if all is well.

    They say that no update lowered the validation loss, so that the weights are those it began
    with, and that more than a tenth of the updates was skipped.
    """
    updates, skipped = record["update"], record.get("skipped", 0)
    said = []
    if updates > 0 and record["best_update"] == 0:
        said.append(
            "its weights are those it began with: no update lowered the validation loss (best at "
            "update 0)"
        )
    if skipped > _MANY_SKIPPED * updates:
        said.append(
            f"{skipped} of its {updates} updates were skipped, for a loss or gradient that is not "
            "finite"
        )
    return tuple(said)
