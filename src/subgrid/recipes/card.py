"""The model card: what a learned closure is, what made it, how good it is, where it may be used."""

from collections.abc import Iterator, Mapping
from typing import Any

from subgrid.config import (
    AdaptedConfig,
    LearnedConfig,
    build_coarse_systems,
    build_system,
    build_target,
    cells_of,
    output_in_words,
    title_of,
    validity_of,
)
from subgrid.evaluation import plain_markdown, template, time_unit
from subgrid.experiment.folder import RunFolder
from subgrid.recipes.curves import best_record, learning_records
from subgrid.training import training_remarks


def model_card(
    folder: RunFolder,
    model: LearnedConfig | AdaptedConfig,
    number: int,
    scores: Mapping[str, Any] | None = None,
) -> str:
    """Return the card of one trained closure as Markdown.

    `number`: of its initialisation; `scores`: None before the evaluation, then `offline`, a record
    of scores.json, and `online`, such records under the words that say whose they are.
    """
    config, base = folder.config, model.base(folder.config)
    fine = build_system(config)
    coarse = build_coarse_systems(config, fine)[0]
    return template("subgrid.recipes", "card.md", _FILTERS).render(
        model=model,
        base=base,
        number=number,
        config=config,
        truth=config.truth,
        settings=config.evaluation,
        stages=folder.stages(),
        title=title_of(config, coarse),
        cells=cells_of(coarse),
        fine_cells=cells_of(fine),
        second=" s" if fine.time_units == "s" else "",  # after a number
        unit=time_unit(coarse.time_units),
        target=build_target(config),
        coupling=model.coupling_in(config),
        output=output_in_words(base.output, config),
        precision=validity_of(config)["settings"].get("dtype", "that of the run"),
        trainings=list(_trainings(folder, base, number)),
        tunings=list(_tunings(folder, model, number)),
        trained=len(model.labels(config)),
        training_remarks=training_remarks,
        scores=scores,
        offline={} if scores is None else scores["offline"],
    )


def _trainings(folder: RunFolder, base: Any, number: int) -> Iterator[tuple[Any, ...]]:
    """Yield the plan of each training offline, its best record and its last."""
    for stage, records in enumerate(learning_records(folder, base, number)):
        yield folder.config.training_of(base, stage), best_record(records), records[-1]


def _tunings(folder: RunFolder, model: Any, number: int) -> Iterator[tuple[Any, ...]]:
    """Yield the plan of a training through the solver, its first record, its best and its last."""
    if (tune := getattr(model, "fine_tune", None)) is not None:
        (records,) = learning_records(folder, model, number)
        yield tune, records[0], best_record(records), records[-1]


def _listed(constants: Mapping[str, Any]) -> str:
    words = ", ".join(f"{name} = {value}" for name, value in constants.items())
    return plain_markdown(words) or "none"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


_FILTERS = {"listed": _listed, "three": _number, "plain": "{:g}".format}
