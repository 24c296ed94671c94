"""The model card: what a learned closure is, what made it, how good it is, where it may be used."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from subgrid.config import (
    AdaptedConfig,
    Config,
    LearnedConfig,
    build_coarse_systems,
    build_system,
    build_target,
    cells_of,
    output_in_words,
    title_of,
    validity_of,
)
from subgrid.evaluation import plain_markdown, time_unit
from subgrid.experiment.folder import RunFolder
from subgrid.recipes.curves import best_record, learning_records
from subgrid.training import training_remarks

_UNTESTED = """## Scores

None when this was written, before the evaluation; `subgrid export` writes a card with them. Outside
the system, grid and coarsening above the closure is untested in any case.
"""


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
    parts = [_what(folder, model, number), _data(folder), _training(folder, model, number)]
    parts += [_UNTESTED] if scores is None else [_scores(folder, scores), _limits(folder, model)]
    return "\n".join(parts)


def _what(folder: RunFolder, model: LearnedConfig | AdaptedConfig, number: int) -> str:
    config, truth = folder.config, folder.config.truth
    base = model.base(config)
    coarse = _coarse(config)
    cells = cells_of(coarse)
    made = f"\n- made of: {model.facts(config)[model.name]}" if base is not model else ""
    return f"""\
# {model.name}, seed {number}: closure for {title_of(config, coarse)}, {cells} cells

It maps the coarse state to the subgrid forcing, which is {_use(folder, model)}.

- experiment: {config.label}, seed {config.seed}
- constants changed from those of the configuration: {_listed(truth.constants)}
- networks: {", ".join(base.networks)} ({base.arrangement}, width {base.width:g}), on
  {", ".join(map(str, base.scales(config.coarse)))} cells
- features: {", ".join(base.features or ("the state",))}
- output: {", ".join(output_in_words(base.output, config)) or "as the network says it"}{made}
"""


def _coarse(config: Config) -> Any:
    return build_coarse_systems(config, build_system(config))[0]


def _use(folder: RunFolder, model: LearnedConfig | AdaptedConfig) -> str:
    """Return what is done with the output."""
    how = model.coupling_in(folder.config)
    return build_target(folder.config).use + (f" ({how})" if how else "")


def _data(folder: RunFolder) -> str:
    config, truth = folder.config, folder.config.truth
    counts, second = config.data.trajectories, _second(folder)
    content = folder.stages()["simulate"]["splits"]["train"]["content_hash"]
    return f"""## Data

- {counts.train} trajectories for training and {counts.validation} for validation, each of
  {truth.frames} frames {truth.save_every * truth.dt:g}{second} apart after {truth.spinup_steps}
  steps
- truth on {cells_of(build_system(config))} cells, time step {truth.dt:g}{second}, coarsened by
  {config.coarse.operator}
- content of the training data: {content}
"""


def _second(folder: RunFolder) -> str:
    """Return the unit of time after a number; none where it is dimensionless."""
    return " s" if build_system(folder.config).time_units == "s" else ""


def _training(folder: RunFolder, model: LearnedConfig | AdaptedConfig, number: int) -> str:
    base = model.base(folder.config)
    lines = []
    for stage, records in enumerate(learning_records(folder, base, number)):
        plan, best = folder.config.training_of(base, stage), best_record(records)
        lines.append(
            f"- {plan.updates} updates of {plan.batch_size} samples, {plan.optimiser}, learning "
            f"rate {plan.learning_rate:g} ({plan.schedule}),\n  noise {plan.noise:g}; best "
            f"validation loss {best['validation']['loss']:.5g} at update {best['update']}, "
            f"{records[-1]['skipped']} updates skipped"
            f"{_remarks(records[-1])}"
        )
    order = " One training per scale, the coarsest first." if len(lines) > 1 else ""
    if (tune := getattr(model, "fine_tune", None)) is not None:
        (records,) = learning_records(folder, model, number)
        best = best_record(records)
        lines.append(
            f"- then through the solver: {tune.updates} updates of {tune.batch_size} windows of "
            f"{tune.frames} frames, learning\n  rate {tune.learning_rate:g}; validation loss "
            f"{_number(records[0]['validation']['loss'])} before, "
            f"{_number(best['validation']['loss'])} at update {best['update']}\n  (of the states "
            f"that follow, in their variance){_remarks(records[-1])}"
        )
    trainings = "\n".join(lines)
    return f"""## Training

