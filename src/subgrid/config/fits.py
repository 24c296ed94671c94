"""Checks by tracing that what a config builds fits together: systems, networks, steps, lengths.

Nothing is computed, so this costs little, and what it finds would else fail after the simulation.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from subgrid.config.builders import (
    build_closure,
    build_coarse_systems,
    build_coarseners,
    build_finer_system,
    build_inputs,
    build_model,
    build_network,
    build_online_system,
    build_pretrained,
    build_separated_network,
    build_system,
    channels_of,
    keyed,
    naming,
    separated_channels,
)
from subgrid.config.names import models_with_keys, own_packages
from subgrid.config.sections import (
    AnyModelConfig,
    ClosureConfig,
    GridConfig,
    LearnedConfig,
    PretrainedConfig,
    SeparatedConfig,
    VariantConfig,
)
from subgrid.config.settings import Config
from subgrid.errors import ConfigError, ShapeError
from subgrid.randomness import random_key
from subgrid.trust import require_trust


def check_builds(
    config: Config, copies: Mapping[str, Path] | None = None, trust: bool = False
) -> None:
    """Build every object of a config once; raises what the builders do.

    `copies`: the bundles that a run took over, by the name of the model; `trust`: whether bundles
    and networks may name code of packages that the config does not.

    So that a wrong constant, argument or shape is found before a folder is made and hours are
    simulated. Several settings that are wrong make one ConfigError with a line for each. Networks
    are traced only, not filled with numbers.
    """
    system = build_system(config)
    coarse = build_coarse_systems(config, system)
    build_coarseners(config, system, coarse)
    checks: list[Callable[[], Any]] = [
        partial(_check_learning, config, system, coarse),
        *(partial(build_online_system, config, coarse[0], v) for v in _variants(config)),
        *(partial(_check_model, config, m, coarse[0], copies or {}, trust) for m in config.models),
    ]
    built: list[tuple[LearnedConfig | SeparatedConfig, Any]] = []
    checks += [
        partial(_trace_network, config, entry, coarse[0], built)
        for entry in (*(model for _, model in learned_models(config)), *config.separated)
    ]
    problems = _problems(checks)
    if not problems:  # these need all that they put together
        check_fits(config, system, coarse)
        checks = [partial(_check_code_of_network, config, *one, trust) for one in built]
        problems = _problems(checks)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = (f"\n  {error}" for error in problems)
        raise ConfigError(f"{len(problems)} problems:{''.join(lines)}") from problems[0]


def _problems(checks: Iterable[Callable[[], Any]]) -> list[ConfigError]:
    """Return what checks that do not depend on one another find wrong with settings."""
    problems: list[ConfigError] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems.append(error)
        except Exception:
            if not problems:
                raise
            break  # what a user's class raises may come of a setting that is wrong
    return problems


def _variants(config: Config) -> tuple[VariantConfig | None, ...]:
    return (None, *config.evaluation.variants)


def _check_model(
    config: Config, model: AnyModelConfig, coarse: Any, copies: Mapping[str, Path], trust: bool
) -> None:
    """Build what a model needs, but for its network; raises what the builders do."""
    coupling = config.coupling_of(model)
    if coupling is not None:
        with naming(f"models.{model.name}.coupling"):
            build_model(coarse, config.coarse_dt, None, coupling)
    if isinstance(model, ClosureConfig):
        build_closure(model, coarse)
    if isinstance(model, PretrainedConfig):
        build_pretrained(config, model, coarse, copies.get(model.name), trust)
    if isinstance(model, GridConfig):
        for variant in _variants(config):
            build_finer_system(config, model, coarse, variant)


def _trace_network(
    config: Config, entry: LearnedConfig | SeparatedConfig, coarse: Any, built: list[Any]
) -> None:
    """Append an entry with its network, traced, to `built`."""
    import equinox as eqx

    key = random_key(0)
    if isinstance(entry, LearnedConfig):
        make = partial(build_network, config, entry, coarse)
        built.append((entry, eqx.filter_eval_shape(make, key)))
        return
    with naming(f"separated.{entry.name}"):
        make = partial(build_separated_network, entry, "buildup", coarse)
        built.append((entry, eqx.filter_eval_shape(make, key)))


def _check_learning(config: Config, system: Any, coarse: tuple[Any, ...]) -> None:
    """Raise ConfigError for what is to be learned of a system that does not have it."""
    from subgrid.evaluation import require_quantities

    if config.data.store_flux and not hasattr(system, "advective_flux"):
        raise ConfigError(
            "data.store_flux: got true; the flux form exists for systems that have "
            f"`advective_flux`, as two-layer QG does, and {config.truth.system!r} does not"
        )
    if config.coarse.target == "step" and not hasattr(system, "advance"):
        raise ConfigError(
            'coarse.target: got "step"; that is for systems that take steps of their own, and '
            f"{config.truth.system!r} does not"
        )
    with naming("truth.system"):
        require_quantities(coarse[0])
    if config.calibration is not None and not coarse[0].follows_truth:
        raise ConfigError(
            "calibration: free runs must be followed by their truth, and those of "
            f"{config.truth.system!r} are not; Kolmogorov flow is"
        )
    velocities = [v.name for v in system.variables if v.position != "centre"] == ["u", "v"]
    for key, model in models_with_keys(config):
        for option in ("divergence_free", "energy_limit"):
            if getattr(model, option, False) and not velocities:
                raise ConfigError(
                    f"{key}.{option}: got true; it is for velocities u and v on the faces of cells"
                )


def _check_code_of_network(
    config: Config, model: LearnedConfig | SeparatedConfig, network: Any, trust: bool
) -> None:
    """Raise UntrustedCodeError for a network of other packages than the config names.

    It would be trained for hours, saved, and then not read again; so would one that cannot be saved
    (ConfigError). `network`: traced.
    """
    import jax
    import jax.numpy as jnp

    from subgrid.closures import code_named_by

    untraced = jax.tree.map(
        lambda leaf: (
            jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
        ),
        network,
    )
    with naming(f"the network of {model.name}"):
        named = code_named_by(untraced)
    names = {name: name for name in named}
    require_trust(f"the network of {model.name!r}", names, trust or own_packages(config))


def check_fits(config: Config, system: Any, coarse: tuple[Any, ...]) -> None:
    """Raise for the first part that does not fit, with the key of the config in front.

    ConfigError for settings; for a class that is not ours what its code raises, ShapeError for
    arrays of other shapes and TypeError for other dtypes than are expected. Ours are known to fit.
    """
    from subgrid.nn import named_builder
    from subgrid.systems import check_table

    check_cut(config, coarse[0])
    check_batches(config)
    for key, model in learned_models(config):
        if not all(map(named_builder, model.networks)):
            with keyed(f"{key}.networks"):
                check_network(config, model, coarse[0])
    for entry in config.separated:
        if not named_builder(entry.network):
            with keyed(f"separated.{entry.name}.network"):
                for task in ("direct", "buildup"):
                    check_separated(entry, task, coarse[0])
    if type(system).__module__.partition(".")[0] == "subgrid":
        return
    for one in (system, *coarse):
        with keyed("truth.system"):
            check_table(one)
    for model in config.models:
        if (coupling := config.coupling_of(model)) is not None:
            with keyed(f"models.{model.name}.coupling"):
                check_step(build_model(coarse[0], config.coarse_dt, Nothing(), coupling))


class Nothing:
    """A closure that adds nothing, with which a step is traced."""

    def init(self, state: Any, *, key: Any = None) -> None:
        """Return no memory."""

    def __call__(self, state: Any, memory: Any = None, forcing: Any = None) -> tuple[Any, None]:
        """Return an increment of zeros."""
        import jax
        import jax.numpy as jnp

        return jax.tree.map(jnp.zeros_like, state), None


def learned_models(config: Config) -> list[tuple[str, LearnedConfig]]:
    """Return the learned models with their keys, each candidate of a search in every place."""
    tried = () if config.calibration is None else config.calibration.models
    alike = (model for model in config.searched() if len(set(model.networks)) == 1)
    return [
        *((f"models.{model.name}", model) for model in config.learned()),
        *((f"calibration.models.{model.name}", model) for model in tried),
        *(("search", model) for model in alike),
    ]


def check_cut(config: Config, coarse_system: Any) -> None:
    """Raise ConfigError unless a ring of the spectra lies below `evaluation.cut`."""
    from subgrid.grids import ring_edges

    grid = coarse_system.grid
    width = 2 * math.pi * math.hypot(1 / grid.length_x, 1 / grid.length_y)
    first = ring_edges(grid)[0] + width / 2
    if config.evaluation.cut * grid.nyquist <= first:
        raise ConfigError(
            f"evaluation.cut: got {config.evaluation.cut:g}; must be above "
            f"{first / grid.nyquist:.3g} on a grid of {grid.nx} x {grid.ny} cells, or spectra are "
            "compared at no wavenumber"
        )


def check_batches(config: Config) -> None:
    """Raise ConfigError unless every batch can be divided over the devices, in whole chunks."""
    import jax

    devices = jax.device_count()
    plans = [
        (key, config.training_of(model, stage))
        for key, model in learned_models(config)
        for stage in range(len(config.updates_of(model)))
    ]
    plans += [(f"separated.{entry.name}", config.training_of(entry)) for entry in config.separated]
    plans += [
        (f"models.{model.name}.fine_tune", model.fine_tune)
        for model in config.adapted()
        if model.fine_tune is not None
    ]
    for key, plan in plans:
        if plan.batch_size % (devices * plan.chunk):
            raise ConfigError(
                f"{key}: batch_size = {plan.batch_size} must be a multiple of {devices} devices "
                f"times chunk = {plan.chunk}"
            )


def check_network(config: Config, model: LearnedConfig, coarse_system: Any) -> None:
    """Raise unless the network of a model can be trained and its output makes an increment.

    ConfigError for one without weights; of another shape or dtype see `LearnedClosure.predict`.
    """
    import equinox as eqx

    from subgrid.closures import LearnedClosure, state_to_channels
    from subgrid.nn import Scaler
    from subgrid.systems import state_shapes

    seen, out = channels_of(model, coarse_system)

    def increment(key: Any, state: Any) -> Any:
        network = build_network(config, model, coarse_system, key)
        _require_weights(network)
        closure = LearnedClosure(
            network,
            Scaler.identity(seen),
            Scaler.identity(out),
            model.zero_mean,
            model.flux_form,
            coarse_system.grid,
            build_inputs(model, coarse_system),
            model.target_cut,
            model.divergence_free,
        )
        return closure.predict(state_to_channels(state))

    eqx.filter_eval_shape(increment, random_key(0), state_shapes(coarse_system))


def check_separated(entry: Any, task: str, coarse_system: Any) -> None:
    """Raise unless the network of a separated experiment maps the channels that it is asked to.

    ConfigError for one without weights, ShapeError or TypeError for another output.
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    seen, out = separated_channels(task, coarse_system)
    shape = coarse_system.grid.shape

    def output(key: Any, fields: Any) -> Any:
        network = build_separated_network(entry, task, coarse_system, key)
        _require_weights(network)
        return network(fields)

    fields = jax.ShapeDtypeStruct((seen, *shape), jnp.float32)
    found = eqx.filter_eval_shape(output, random_key(0), fields)
    if found.shape != (out, *shape):
        raise ShapeError(
            f"the network must map {fields.shape} to {(out, *shape)}, but returned {found.shape}"
        )
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise TypeError(f"the network must return real numbers, but returned {found.dtype}")


def _require_weights(network: Any) -> None:
    import equinox as eqx
    import jax

    from subgrid.nn import trainable

    if not jax.tree.leaves(eqx.filter(network, trainable(network))):
        raise ConfigError(
            f"{type(network).__name__} has no weights to train: let its class derive from "
            "equinox.Module and keep them as fields of floating-point arrays"
        )


def check_step(model: Any) -> None:
    """Raise what a step of a model raises while it is traced."""
    import equinox as eqx

    from subgrid.systems import state_shapes

    eqx.filter_eval_shape(lambda x: model.step(model.init(x)), state_shapes(model.system))
