"""The scores of a run: its table, that of a search and of a calibration, and scores.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.config import BASELINE
from subgrid.evaluation import (
    Part,
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
from subgrid.experiment.task import Context
from subgrid.provenance import write_atomic
from subgrid.recipes.calibration import Level, calibration_part, calibration_record
from subgrid.recipes.candidates import multiscale_pairs, paired_models
from subgrid.recipes.cases import separated_scores
from subgrid.recipes.curves import remarks
from subgrid.recipes.results import (
    CALIBRATION,
    Results,
    load_results,
    offline_path,
    online_path,
    read_dataset,
    write_dataset,
)
from subgrid.recipes.search import ranked_record, ranking, search_part
from subgrid.recipes.separated_scores import separated_part
from subgrid.systems import AbstractSystem

if TYPE_CHECKING:
    import xarray as xr

Runs = Mapping[str, Sequence["xr.Dataset"]]


def write_scores(context: Context) -> None:
    """Write scores.zarr, the table, and scores.json: what follows from what was measured."""
    folder = context.folder
    results = load_results(folder)
    table = table_of(folder, results, results.online)
    # a store has an order of its own, and the order of the metrics is that of the report
    write_dataset(_table_path(folder), table.assign_attrs(variables=list(map(str, table))))
    record = scores_record(folder, results, table)
    write_atomic(folder.scores, json.dumps(record, indent=1) + "\n")


def read_scores(folder: RunFolder) -> "xr.Dataset":
    """Return the table of scores that `write_scores` wrote."""
    table = read_dataset(_table_path(folder))
    return table[table.attrs["variables"]]


def _table_path(folder: RunFolder) -> Path:
    return folder.path / "scores.zarr"


def table_of(folder: RunFolder, results: Results, runs: Runs) -> "xr.Dataset":
    """Return the table of scores of models; `runs`: those of `results` that are to be scored."""
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
    return with_costs(table, results.costs).assign_attrs(remarks=said)


def scores_record(folder: RunFolder, results: Results, table: "xr.Dataset") -> dict[str, Any]:
    """Return what scores.json keeps; `table`: of the models of the run."""
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
        tables = {name: table_of(folder, results, runs) for name, runs in results.variants.items()}
        record["variants"] = {
            variant: {name: score_record(one, name) for name in models}
            for variant, one in tables.items()
        }
    if pairs := multiscale_pairs(folder.config):
        updates = budgets(folder)
        record["multiscale_against_single"] = [pair_record(table, *p, updates) for p in pairs]
    if followed(table):
        record["predictability"] = {name: followed_record(table, name) for name in models}
        record["gains"] = [gain_record(table, *pair) for pair in paired_models(folder.config)]
    if calibrated := calibration_found(folder, results.system):
        record["calibration"] = calibration_record(*calibrated)
    if results.searched:
        searched, names = search_found(folder, results)
        record["search"] = [ranked_record(searched, one) for one in ranking(searched, names)]
    if folder.config.separated:
        record["separated"] = {
            f"{scores.network} {scores.task} {scores.high} {scores.low}": [
                offline_record(data) for data in scores.sets
            ]
            for scores in separated_scores(folder)
        }
    return record


def report_parts(folder: RunFolder, results: Results) -> list[Part]:
    """Return what the calibration, the separated experiments and the search add to the report."""
    parts = []
    if calibrated := calibration_found(folder, results.system):
        parts.append(calibration_part(*calibrated))
    if found := separated_scores(folder):
        parts.append(separated_part(found))
    if results.searched:
        parts.append(search_part(*search_found(folder, results)))
    return parts


def budgets(folder: RunFolder) -> dict[str, tuple[int, ...]]:
    """Return the updates of each network of every learned model."""
    config = folder.config
    return {model.name: config.updates_of(model) for model in config.learned()}


def search_found(
    folder: RunFolder, results: Results
) -> tuple["xr.Dataset", list[tuple[str, tuple[str, ...]]]]:
    """Return the table of the models of a search, and their names and networks."""
    runs = {BASELINE: results.online[BASELINE], **results.searched}
    table = table_of(folder, results, runs)
    return table, [(model.name, model.networks) for model in folder.config.searched()]


def calibration_found(
    folder: RunFolder, system: AbstractSystem
) -> tuple[list[Level], "xr.Dataset"] | None:
    """Return the levels of the calibration of the noise and their table; None without one."""
    config, settings = folder.config, folder.config.evaluation
    if config.calibration is None:
        return None
    place = folder.evaluation / CALIBRATION
    reference = read_dataset(place / "reference.zarr")

    def runs(labels: Sequence[str]) -> list["xr.Dataset"]:
        return [read_dataset(place / online_path(label)) for label in labels]

    tried = config.calibration.tried()
    every = {variant.name: runs(variant.trained_names()) for _, _, variant in tried}
    table = compare(
        {BASELINE: runs([BASELINE]), **every},
        reference,
        ["decorrelation_time", "lasting", "series_error"],
        BASELINE,
        system=system,
        level=settings.level,
        samples=settings.bootstrap,
        seed=config.seed,
    )
    said = {name: remark for name, remark in remarks(folder).items() if name in every}
    levels = []
    for model, noise, variant in tried:
        stores = [place / offline_path(label) for label in variant.trained_names()]
        losses = np.array([float(read_dataset(store)["mse"]) for store in stores])
        group = ", ".join(model.networks)
        levels.append(Level(model.name, variant.name, group, noise, losses))
    return levels, table.assign_attrs(remarks=said)