{trainings}

Losses are mean squared errors in units of the variance of the forcing, if not said otherwise; the
weights are those of the best validation loss.{order}
"""


def _remarks(record: Mapping[str, Any]) -> str:
    """Return what is to be said of a training, a line each; mostly nothing."""
    return "".join(f"\n  - {remark}" for remark in training_remarks(record))


def _scores(folder: RunFolder, scores: Mapping[str, Any]) -> str:
    offline = scores["offline"]
    machine = folder.stages()["evaluate"]["environment"]
    online = "\n".join(_online(whose, record) for whose, record in scores["online"].items())
    cost = next(iter(scores["online"].values()))["cost"]
    return f"""## Scores

On the test trajectories, which neither the training nor the choice of weights saw.

- offline: R² {_by_layer(offline, "r_squared")}; correlation {_by_layer(offline, "correlation")}
{_of_the_filter(offline)}{online}
- cost per step: {cost["ratio"]:.3g} times that of the coarse model alone, {cost["seconds"]:.3g} s
  for one member, on {machine["device"]} ({machine["cpu_count"]} CPUs)
"""


def _online(whose: str, record: Mapping[str, Any]) -> str:
    """Return what a record of scores.json says of free runs."""
    similar = [value for value in record["similarity"].values() if value is not None]
    mean = _number(float(np.mean(similar)) if similar else None)
    runs = record["networks"] * record["members"]
    followed = record.get("predictability")
    lasting = "" if followed is None else f"\n  It {followed['verdict']}"
    return f"""\
- online, {whose}: {record["verdict"]}{lasting}
  Scored are {record["scored_runs"]} of {runs} runs. Mean of the {len(similar)} similarity scores
  (1 the truth, 0 no closure, below 0 worse): {mean}"""


def _limits(folder: RunFolder, model: LearnedConfig | AdaptedConfig) -> str:
    config, settings = folder.config, folder.config.evaluation
    coarse = _coarse(config)
    cells, unit = cells_of(coarse), time_unit(coarse.time_units)
    variants = [f"{v.name} ({_listed(v.constants)})" for v in settings.variants]
    also = f" Free runs with {', '.join(variants)} are in its run's report." if variants else ""
    trained = len(model.labels(config))
    once = "; what other initial weights do is not known" if trained == 1 else ""
    return f"""## Limits

- Tested with {title_of(config, coarse)} only, on {cells} cells with a time step of
  {config.coarse_dt:g}{_second(folder)} and the constants in model.json (changed in the
  free runs: {_listed(settings.constants)}); for data coarsened by {config.coarse.operator}.{also}
- Free runs of {settings.steps * config.coarse_dt / unit.length:.3g} {unit.name} from
  {settings.members} initial state(s) of the truth; what happens later is not known.
- {trained} training(s) of {model.base(config).name} were made{once}.
- Not tested: other constants, domains, grids, operators, time steps and schemes; other models, even
  of the same equations; flow away from the statistics of the training data; precision other than
  {validity_of(config)["settings"].get("dtype", "that of the run")}.
"""


def _of_the_filter(offline: Mapping[str, Any]) -> str:
    """Return the scores that speak of a model's filter; nothing for a system without one."""
    if "r_squared_below_filter" not in offline:
        return ""
    return f"""\
- offline: R² of the scales below the filter {_by_layer(offline, "r_squared_below_filter")}
- offline: relative error of the energy that the forcing adds, at the wavenumbers where the true one
  adds some: {_number(offline.get("work_error"))} (0 perfect, 1 as no closure)
"""


def _by_layer(offline: Mapping[str, Any], score: str) -> str:
    names = offline.get("channels", range(1, len(offline[score]) + 1))
    return ", ".join(
        f"{_number(value)} {layer}" for layer, value in zip(names, offline[score], strict=True)
    )


def _listed(constants: Mapping[str, Any]) -> str:
    return (
        plain_markdown(", ".join(f"{name} = {value}" for name, value in constants.items()))
        or "none"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
