"""The check that a time step is below the stability limit, before a run wastes its time."""

from collections.abc import Collection
from typing import Any

from subgrid.config import Config, build_coarse_systems, build_online_system, build_system
from subgrid.errors import ConfigError
from subgrid.experiment.task import STAGES
from subgrid.systems import failing_dt, largest_safe_dt


def check_time_steps(config: Config, stages: Collection[str] = STAGES) -> None:
    """Raise ConfigError, with the largest safe dt, if `stages` of a config are sure to blow up.

    Simulate takes the step of the truth, evaluate that of the free runs; train is refused with it,
    as its closures could not be tested. That much is known before anything is simulated; a dt
    between the safe one and the failing one may work. The coarse model is checked again when its
    initial states are there.
    """
    for place, (key, dt, system) in enumerate(_steps(config)):
        wanted = {"simulate"} if place == 0 else {"train", "evaluate"}
        if wanted & set(stages):
            check_time_step(key, dt, system, initially=place == 0)


def step_limits(config: Config) -> list[str]:
    """Return a line per time step of the config that says what it is and what is safe."""
    return [
        f"{key} = {dt:g}{' s' if limit.units == 's' else ''}; safe up to {limit}"
        for key, dt, system in _steps(config)
        if (limit := largest_safe_dt(system)) is not None
    ]


def online_key(config: Config) -> str:
    """Return what sets the time step of the free runs."""
    return "evaluation.dt" + (", by default truth.dt" if config.evaluation.dt is None else "")


def check_time_step(
    key: str, dt: float, system: Any, states: Any = None, initially: bool = False
) -> None:
    """Raise ConfigError, with the largest safe dt, if `dt` is above the limit of a system.

    `key`: the config's name of dt; `states`: stacked states [member, ...] whose fastest flow sets
    the limit; `initially`: the run begins with the system's initial state; see
    `subgrid.systems.failing_dt`. A system without `largest_dt` is not checked.
    """
    limit = failing_dt(system, states, initially)
    if limit is not None and dt > limit.seconds:
        unit = " s" if limit.units == "s" else ""
        raise ConfigError(
            f"{key}: got {dt:g}{unit}, above the stability limit; the largest safe step on this "
            f"grid is {largest_safe_dt(system, states)}"
        )


def _steps(config: Config) -> list[tuple[str, float, Any]]:
    """Return key, dt and system of the truth, then of the free runs."""
    truth = build_system(config)
    coarse = build_coarse_systems(config, truth)[0]
    online = build_online_system(config, coarse)
    found = [(model.name, model.stepped(config, coarse)) for model in config.models]
    finer = [
        (f"models.{name}.substeps: evaluation.dt / {each.substeps}", each.dt, each.system)
        for name, each in found
        if each.coarsener is not None
    ]
    return [
        ("truth.dt", config.truth.dt, truth),
        (online_key(config), config.coarse_dt, online),
        *finer,
    ]
