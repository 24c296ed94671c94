"""Turns the names and numbers of a config into objects: the only place that does."""

import math
from pathlib import Path
from typing import Any

from subgrid.config.sections import (
    ClosureConfig,
    FineTuneConfig,
    GridConfig,
    LearnedConfig,
    PretrainedConfig,
    SeparatedConfig,
    TrainingConfig,
    VariantConfig,
)
from subgrid.config.settings import Config
from subgrid.errors import ConfigError, CorruptFileError, SubgridError

# arguments of systems that decide what a state is an array of; free runs cannot have others
_OF_THE_DATA = ("nx", "ny", "length_x", "length_y", "domain_scale", "configuration", "dtype")


def build_system(config: Config) -> Any:
    """Return the fine system, the truth; raises ConfigError for constants it does not take."""
    from subgrid.systems import SYSTEMS

    truth = config.truth
    with naming("truth"):
        return SYSTEMS.get(truth.system)(truth.nx, truth.ny, truth.configuration, **truth.constants)


def build_coarse_systems(config: Config, system: Any) -> tuple[Any, ...]:
    """Return the system on every coarse grid, finest first, with the truth's constants."""
    return tuple(system.at(size) for size in config.coarse.sizes)


def build_coarseners(
    config: Config, system: Any, coarse_systems: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return the map from the fine to each coarse grid; raises ConfigError if it does not exist."""
    from subgrid.coarsening import COARSENERS, check_positions

    with naming("coarse.operator"):
        operator = COARSENERS.get(config.coarse.operator)
        made = tuple(operator.between(system, coarse) for coarse in coarse_systems)
        for coarsener in made:
            check_positions(system, coarsener)
        return made


def build_target(config: Config, substeps: int | None = None) -> Any:
    """Return what counts as the subgrid forcing: see `subgrid.coarsening.AbstractTarget`.

    `substeps`: of the finer model in a step of the coarse one, those of the truth unless given.
    """
    from subgrid.coarsening import StepDefect, TendencyDefect

    if config.coarse.target == "tendency":
        return TendencyDefect()
    return StepDefect(config.coarse_dt, config.substeps if substeps is None else substeps)


def build_online_system(
    config: Config, coarse_system: Any, variant: VariantConfig | None = None
) -> Any:
    """Return the coarse system of the free runs: with the changes of evaluation.constants.

    Those of `variant`, one of evaluation.variants, come on top.
    """
    changes = dict(config.evaluation.constants)
    key = "evaluation.constants"
    if variant is not None:
        changes |= variant.constants
        key = f"evaluation.variants.{variant.name}.constants"
    if not changes:
        return coarse_system
    grid = coarse_system.grid
    with naming(key):
        if name := next((name for name in changes if name in coarse_system.diagnosing), None):
            raise ConfigError(
                f"{name!r} decides which flow a state is: truth and scores would speak of another "
                "than the free runs. Set it in [truth.constants]."
            )
        if name := next((name for name in changes if name in _OF_THE_DATA), None):
            raise ConfigError(
                f"{name!r} is what the data were made with, and free runs start from them. Set it "
                "in [truth] or [truth.constants]."
            )
        return coarse_system.at(grid.shape, **changes)


def build_finer_system(
    config: Config, model: GridConfig, coarse_system: Any, variant: VariantConfig | None = None
) -> tuple[Any, Any]:
    """Return the system of the free runs on a finer grid and the map from it to the coarse one."""
    from subgrid.coarsening import COARSENERS

    coarse = build_online_system(config, coarse_system, variant)
    with naming(f"models.{model.name}"):
        fine = coarse.at((model.size * config.ny // config.truth.nx, model.size))
        return fine, COARSENERS.get(config.coarse.operator).between(fine, coarse)


def build_model(system: Any, dt: float, closure: Any, coupling: str | None = None) -> Any:
    """Return the model that steps `system` with a closure.

    `coupling`: how its increment enters the step, the system's own way unless given; raises
    TypeError for a system that takes no steps of its own.
    """
    from subgrid.stepping import COUPLINGS, SplitModel

    if coupling is None:
        return system.model(dt, closure)
    return SplitModel(system=system, dt=dt, closure=closure, coupling=COUPLINGS[coupling]())


def build_closure(model: ClosureConfig, coarse_system: Any) -> Any:
    """Return a closure of the registry, or a user's own, built on the coarse system.

    Raises ConfigError if its arguments do not fit and whatever `check_closure` finds wrong.
    """
    from subgrid.closures import CLOSURES, check_closure

    with naming(f"models.{model.name}"):
        closure = CLOSURES.get(model.closure)(coarse_system, **model.arguments)
    with keyed(f"models.{model.name}.closure"):
        check_closure(closure, coarse_system)
    return closure


def build_pretrained(
    config: Config,
    model: PretrainedConfig,
    coarse_system: Any,
    copy: Path | None = None,
    trust: bool = False,
) -> Any:
    """Return the bundle of a pretrained model, its closure read and checked on the coarse system.

    `copy`: the folder of the one that a run took over, read instead; `trust`: see `load_bundle`.

    Raises ConfigError for an unknown bundle, for a use that it was not trained and tested for,
    listing what differs, unless `transfer` is set, and for a closure that cannot run on this grid;
    CorruptFileError for a damaged file of it.
    """
    from subgrid.closures import check_closure, in_system
    from subgrid.deploy import load_bundle

    with naming(f"models.{model.name}"):
        bundle = load_bundle(copy or model.bundle, trust)
        differing = bundle.differences(validity_of(config))
        if differing and not model.transfer:
            lines = [
                f"  {key}: bundle {its!r}, experiment {ours!r}"
                for key, (its, ours) in differing.items()
            ]
            raise ConfigError(
                f"bundle {bundle.name!r} was trained and tested for another use:\n"
                + "\n".join(lines)
                + "\nSet transfer = true to test it here all the same; the report will say so."
            )
    closure = bundle.closure
    with naming(f"models.{model.name}: bundle {bundle.name!r} cannot run here"):
        check_closure(in_system(closure, coarse_system), coarse_system)
    return bundle


def build_inputs(model: LearnedConfig, coarse_system: Any) -> Any:
    """Return what the networks of a model see, None for the state; raises ConfigError as such."""
    from subgrid.closures import Inputs

    if model.inputs is None:
        return None
    with naming(f"models.{model.name}.inputs"):
        return Inputs(coarse_system, model.inputs)


def channels_of(model: LearnedConfig, coarse_system: Any) -> tuple[int, int]:
    """Return how many channels the networks of a model see, and how many they are to return."""
    channels = _state_channels(coarse_system)
    inputs = build_inputs(model, coarse_system)
    seen = channels if inputs is None else inputs.count
    out = 2 * channels if model.flux_form else channels
    return seen, 1 if model.divergence_free else out


def build_network(config: Config, model: LearnedConfig, coarse_system: Any, key: Any) -> Any:
    """Return the untrained network of a learned model: a named one, a `Stacked` or a `Cascade`.

    It maps the channels of a state, or those of the model's inputs, to those of its increment (with
    `flux_form` to two fluxes each, with `divergence_free` to a streamfunction).
    """
    import jax

    from subgrid.nn import Stacked, build, build_cascade

    seen, out = channels_of(model, coarse_system)
    with naming(f"models.{model.name}"):
        if model.arrangement == "multiscale":
            return build_cascade(
                model.networks,
                model.scales(config.coarse),
                state_channels=seen,
                out_channels=out,
                key=key,
                width=model.width,
            )
        # the second of a stack sees the same and what the first made of it
        counts = [seen, seen + out]
        keys = jax.random.split(key, len(model.networks))
        networks = [
            build(name, in_channels=count, out_channels=out, key=part, width=model.width)
            for name, count, part in zip(model.networks, counts, keys, strict=False)
        ]
        return Stacked(*networks) if model.arrangement == "stacked" else networks[0]


def build_separated_network(entry: SeparatedConfig, task: str, coarse_system: Any, key: Any) -> Any:
    """Return the untrained network of a separated experiment; "buildup" sees forcings as well."""
    from subgrid.nn import build

    seen, out = separated_channels(task, coarse_system)
    return build(entry.network, in_channels=seen, out_channels=out, key=key, width=entry.width)


def separated_channels(task: str, coarse_system: Any) -> tuple[int, int]:
    """Return how many channels a network of a separated experiment sees and returns."""
    channels = _state_channels(coarse_system)
    return 2 * channels if task == "buildup" else channels, channels


def _state_channels(system: Any) -> int:
    import jax

    from subgrid.systems import state_shapes

    state = state_shapes(system)
    return sum(math.prod(leaf.shape[:-2]) for leaf in jax.tree.leaves(state))


def build_plan(config: Config, model: LearnedConfig | SeparatedConfig, stage: int = 0) -> Any:
    """Return the training plan of a learned model: [training] with the model's own changes.

    `stage`: of a multiscale model, whose networks may have plans of their own.
    """
    from subgrid.training import OPTIMISERS, SCHEDULES, Noise

    settings = config.training_of(model, stage)
    rates: dict[str, Any] = {"peak": settings.learning_rate}
    if settings.schedule == "cosine":
        rates |= {"updates": settings.updates, "warmup": settings.warmup}
        rates["end"] = settings.end_learning_rate
    decay = {"weight_decay": settings.weight_decay} if settings.optimiser == "adamw" else {}
    optimiser = OPTIMISERS.get(settings.optimiser)(
        SCHEDULES.get(settings.schedule)(**rates),
        epsilon=settings.epsilon,
        clip=settings.clip,
        clip_at=settings.clip_at,
        **decay,
    )
    noise = Noise(settings.noise, settings.clean_fraction, settings.noise_from)
    return _plan(settings, optimiser, noise=noise, ema=settings.ema)


def build_fine_tuning(settings: FineTuneConfig) -> Any:
    """Return the plan of a training through the solver: Adam, cosine to zero, clipped at norm 1."""
    from subgrid.training import OPTIMISERS, SCHEDULES

    rates = {"peak": settings.learning_rate, "updates": settings.updates}
    optimiser = OPTIMISERS.get("adam")(SCHEDULES.get("cosine")(**rates), clip="norm")
    return _plan(settings, optimiser)


def _plan(settings: TrainingConfig | FineTuneConfig, optimiser: Any, **further: Any) -> Any:
    from subgrid.training import Plan

    return Plan(
        optimiser=optimiser,
        updates=settings.updates,
        batch_size=settings.batch_size,
        validation_samples=settings.validation_samples,
        validate_every=settings.validate_every,
        checkpoint_every=settings.checkpoint_every,
        chunk=settings.chunk,
        **further,
    )


def validity_of(config: Config) -> dict[str, Any]:
    """Return what a closure of this experiment is valid for; see `subgrid.deploy.validity`."""
    from subgrid.deploy import validity

    coarse = build_coarse_systems(config, build_system(config))[0]
    online = build_online_system(config, coarse)
    forcing = None
    if config.coarse.target == "step":  # it is right for that step alone
        forcing = f"what a step of {config.coarse_dt:g} misses"
    return validity(config.truth.system, coarse, online, config.coarse.operator, forcing)


class keyed:
    """Puts the key of the config before the message of an error, which stays of its kind.

    For what a class of the user's does wrong, rather than a setting.
    """

    def __init__(self, key: str):
        self.key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        _put_before(error, self.key)


class naming:
    """Adds the key of the config to an error that a constructor raises; one of a value is ours.

    A damaged file is no wrong setting: CorruptFileError, which names it, passes.
    """

    def __init__(self, key: str):
        self.key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, CorruptFileError):
            return
        if isinstance(error, TypeError | ValueError | SubgridError):
            raise ConfigError(f"{self.key}: {error}") from error
        _put_before(error, self.key)


def _put_before(error: BaseException | None, key: str) -> None:
    """Put a key before the message of an error."""
    if isinstance(error, Exception) and error.args and isinstance(error.args[0], str):
        error.args = (f"{key}: {error.args[0]}", *error.args[1:])
