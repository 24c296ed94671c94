"""Checks between the sections of a config that need no simulation."""

import itertools
from collections import Counter

from pydantic import ValidationError

from subgrid.config.explain import plain_words
from subgrid.config.sections import (
    AdaptedConfig,
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

_Models = tuple[AnyModelConfig, ...]


def consistency_problems(
    truth: TruthConfig,
    coarse: CoarseConfig,
    data: DataConfig,
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    calibration: CalibrationConfig | None,
    training: TrainingConfig,
    evaluation: EvaluationConfig,
) -> list[str]:
    """Return one line, with the key, value and what is allowed, per pair that does not fit."""
    return [
        *_size_problems(truth, coarse),
        *_name_problems(models),
        *_adapted_problems(models),
        *_network_problems(truth, coarse, models),
        *_calibration_problems(truth, coarse, models, calibration),
        *_separated_problems(models, separated, coarse),
        *_grid_problems(truth, coarse, models),
        *_search_problems(models, separated, search, coarse),
        *_training_problems(models, separated, search, calibration, training),
        *_split_problems(data, models, separated, search, calibration),
        *_evaluation_problems(truth, data, evaluation),
        *_window_problems(truth, models, calibration, evaluation),
        *_forcing_problems(truth, coarse, evaluation),
    ]


def _size_problems(truth: TruthConfig, coarse: CoarseConfig) -> list[str]:
    nx, ny = truth.nx, truth.nx if truth.ny is None else truth.ny
    problems = [
        f"{key}: got {size}; must be even and at least 4"
        for key, size in (("truth.nx", nx), ("truth.ny", ny))
        if size % 2 or size < 4
    ]
    for size in coarse.sizes:
        if size % 2 or size < 4:
            problems.append(f"coarse.sizes: got {size}; every size must be even and at least 4")
        elif size >= nx:
            problems.append(f"coarse.sizes: got {size}; must be smaller than truth.nx = {nx}")
        elif size * ny % nx or (size * ny // nx) % 2:
            problems.append(
                f"coarse.sizes: {size} cells along x make {size * ny / nx:g} along y for a truth "
                f"of {ny} x {nx} cells; must be an even whole number"
            )
    if any(fine <= small for fine, small in itertools.pairwise(coarse.sizes)):
        problems.append(f"coarse.sizes: got {list(coarse.sizes)}; must decrease, finest first")
    return problems


def _forcing_problems(
    truth: TruthConfig, coarse: CoarseConfig, evaluation: EvaluationConfig
) -> list[str]:
    """Return whether the step whose defect is learned is no whole number of the truth's."""
    if coarse.forcing == "tendency" or evaluation.dt is None:
        return []
    substeps = evaluation.dt / truth.dt
    if substeps > 0.5 and abs(substeps - round(substeps)) <= 1e-9 * substeps:
        return []
    return [
        f"evaluation.dt: got {evaluation.dt:g}; must be a whole multiple of truth.dt = "
        f'{truth.dt:g}, since coarse.forcing = "step" is what one such step misses'
    ]


def _window_problems(
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


def _name_problems(models: _Models) -> list[str]:
    counts = Counter(model.name for model in models)
    problems = [
        f"models: the name {name!r} is used {times} times; every model needs its own"
        for name, times in counts.items()
        if times > 1
    ]
    alone = sum(model.kind == "none" for model in models)
    if alone != 1:
        problems.append(
            f'models: {alone} of kind "none"; exactly one is needed, since every closure is '
            "compared with the coarse model alone"
        )
    for model in models:
        if model.name == "truth" or (model.name == "none" and model.kind != "none"):
            problems.append(f"models.{model.name}.name: {model.name!r} has a meaning of its own")
    seeds = {model.name: model.seeds for model in models if isinstance(model, LearnedConfig)}
    seeds |= {
        model.name: seeds[model.of]
        for model in models
        if isinstance(model, AdaptedConfig) and model.of in seeds
    }
    trained = {f"{name}-seed{i}": name for name, count in seeds.items() for i in range(count)}
    problems += [
        f"models.{model.name}.name: {model.name!r} is what a trained network of the learned model "
        f"{trained[model.name]!r} is called in files and tables; rename one of the two"
        for model in models
        if model.name in trained
    ]
    return problems


def _adapted_problems(models: _Models) -> list[str]:
    """Return which adapted models are of none that is trained here."""
    learned = [model.name for model in models if isinstance(model, LearnedConfig)]
    return [
        f"models.{model.name}.of: got {model.of!r}; must be a learned model of this run: "
        f"{', '.join(learned) or 'there is none'}"
        for model in models
        if isinstance(model, AdaptedConfig) and model.of not in learned
    ]


def _calibration_problems(
    truth: TruthConfig,
    coarse: CoarseConfig,
    models: _Models,
    calibration: CalibrationConfig | None,
) -> list[str]:
    """Return what is wrong with the levels and models of a calibration."""
    if calibration is None:
        return []
    tried = [model.name for _, _, model in calibration.tried()]
    problems = [
        f"calibration: the name {name!r} is used {times} times; every model needs its own, every "
        "level is tried once, and no other model is called so"
        for name, times in Counter([*tried, *(model.name for model in models)]).items()
        if times > 1 and name in tried
    ]
    names = [model.name for model in calibration.models]
    problems += [
        f"calibration.skip: got {name!r}; must be one of {', '.join(names)}"
        for name in calibration.skip
        if name not in names
    ]
    if not tried:
        problems.append(f"calibration.skip: got {list(calibration.skip)}; leaves no model to try")
    if list(calibration.levels) != sorted(calibration.levels):
        problems.append(f"calibration.levels: got {list(calibration.levels)}; must increase")
    return [*problems, *_network_problems(truth, coarse, calibration.models)]


def _network_problems(truth: TruthConfig, coarse: CoarseConfig, models: _Models) -> list[str]:
    """Return what is wrong with the scales of multiscale models and the number of networks."""
    problems = []
    ny = truth.nx if truth.ny is None else truth.ny
    for model in models:
        if not isinstance(model, LearnedConfig) or model.arrangement != "multiscale":
            continue
        sizes, key = model.scales(coarse), f"models.{model.name}"
        if len(model.networks) != len(sizes):
            what = "coarse sizes" if model.sizes is None else "sizes"
            problems.append(
                f"{key}.networks: got {len(model.networks)} for {len(sizes)} {what} {list(sizes)}; "
                "a multiscale model has one network per size"
            )
        coarser = max(sizes[1:], default=0)
        if model.target_cut and coarser >= model.target_cut * sizes[0]:
            problems.append(
                f"{key}.target_cut: got {model.target_cut:g}, but size {coarser} of {sizes[0]} "
                "holds all these scales already, and the last network would have none to add; "
                "take coarser sizes or a single scale"
            )
        if model.sizes is None:
            continue  # what is wrong with coarse.sizes is told once, under that key
        if sizes[0] != coarse.sizes[0]:
            problems.append(
                f"{key}.sizes: got {list(sizes)}; the first must be coarse.sizes[0] = "
                f"{coarse.sizes[0]}, the grid of the coarse model"
            )
        if any(fine <= small for fine, small in itertools.pairwise(sizes)):
            problems.append(f"{key}.sizes: got {list(sizes)}; must decrease, finest first")
        if any(size % 2 or size < 4 or size * ny % (2 * truth.nx) for size in sizes):
            problems.append(
                f"{key}.sizes: got {list(sizes)}; every size must be even and at least 4, and so "
                "the cells along y"
            )
    return problems


def _separated_problems(
    models: _Models, separated: tuple[SeparatedConfig, ...], coarse: CoarseConfig
) -> list[str]:
    taken = Counter(network.name for network in (*models, *separated))
    problems = [
        f"separated: the name {network.name!r} is used {taken[network.name]} times; every model "
        "and every separated network needs its own"
        for network in separated
        if taken[network.name] > 1
    ]
    if separated and len(coarse.sizes) < 2:
        problems.append(
            f"coarse.sizes: got {list(coarse.sizes)}; the separated experiments compare scales: at "
            "least two are needed"
        )
    return problems


def _grid_problems(truth: TruthConfig, coarse: CoarseConfig, models: _Models) -> list[str]:
    ny = truth.nx if truth.ny is None else truth.ny
    problems = []
    for model in models:
        if not isinstance(model, GridConfig):
            continue
        size, key = model.size, f"models.{model.name}.size"
        if not coarse.sizes[0] < size <= truth.nx:
            problems.append(
                f"{key}: got {size}; must be above coarse.sizes[0] = {coarse.sizes[0]} and at most "
                f"truth.nx = {truth.nx}"
            )
        elif size % 2 or size * ny % truth.nx or (size * ny // truth.nx) % 2:
            problems.append(f"{key}: got {size}; must be even, and so the cells along y")
    return problems


def _search_problems(
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    coarse: CoarseConfig,
) -> list[str]:
    if search is None:
        return []
    problems = [
        f"search.candidates: got {name!r} {times} times; each is tried once"
        for name, times in Counter(search.candidates).items()
        if times > 1
    ]
    taken = {entry.name for entry in (*models, *separated)}
    problems += [
        f"search: {model.name!r} is also the name of a model or a separated network; rename that"
        for model in search.models(len(coarse.sizes))
        if model.name in taken
    ]
    return problems


def _training_problems(
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    calibration: CalibrationConfig | None,
    training: TrainingConfig,
) -> list[str]:
    trained: dict[str, LearnedConfig | SeparatedConfig | SearchConfig] = {
        f"models.{model.name}": model for model in models if isinstance(model, LearnedConfig)
    }
    trained |= {f"separated.{entry.name}": entry for entry in separated}
    trained |= {} if search is None else {"search": search}
    tried = () if calibration is None else calibration.models
    trained |= {f"calibration.models.{model.name}": model for model in tried}
    problems = []
    for key, model in trained.items():
        stages = len(getattr(model, "stage_training", ()))
        tables = [f"stage_training.{stage}" for stage in range(stages)] or ["training"]
        for stage, table in enumerate(tables):
            try:
                merged_training(training, model, stage)
            except ValidationError as error:
                problems += [
                    f"{'.'.join([key, table, *map(str, problem['loc'])])}: got "
                    f"{problem['input']!r}; {plain_words(problem['msg'])}"
                    for problem in error.errors()
                ]
    return problems


def _split_problems(
    data: DataConfig,
    models: _Models,
    separated: tuple[SeparatedConfig, ...],
    search: SearchConfig | None,
    calibration: CalibrationConfig | None,
) -> list[str]:
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


def _evaluation_problems(
    truth: TruthConfig, data: DataConfig, evaluation: EvaluationConfig
) -> list[str]:
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
    return [*problems, *_reference_problems(truth, data, evaluation)]


def _reference_problems(
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
