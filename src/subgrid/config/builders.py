"""Turns the names and numbers of a config into systems and what lies between them."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from subgrid.config.section import naming
from subgrid.errors import ConfigError, UnknownNameError
from subgrid.registry import unknown_name_message

if TYPE_CHECKING:
    from subgrid.coarsening import AbstractTarget
    from subgrid.config.sections import VariantConfig
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem


def build_system(config: "Config") -> Any:
    """Return the fine system, the truth; raises ConfigError for constants it does not take."""
    from subgrid.systems import SYSTEMS

    truth = config.truth
    sizes = () if truth.nx is None else (truth.nx,) if truth.ny is None else (truth.nx, truth.ny)
    named = {} if truth.configuration is None else {"configuration": truth.configuration}
    with naming("truth"):
        return SYSTEMS.get(truth.system)(*sizes, **named, **truth.constants)


def build_coarse_systems(config: "Config", system: Any) -> tuple[Any, ...]:
    """Return the system at every coarse size, finest first, with the truth's constants."""
    with naming("coarse.sizes"):
        return tuple(system.at(size) for size in config.coarse.sizes)


def cells_of(system: "AbstractSystem") -> str:
    """Return the cells of a system's domain in words, x first: "64 x 32"."""
    return " x ".join(map(str, reversed(system.domain.shape)))


def title_of(config: "Config", system: "AbstractSystem") -> str:
    """Return the system in words, with its configuration if it has one: "qg (eddy)"."""
    configuration = getattr(system, "configuration", None)
    return f"{config.truth.system}{f' ({configuration})' if configuration else ''}"


def value_count(system: "AbstractSystem") -> int:
    """Return the number of values of a state."""
    import jax

    from subgrid.systems import state_shapes

    return sum(leaf.size for leaf in jax.tree.leaves(state_shapes(system)))


def build_coarseners(
    config: "Config", system: Any, coarse_systems: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return the map from the fine to each coarse grid; raises ConfigError if it does not exist."""
    from subgrid.coarsening import COARSENERS, check_positions

    with naming("coarse.operator"):
        operator = COARSENERS.get(config.coarse.operator)
        made = tuple(operator.between(system, coarse) for coarse in coarse_systems)
        for coarsener in made:
            check_positions(system, coarsener)
        return made


def build_target(config: "Config", fine_dt: float | None = None) -> "AbstractTarget":
    """Return what counts as the subgrid forcing: see `subgrid.coarsening.AbstractTarget`.

    `fine_dt`: step of the finer model, that of the truth unless given. Raises ConfigError where the
    target does not exist for these steps.
    """
    from subgrid.coarsening import TARGETS

    with naming(f"coarse.target = {config.coarse.target!r}"):
        target = TARGETS.get(config.coarse.target)
        return target.of_steps(config.coarse_dt, config.truth.dt if fine_dt is None else fine_dt)


def build_online_system(
    config: "Config", coarse_system: Any, variant: "VariantConfig | None" = None
) -> Any:
    """Return the coarse system of the free runs: with the changes of evaluation.constants.

    Those of `variant`, one of evaluation.variants, come on top.
    """
    from subgrid.systems import system_differences
    from subgrid.systems.comparison import changes_the_flow

    changes = dict(config.evaluation.constants)
    key = "evaluation.constants"
    if variant is not None:
        changes |= variant.constants
        key = f"evaluation.variants.{variant.name}.constants"
    if not changes:
        return coarse_system
    with naming(key):
        changed = coarse_system.at(config.coarse.sizes[0], **changes)
        for name in system_differences(coarse_system, changed):
            if changes_the_flow(coarse_system, name) or name in ("configuration", "dtype"):
                raise ConfigError(
                    f"{name!r} decides which flow a state is, and free runs start from the data: "
                    "truth and scores would speak of another. Set it in [truth] or "
                    "[truth.constants]."
                )
        return changed


def build_model(system: Any, dt: float, closure: Any, coupling: str | None = None) -> Any:
    """Return the model that steps `system` with a closure.

    `coupling`: how its increment enters the step, the system's own way unless given; raises
    TypeError for a system that takes no steps of its own.
    """
    from subgrid.stepping import COUPLINGS, SplitModel

    if coupling is None:
        return system.model(dt, closure)
    return SplitModel(system=system, dt=dt, closure=closure, coupling=COUPLINGS[coupling]())


def validity_of(config: "Config") -> dict[str, Any]:
    """Return what a closure of this experiment is valid for; see `subgrid.deploy.validity`."""
    from subgrid.deploy import validity

    coarse = build_coarse_systems(config, build_system(config))[0]
    online = build_online_system(config, coarse)
    # that of a tendency holds for any step, and older bundles do not name it
    target = None if config.coarse.target == "tendency" else build_target(config).in_words
    return validity(config.truth.system, coarse, online, config.coarse.operator, target)


def require_arguments(
    function: Any, what: str, arguments: Mapping[str, Any], given: int, named: tuple[str, ...] = ()
) -> None:
    """Raise UnknownNameError for an argument that a function of the config's choice does not take.

    `given`: how many come first, from us, which have names of their own in a user's function;
    `named`: those that come from us by name.
    """
    parameters = list(inspect.signature(function).parameters.values())[given:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return  # it says itself what it does not know
    known = [parameter.name for parameter in parameters if parameter.name not in named]
    for name in arguments:
        if name not in known:
            raise UnknownNameError(
                unknown_name_message(f"argument of {what}", name, known or ["it takes none"])
            )


class Nothing:
    """A closure that adds nothing, with which a step is traced."""

    def init(self, state: Any, *, key: Any = None) -> None:
        """Return no memory."""

    def __call__(self, state: Any, memory: Any = None, forcing: Any = None) -> tuple[Any, None]:
        """Return an increment of zeros."""
        import jax
        import jax.numpy as jnp

        return jax.tree.map(jnp.zeros_like, state), None


def check_step(model: Any) -> None:
    """Raise what a step of a model raises while it is traced."""
    import equinox as eqx

    from subgrid.systems import state_shapes

    eqx.filter_eval_shape(lambda x: model.step(model.init(x)), state_shapes(model.system))
