"""The scores of a run: its table, that of a search and of a calibration, and scores.json."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from subgrid.config import BASELINE, Config
from subgrid.evaluation import (
    StepCost,
    blow_ups,
    compare,
    followed,
    followed_record,
    gain_record,
    offline_record,
    pair_record,
    score_record,
    with_costs,
)
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.task import Context, recipe_of
from subgrid.provenance import write_atomic
from subgrid.recipes.curves import remarks
from subgrid.recipes.results import Results, load_results, read_dataset, write_dataset

if TYPE_CHECKING:
    import xarray as xr

    from subgrid.recipes.comparison import AbstractComparison

Runs = Mapping[str, Sequence["xr.Dataset"]]
VARIANTS = "variants"  # where the store keeps their tables


def write_scores(context: Context) -> None:
    """Write scores.zarr, the table, and scores.json: what follows from what was measured."""
    folder = context.folder
    results = load_results(folder)
    table = table_of(folder, results, results.online)
    further = {
        f"{VARIANTS}/{name}": table_of(folder, results, runs)
        for name, runs in results.variants.items()
    }
    further |= comparison_of(folder).tables(folder, results)
    # a store has an order of its own, and the order of the metrics is that of the report
    groups = {
        name: one.assign_attrs(variables=list(map(str, one)))
        for name, one in {"": table, **further}.items()
    }
    write_dataset(_table_path(folder), groups.pop(""), groups)
    record = scores_record(folder, results, table, further)
    write_atomic(folder.scores, json.dumps(record, indent=1) + "\n")


def read_scores(folder: RunFolder, group: str = "") -> "xr.Dataset":
    """Return a table of scores that `write_scores` wrote: of the models of the run.

    Or that of a `group` of the store: "variants/NAME", or what a recipe calls its own.
    """
    table = read_dataset(_table_path(folder) / group)
    return table[table.attrs["variables"]]


def read_variants(folder: RunFolder) -> dict[str, "xr.Dataset"]:
    """Return the table of scores under each variant of the coarse model."""
    names = [variant.name for variant in folder.config.evaluation.variants]
    return {name: read_scores(folder, f"{VARIANTS}/{name}") for name in names}


def _table_path(folder: RunFolder) -> Path:
    return folder.path / "scores.zarr"


def table_of(
    folder: RunFolder, results: Results, runs: Runs, costs: Mapping[str, StepCost] | None = None
) -> "xr.Dataset":
    """Return the table of scores of models; `costs`: theirs, unless they are those of `results`."""
    config, settings = folder.config, folder.config.evaluation
    pairs = [pair for pair in paired_models(config) if set(pair) <= set(runs)]
    table = compare(
        runs,
        results.reference,
        baseline=BASELINE,
        system=results.system,
        cut=results.cut,
        more=settings.metrics,
        pairs=pairs,
        level=settings.level,
        samples=settings.bootstrap,
        seed=config.seed,
    )
    said = {name: remark for name, remark in remarks(folder).items() if name in runs}
    return with_costs(table, results.costs if costs is None else costs).assign_attrs(remarks=said)


def scores_record(
    folder: RunFolder, results: Results, table: "xr.Dataset", further: Mapping[str, "xr.Dataset"]
) -> dict[str, Any]:
    """Return what scores.json keeps; `table`: of the models of the run, `further` by group."""
    models = list(results.online)
    record: dict[str, Any] = {
        "truth": {
            "members": results.reference.sizes["member"],
            "blow_ups": [lost._asdict() for lost in blow_ups([results.reference])],
        },
        "online": {name: score_record(table, name) for name in models},
        "offline": {
            name: [offline_record(data) for data in sets] for name, sets in results.offline.items()
        },
    }
    if results.variants:
        record["variants"] = {
            variant: {name: score_record(further[f"{VARIANTS}/{variant}"], name) for name in models}
            for variant in results.variants
        }
    if pairs := multiscale_pairs(folder.config):
        updates = budgets(folder)
        record["multiscale_against_single"] = [pair_record(table, *p, updates) for p in pairs]
    if followed(table):
        record["predictability"] = {name: followed_record(table, name) for name in models}
        record["gains"] = [gain_record(table, *pair) for pair in paired_models(folder.config)]
    return record | comparison_of(folder).record(folder, further)


def comparison_of(folder: RunFolder) -> "AbstractComparison":
    """Return the recipe of a run that compares closures."""
    return cast("AbstractComparison", recipe_of(folder.config))


def budgets(folder: RunFolder) -> dict[str, tuple[int, ...]]:
    """Return the updates of each network of every learned model."""
    config = folder.config
    return {model.name: config.updates_of(model) for model in config.learned()}


def labels(config: Config) -> dict[str, str]:
    """Return the name to show for each model: the user's own for the one without a closure."""
    return {model.shown: model.name for model in config.models}


def paired_models(config: Config) -> list[tuple[str, str]]:
    """Return the pairs that runs followed by their truth are compared in.

    Multiscale models with those of a single scale, and adapted ones with what they are made of.
    """
    adapted = [(model.name, model.of) for model in config.adapted()]
    return [*multiscale_pairs(config), *adapted]


def multiscale_pairs(config: Config) -> list[tuple[str, str]]:
    """Return every pair of names of a multiscale model and a learned one of a single scale."""
    multiscale = [model.name for model in config.learned() if model.multiscale]
    others = [model.name for model in config.learned() if not model.multiscale]
    return list(itertools.product(multiscale, others))
