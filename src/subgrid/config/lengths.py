"""Checks between the sections of a config: trainings and free runs against the data."""

from collections import Counter

from pydantic import ValidationError

from subgrid.config.explain import told
from subgrid.config.sections import (
    AnyModelConfig,
    CalibrationConfig,
    CoarseConfig,
    DataConfig,
    EvaluationConfig,
    GridConfig,
    LearnedConfig,
    SearchConfig,
    SeparatedConfig,
    TrainingConfig,
    TruthConfig,
    merged_training,
)
from subgrid.numbers import LARGEST_COUNT

_Models = tuple[AnyModelConfig, ...]


def forcing_problems(
    truth: TruthConfig, coarse: CoarseConfig, evaluation: EvaluationConfig
) -> list[str]:
    """Return whether the step whose defect is learned is no whole number of the truth's."""
    if coarse.target == "tendency" or evaluation.dt is None:
        return []
    substeps = evaluation.dt / truth.dt
    if substeps > 0.5 and abs(substeps - round(substeps)) <= 1e-9 * substeps:
        return []
    return [
        f"evaluation.dt: got {evaluation.dt:g}; must be a whole multiple of truth.dt = "
        f'{truth.dt:g}, since coarse.target = "step" is what one such step misses'
    ]


def window_problems(
    truth: TruthConfig,
    models: _Models,
    calibration: CalibrationConfig | None,
    evaluation: EvaluationConfig,
) -> list[str]:
    """Return which runs are longer than the trajectories that they are trained or chosen on."""
    dt = truth.dt if evaluation.dt is None else evaluation.dt
    frame, problems = truth.save_every * truth.dt, []
    for model in models:
        tune = getattr(model, "fine_tune", None)
        if tune is None:
            continue
        key = f"models.{model.name}.fine_tune"
        if tune.frames >= truth.frames:
            problems.append(
                f"{key}.frames: got {tune.frames}; must be below truth.frames = {truth.frames}"
            )
        steps = frame / dt
        if steps < 0.5 or abs(steps - round(steps)) > 1e-9 * steps:
            problems.append(
                f"{key}: the frames of the truth are {frame:g} apart, which must be a whole number "
                f"of steps of the coarse model, {dt:g}"
            )
    lasts = evaluation.steps * dt / frame
    if calibration is not None and lasts > truth.frames - 1 + 1e-9:
        problems.append(
            f"calibration: free runs of {lasts:g} frames are longer than a validation trajectory "
            f"of truth.frames = {truth.frames}"
        )
    return problems


def training_problems(
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    calibration: CalibrationConfig | None,
    training: TrainingConfig,
) -> list[str]:
    """Return what is wrong with [training] once models or stages change it."""
    trained: list[tuple[str, LearnedConfig | SeparatedConfig | SearchConfig]] = [
        (f"models.{model.name}", model) for model in models if isinstance(model, LearnedConfig)
    ]
    trained += [(f"separated.{entry.name}", entry) for entry in separated]
    trained += [] if search is None else [("search", search)]
    tried = () if calibration is None else calibration.tried()
    trained += [(f"calibration.models.{base.name}", model) for base, _, model in tried]
    problems = []
    for key, model in trained:
        stages = len(getattr(model, "stage_training", ()))
        tables = [f"stage_training.{stage}" for stage in range(stages)] or ["training"]
        for stage, table in enumerate(tables):
            try:
                merged_training(training, model, stage)
            except ValidationError as error:
                problems += [
                    line
                    for problem in error.errors()
                    for line in told(".".join([key, table, *map(str, problem["loc"])]), problem)
                ]
    return problems


def split_problems(
    data: DataConfig,
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    calibration: CalibrationConfig | None,
) -> list[str]:
    """Return which split has no trajectory although networks are trained on it."""
    trained = [f"models.{model.name}" for model in models if isinstance(model, LearnedConfig)]
    trained += [f"separated.{entry.name}" for entry in separated]
    trained += [] if search is None else ["search"]
    trained += [] if calibration is None else ["calibration"]
    if not trained:
        return []
    return [
        f"data.trajectories.{split}: got 0; must be at least 1, since there are networks to train "
        f"({', '.join(trained)})"
        for split in ("train", "validation")
        if getattr(data.trajectories, split) == 0
    ]


def evaluation_problems(data: DataConfig, evaluation: EvaluationConfig) -> list[str]:
    """Return which settings of the free runs do not fit each other or the test trajectories."""
    problems = []
    tests = data.trajectories.test
    if evaluation.starts == "first" and evaluation.members > tests:
        problems.append(
            f"evaluation.members: got {evaluation.members}; must be at most "
            f"data.trajectories.test = {tests}: each member has a test trajectory of its own "
            '(evaluation.starts = "random" shares them)'
        )
    if evaluation.steps % evaluation.save_every:
        problems.append(
            f"evaluation.steps: got {evaluation.steps}; must be a multiple of "
            f"evaluation.save_every = {evaluation.save_every}"
        )
    if evaluation.average_from is not None and evaluation.average_from >= evaluation.steps:
        problems.append(
            f"evaluation.average_from: got {evaluation.average_from}; must be below "
            f"evaluation.steps = {evaluation.steps}"
        )
    problems += [
        "evaluation.variants: got 'calibration', which has a meaning of its own; rename it"
        for variant in evaluation.variants
        if variant.name == "calibration"
    ]
    names = Counter(variant.name for variant in evaluation.variants)
    problems += [
        f"evaluation.variants: the name {name!r} is used {times} times; every variant needs its own"
        for name, times in names.items()
        if times > 1
    ]
    return problems


def reference_problems(
    truth: TruthConfig, data: DataConfig, evaluation: EvaluationConfig
) -> list[str]:
    """Return where the frames of a free run have no counterpart in a test trajectory."""
    frame = truth.save_every * truth.dt
    dt = truth.dt if evaluation.dt is None else evaluation.dt
    stride = evaluation.save_every * dt / frame
    if stride < 0.5 or abs(stride - round(stride)) > 1e-9 * stride:
        return [
            f"evaluation.save_every: free runs save every {evaluation.save_every * dt:g}; must "
            f"be a whole multiple of the truth's {frame:g} (truth.save_every * truth.dt)"
        ]
    frames = truth.frames if data.test_frames is None else data.test_frames
    longest = (frames - 1) // round(stride) * evaluation.save_every
    if evaluation.steps > longest:
        return [
            f"evaluation.steps: got {evaluation.steps}; must be at most {longest}, the length of a "
            f"test trajectory of {frames} frames (make data.test_frames larger for longer runs)"
        ]
    return []


def count_problems(
    truth: TruthConfig, data: DataConfig, models: _Models, evaluation: EvaluationConfig
) -> list[str]:
    """Return which runs take more steps than 32 bits count."""
    frames = max(truth.frames, data.test_frames or 0)
    steps = [
        (
            "truth: spinup_steps and frames * save_every",
            truth.spinup_steps + frames * truth.save_every,
        )
    ]
    steps += [
        (f"models.{model.name}.substeps: times evaluation.steps", evaluation.steps * model.substeps)
        for model in models
        if isinstance(model, GridConfig)
    ]
    return [
        f"{key} make {count} steps; must be at most {LARGEST_COUNT}, what 32 bits count"
        for key, count in steps
        if count > LARGEST_COUNT
    ]
