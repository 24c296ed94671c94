"""The stage that writes report.html from what the other stages left in the run folder."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from subgrid.config import (
    BASELINE,
    Candidate,
    Config,
    build_coarse_systems,
    build_system,
    build_target,
    cells_of,
    load_config,
    preset_names,
    title_of,
)
from subgrid.data import TIME, Samples
from subgrid.errors import SubgridError
from subgrid.evaluation import (
    REMARKED,
    Findings,
    NetworkSize,
    ReportData,
    RunInfo,
    Snapshot,
    Timing,
    assemble_report,
    in_system_order,
    scorecard_setting,
    time_unit,
    write_report,
)
from subgrid.experiment.environments import code_facts, code_warnings, participants
from subgrid.experiment.folder import RunFolder
from subgrid.experiment.progress import duration
from subgrid.experiment.task import STAGES, Context
from subgrid.nn import parameter_count
from subgrid.randomness import random_key
from subgrid.recipes.curves import learning_curves, remarks, tuning_curves, unchanged, unlearned
from subgrid.recipes.evaluate import (
    budgets,
    comparison_of,
    labels,
    multiscale_pairs,
    paired_models,
    read_scores,
    read_variants,
)
from subgrid.recipes.pretrained import bundle_facts, transfer_warnings
from subgrid.recipes.results import Results, candidates, load_results
from subgrid.systems import AbstractSystem
from subgrid.training import forward_gflop

_MEASURED = STAGES[:3]  # what the report shows is of these
_YEAR = 360 * 86400.0  # s; the year of the published experiments


def make_report(context: Context) -> None:
    """Write report.html; nothing is computed but one moment of every closure and the figures."""
    folder = context.folder
    context.progress.note("report: draws the figures")
    write_report(report_data(folder), folder.report)
    context.progress.note(f"report: {folder.report}")


def report_data(folder: RunFolder) -> ReportData:
    """Return what both forms of the report show."""
    results = load_results(folder)
    found = candidates(folder, results.system)
    findings = Findings(
        results.system,
        in_system_order(results.reference, results.system),
        results.online,
        read_scores(folder),
        results.cut,
        offline=results.offline,
        curves=learning_curves(folder),
        tuning=tuning_curves(folder),
        snapshot=_snapshot(folder, results, found),
        variants=read_variants(folder),
        pairs=paired_models(folder.config),
        multiscale=multiscale_pairs(folder.config),
        budgets=budgets(folder),
        timing=_timing(folder, results, found),
        configuration=_published_setting(folder.config),
    )
    parts = list(comparison_of(folder).parts(folder))
    return assemble_report(_info(folder), findings, parts)


def _published_setting(config: Config) -> str:
    """Return the configuration if the scorecard of Ross et al. 2023 was made for such a run."""
    truth, coarse = config.truth, config.coarse
    same = (truth.system, truth.nx, coarse.sizes[0], coarse.operator) == scorecard_setting()
    changed = truth.constants or config.evaluation.constants
    configuration = getattr(build_system(config), "configuration", "")
    return configuration if same and not changed else ""


def _timing(folder: RunFolder, results: Results, found: Sequence[Candidate]) -> Timing:
    """Return where the costs were measured and how large the networks are."""
    config, domain = folder.config, results.system.domain
    networks = {
        candidate.model: NetworkSize(
            parameter_count(candidate.closure.network),
            1e9 * forward_gflop(candidate.closure.network, *domain.shape) / domain.size,
        )
        for candidate in found
        if getattr(candidate.closure, "network", None) is not None
    }
    grids = any(model.kind == "grid" for model in config.models)
    unit = time_unit(results.system.time_units)
    return Timing(config.coarse_dt, _device(folder), networks, grids, unit)


def _device(folder: RunFolder) -> str:
    """Return the device of the evaluation in words."""
    machine = folder.stages()["evaluate"]["environment"]
    return f"{machine['device']}, {machine['cpu_count']} CPUs"


def _snapshot(folder: RunFolder, results: Results, found: Sequence[Candidate]) -> Snapshot:
    """Return the middle of the first test trajectory and what every closure makes of it."""
    config, system = folder.config, results.system
    names = [variable.name for variable in system.variables]
    wanted = (*names, *(f"{name}_forcing" for name in names))
    samples = Samples(folder.split("test"), config.coarse.sizes[0], wanted, in_memory=False)
    batch = samples.batch([config.test_frames // 2])
    state, forcing = (
        system.State(**{name: jnp.asarray(batch[name + ending][0]) for name in names})
        for ending in ("", "_forcing")
    )

    @eqx.filter_jit
    def increment(closure: Any, state: Any, time: Any) -> Any:
        memory = closure.init(state, key=random_key(config.seed))
        return system.field(closure(state, memory, system.forcing_at(time))[0])

    predictions = {}
    for candidate in found:
        if candidate.closure is not None and candidate.model not in predictions:
            predictions[candidate.model] = np.asarray(
                increment(candidate.closure, state, batch[TIME][0])
            )
    drawn, true = (np.asarray(system.field(one)) for one in (state, forcing))
    return Snapshot(drawn, true, predictions)


def _info(folder: RunFolder) -> RunInfo:
    config, simulated = folder.config, folder.stages()["simulate"]
    shown = labels(config)
    if shown.get(BASELINE) == BASELINE:
        shown[BASELINE] = "no closure"
    said = remarks(folder)
    # the mark goes wherever the model's name is shown: tables, verdicts and figures
    shown = {
        name: f"{label} {REMARKED}" if name in said else label for name, label in shown.items()
    }
    return RunInfo(
        title=f"{config.name}: {config.description}" if config.description else config.name,
        facts={
            "Run": _run_facts(folder),
            "Truth": _truth_facts(config, build_system(config))
            | _source_facts(simulated)
            | _lost_facts(simulated["splits"]),
            "Data and training": _training_facts(config, build_system(config).time_units)
            | bundle_facts(folder),
        },
        commands=_commands(config),
        warnings=[
            *code_warnings(participants(folder.manifest(), _MEASURED)),
            *transfer_warnings(folder),
            *(f"{REMARKED} {name}: {remark}." for name, remark in said.items()),
            *comparison_of(folder).warnings(folder),
            *unlearned(folder),
            *unchanged(folder),
            *(
                f"{sentence[0].upper()}{sentence[1:]}"
                for split in simulated["splits"].values()
                for sentence in split.get("not_finite", [])
            ),
        ],
        labels=shown,
        footer=f"Everything shown is in the run folder {folder.path.resolve().name}.",
    )


def _run_facts(folder: RunFolder) -> dict[str, str]:
    config, stages = folder.config, folder.stages()
    return {
        "experiment": config.label,
        "date": time.strftime("%Y-%m-%d"),
        "seed": str(config.seed),
        **code_facts(participants(folder.manifest(), _MEASURED)),
        "device": _device(folder),
        **{f"time of {stage}": _time(stages[stage]) for stage in STAGES if stage in stages},
    }


def _time(record: dict[str, Any]) -> str:
    """Return how long a stage took; that of sessions that were stopped is not known."""
    return duration(record["seconds"]) + (", its last session" if record.get("resumed") else "")


def _truth_facts(config: Config, system: AbstractSystem) -> dict[str, str]:
    units = system.time_units
    truth, settings, unit = config.truth, config.evaluation, time_unit(units)
    second = " s" if units == "s" else ""
    spinup = f"{truth.spinup_steps * truth.dt / _YEAR:.2g} years of 360 days"
    if units != "s":
        spinup = f"{truth.spinup_steps * truth.dt:.3g} {unit.name}"
    constants, online = (
        ", ".join(f"{name} = {value}" for name, value in changed.items())
        for changed in (truth.constants, settings.constants)
    )
    length = f"{settings.steps * config.coarse_dt / unit.length:.3g}"
    if unit.name == "days":
        length = f"{settings.steps * config.coarse_dt / unit.length:.0f}"
    starts = " from random held-out states" if settings.starts == "random" else ""
    return {
        "system": title_of(config, system),
        "constants changed": constants or "none",
        "fine grid": f"{cells_of(system)} cells, time step {truth.dt:g}{second}",
        "coarse grids": ", ".join(map(cells_of, build_coarse_systems(config, system))),
        "coarsening": config.coarse.operator,
        "forcing": build_target(config).in_words,
        **({"constants changed in the free runs": online} if online else {}),
        "spin-up": spinup,
        "free runs": f"{length} {unit.name}, time step {config.coarse_dt:g}{second}, "
        f"{settings.members} members{starts}",
    }


def _source_facts(simulated: dict[str, Any]) -> dict[str, str]:
    """Return the runs that the data were copied from, if they were not simulated here."""
    sources = []
    while "data_from" in simulated:
        simulated = simulated["data_from"]
        machine = simulated["environment"]
        sources.append(
            f"{Path(simulated['folder']).name} (config {simulated['config_hash'][:12]}, subgrid "
            f"{machine['versions']['subgrid']}, commit {machine['commit'] or 'unknown'}, "
            f"JAX {machine['versions']['jax']})"
        )
    return {"data copied from": ", there from ".join(sources)} if sources else {}


def _lost_facts(splits: dict[str, Any]) -> dict[str, str]:
    """Return what blew up while the truth was simulated, if anything did."""
    facts = {}
    attempts = sum(notes["blow_ups"] for notes in splits.values())
    left_out = [
        f"{len(notes['failed'])} of {len(notes['seeds'])} trajectories ({split})"
        for split, notes in splits.items()
        if notes["failed"]
    ]
    if attempts:
        facts["attempts that blew up"] = f"{attempts}, repeated with other seeds"
    if left_out:
        facts["left out, as every attempt blew up"] = ", ".join(left_out)
    return facts


def _training_facts(config: Config, units: str) -> dict[str, str]:
    counts, training, unit = config.data.trajectories, config.training, time_unit(units)
    facts = {
        "trajectories": f"{counts.train} for training, {counts.validation} for validation, "
        f"{counts.test} for the test",
        "frames": f"{config.truth.frames} per trajectory, every "
        f"{config.truth.save_every * config.truth.dt / unit.length:.3g} {unit.name}",
    }
    if config.trains:
        facts["training"] = (
            f"{training.updates} updates of {training.batch_size} samples, "
            f"{training.optimiser}, learning rate {training.learning_rate:g} ({training.schedule})"
        )
    if config.noise_chosen_by is not None:
        facts["noise"] = f"chosen by the calibration of {config.noise_chosen_by}"
    for _, section in config.sections():
        facts |= section.facts(config)
    return facts


def _commands(config: Config) -> list[str]:
    exact = "subgrid run config.toml --out again  # in the run folder: the exact settings"
    if not _is_preset(config):
        return [exact]
    profile = f" --profile {config.profile}" if config.profile else ""
    return [f"subgrid run {config.name}{profile}", exact]


def _is_preset(config: Config) -> bool:
    """Return whether a config is a shipped preset, unchanged, and its name leads to that here."""
    try:
        return config.name in preset_names() and config == load_config(config.name, config.profile)
    except SubgridError:  # a folder of that name is read instead, with other profiles
        return False
