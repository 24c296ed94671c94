"""The scores of a run, from what its evaluation measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from subgrid.config import BASELINE
from subgrid.evaluation import (
    Calibration,
    Comparison,
    Gain,
    Level,
    OnlineScore,
    Predictability,
    Ranked,
    blow_ups,
    channel_names,
    compare_online,
    gains,
    json_number,
    predictability_record,
    ranking,
    score_online,
    score_predictability,
    score_record,
)
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.task import Context
from subgrid.provenance import write_atomic
from subgrid.recipes.candidates import (
    multiscale_pairs,
    paired_models,
)
from subgrid.recipes.cases import separated_scores
from subgrid.recipes.curves import remarks
from subgrid.recipes.results import (
    CALIBRATION,
    Results,
    load_results,
    offline_path,
    online_path,
    read_dataset,
)


def write_scores(context: Context) -> None:
    """Write scores.json: every number that follows from what was measured."""
    folder = context.folder
    record = _record(folder, load_results(folder))
    write_atomic(folder.scores, json.dumps(record, indent=1) + "\n")


def _record(folder: RunFolder, results: Results) -> dict[str, Any]:
    """Return what scores.json keeps."""
    scores = scores_of(folder, results, results.online)
    record: dict[str, Any] = {
        "truth": {
            "members": results.reference.sizes["member"],
            "blow_ups": [lost._asdict() for lost in blow_ups([results.reference])],
        },
        "online": {name: score_record(score) for name, score in scores.items()},
        "offline": {
            name: [_plain(dataset) for dataset in sets] for name, sets in results.offline.items()
        },
    }
    if results.variants:
        record["variants"] = {
            variant: {
                name: score_record(score)
                for name, score in scores_of(folder, results, runs).items()
            }
            for variant, runs in results.variants.items()
        }
    if comparisons := comparisons_of(folder, results, scores):
        record["multiscale_against_single"] = [one.record() for one in comparisons]
    if followed := predictability_of(folder, results):
        record["predictability"] = {
            name: predictability_record(one, scores[name]) for name, one in followed.items()
        }
        record["gains"] = [gain.record() for gain in gains_of(folder, followed)]
    if calibration := calibration_found(folder):
        record["calibration"] = calibration.record()
    if results.searched:
        record["search"] = [one.record() for one in ranking_of(folder, results)]
    if folder.config.separated:
        record["separated"] = {
            f"{scores.network} {scores.task} {scores.high} {scores.low}": [
                _plain(dataset) for dataset in scores.sets
            ]
            for scores in separated_scores(folder)
        }
    return record


def scores_of(
    folder: RunFolder, results: Results, runs: Mapping[str, Any]
) -> dict[str, OnlineScore]:
    """Return the online scores of every model; `runs`: those of `results` that are to be scored."""
    scores = score_online(
        runs,
        results.reference,
        results.system,
        baseline=BASELINE,
        costs=results.costs,
        cut=results.cut,
        **_interval_options(folder),
    )
    said = remarks(folder)
    return {name: replace(score, remark=said.get(name, "")) for name, score in scores.items()}


def predictability_of(
    folder: RunFolder, results: Results, runs: Mapping[str, Any] | None = None
) -> dict[str, Predictability]:
    """Return how long every model's runs follow the truth; empty for flows not followed.

    `runs`: those of `results` that are to be scored, all of them unless given.
    """
    return score_predictability(
        results.online if runs is None else runs,
        results.reference,
        baseline=BASELINE,
        **_interval_options(folder),
    )


def gains_of(folder: RunFolder, followed: Mapping[str, Predictability]) -> tuple[Gain, ...]:
    """Return how much longer models follow the truth than those they are compared with."""
    settings, pairs = folder.config.evaluation, paired_models(folder.config)
    return gains(followed, pairs, settings.bootstrap, folder.config.seed)


def calibration_found(folder: RunFolder) -> Calibration | None:
    """Return what the calibration of the noise found, None for a run without one."""
    config = folder.config
    if config.calibration is None:
        return None
    place = folder.evaluation / CALIBRATION
    reference = read_dataset(place / "reference.zarr")

    def runs(labels: Sequence[str]) -> list[Any]:
        return [read_dataset(place / online_path(label)) for label in labels]

    tried = config.calibration.tried()
    followed = score_predictability(
        {
            BASELINE: runs([BASELINE]),
            **{variant.name: runs(variant.trained_names()) for _, _, variant in tried},
        },
        reference,
        baseline=BASELINE,
        **_interval_options(folder),
    )
    levels, said = [], remarks(folder)
    for model, noise, variant in tried:
        stores = [place / offline_path(label) for label in variant.trained_names()]
        losses = np.array([float(read_dataset(store)["mse"]) for store in stores])
        group = ", ".join(model.networks)
        online, remark = followed[variant.name], said.get(variant.name, "")
        levels.append(Level(model.name, group, noise, losses, online, remark))
    return Calibration(tuple(levels), followed[BASELINE])


def comparisons_of(
    folder: RunFolder, results: Results, scores: Mapping[str, OnlineScore]
) -> list[Comparison]:
    """Return every multiscale model compared with every learned one of a single scale."""
    return compare_online(
        multiscale_pairs(folder.config),
        scores,
        results.online,
        results.reference,
        budgets={model.name: folder.config.updates_of(model) for model in folder.config.learned()},
        cut=results.cut,
        **_interval_options(folder),
    )


def ranking_of(folder: RunFolder, results: Results) -> list[Ranked]:
    """Return the models of the search, best first."""
    runs = {BASELINE: results.online[BASELINE], **results.searched}
    scores = scores_of(folder, results, runs)
    return ranking([(model.networks, scores[model.name]) for model in folder.config.searched()])


def _interval_options(folder: RunFolder) -> dict[str, Any]:
    """Return what decides the intervals of scores."""
    settings = folder.config.evaluation
    return {
        "level": settings.level,
        "samples": settings.bootstrap,
        "seed": folder.config.seed,
    }


def _plain(scores: Any) -> dict[str, Any]:
    """Return the offline scores as numbers: means and standard deviations of those per sample."""
    plain: dict[str, Any] = {}
    for name in sorted(scores.data_vars):  # a store lists them in the order of its directory
        values = scores[name]
        if values.dims == ("sample",):
            plain[name] = {"mean": json_number(values.mean()), "std": json_number(values.std())}
        else:
            plain[name] = [json_number(value) for value in np.ravel(values.values)]
            plain[name] = plain[name] if values.ndim else plain[name][0]
    if "channels" in scores.attrs:
        plain["channels"] = list(channel_names(scores))
    return plain
