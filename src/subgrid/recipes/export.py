"""A trained closure of an evaluated run, written for use elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subgrid.computing import lenient
from subgrid.config import (
    BASELINE,
    AdaptedConfig,
    LearnedConfig,
    build_system,
    cells_of,
    validity_of,
)
from subgrid.deploy import EXPORTERS
from subgrid.errors import ConfigError, RunFolderError, UnknownNameError
from subgrid.evaluation import followed, followed_record, score_record
from subgrid.experiment.environments import code_facts, participants
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.task import STAGES
from subgrid.files import read_json
from subgrid.recipes.card import model_card
from subgrid.recipes.curves import best_record, learning_records
from subgrid.recipes.evaluate import table_of
from subgrid.recipes.results import load_results
from subgrid.registry import unknown_name_message


@lenient()
def export_model(
    path: str | Path,
    name: str,
    out: str | Path,
    *,
    to: str = "bundle",
    seed: int | None = None,
    trust: bool = False,
) -> int:
    """Write a trained model of a run to the folder `out`; return the number of its initialisation.

    `to`: the exporter, see `subgrid.deploy.EXPORTERS`; `seed`: of the initialisations, by default
    the one with the best validation loss (test scores choose nothing); `trust`: whether the run may
    name code that is not subgrid's. Raises UntrustedCodeError if it does, UnknownNameError for an
    unknown exporter or model, ConfigError for an unknown seed and an `out` that holds files
    or is the current folder, RunFolderError for a run that is not evaluated, CorruptFileError for
    damage.
    """
    exporter = EXPORTERS.get(to)
    folder, out = RunFolder.open(path, trust), Path(out)
    model = _model(folder, name)
    for stage in ("train", "evaluate"):
        if not folder.is_done(stage):
            raise RunFolderError(
                f"{path} is not evaluated yet: run `subgrid run {path}` first, since a model is "
                "exported with its scores"
            )
    number = _best(folder, model) if seed is None else seed
    seeds = len(model.labels(folder.config))
    if number not in range(seeds):
        raise ConfigError(f"--seed {seed}: {name} was trained with seeds 0 to {seeds - 1}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: exists and is not empty; nothing is overwritten")
    if out.resolve() == Path.cwd():  # a shell in it would not see the new one
        raise ConfigError(f"--out {out}: is the current folder, which would be replaced")
    exporter(
        folder.load_model(name, number),
        out,
        metadata=_metadata(folder, model, number),
        card=model_card(folder, model, number, _scores(folder, model, number)),
    )
    return number


def _model(folder: RunFolder, name: str) -> LearnedConfig | AdaptedConfig:
    config = folder.config
    learned = {model.name: model for model in (*config.learned(), *config.adapted())}
    if name not in learned:
        known = list(learned) or ["none"]
        raise UnknownNameError(unknown_name_message(f"model trained in {folder.path}", name, known))
    return learned[name]


def _best(folder: RunFolder, model: LearnedConfig | AdaptedConfig) -> int:
    """Return the initialisation with the best validation loss of the whole closure.

    Of a model that was trained on through the solver that of this training.
    """

    base = model.base(folder.config)

    def loss(number: int) -> float:
        records = learning_records(folder, model, number) or learning_records(folder, base, number)
        return best_record(records[-1])["validation"]["loss"]

    return min(range(len(model.labels(folder.config))), key=loss)


def _metadata(
    folder: RunFolder, model: LearnedConfig | AdaptedConfig, number: int
) -> dict[str, Any]:
    config, manifest = folder.config, folder.manifest()
    base, coupling = model.base(config), model.coupling_in(config)
    truth = config.truth
    label = f"{model.name}/seed_{number}"
    return {
        "valid_for": validity_of(config),
        "dt": config.coarse_dt,
        "truth": {"cells": cells_of(build_system(config)), "dt": truth.dt},
        "coarse_sizes": list(config.coarse.sizes),
        "experiment": config.label,
        "experiment_seed": config.seed,
        "config_hash": manifest["config_hash"],
        "model": model.name,
        "seed": number,
        "training_seed": folder.stages()["train"]["models"][label]["seed"],
        "networks": list(base.networks),
        "arrangement": base.arrangement,
        **({} if base == model else {"made_of": base.name}),
        **({} if coupling is None else {"coupling": coupling}),
        "code": code_facts(participants(manifest, STAGES[:3])),
        "data": folder.stages()["simulate"]["splits"]["train"]["content_hash"],
    }


def _scores(folder: RunFolder, model: LearnedConfig | AdaptedConfig, number: int) -> dict[str, Any]:
    """Return what `model_card` shows: scores.json, and of several networks those of this one."""
    record = read_json(folder.scores)
    name, seeds = model.name, len(model.labels(folder.config))
    online = {f"all networks of the model, {seeds}": _followed(record, name)}
    if seeds == 1:
        online = {"this network": _followed(record, name)}
    else:
        results = load_results(folder)
        runs = {one: results.online[one] for one in (BASELINE, name)}
        runs[name] = [runs[name][number]]
        table = table_of(folder, results, runs)
        own: dict[str, Any] = {"online": {name: score_record(table, name)}}
        if followed(table):
            own["predictability"] = {name: followed_record(table, name)}
        online = {"this network": _followed(own, name), **online}
    return {"offline": record["offline"][name][number], "online": online}


def _followed(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the online record of a model, with how long its runs follow the truth, if they do."""
    return {**record["online"][name], "predictability": record.get("predictability", {}).get(name)}
