"""The sections that every experiment has: the truth, the coarse grids, the data, the evaluation."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, Strict, StrictBool, model_validator

from subgrid.config.builders import (
    build_coarseners,
    build_online_system,
    build_target,
    cells_of,
    value_count,
)
from subgrid.config.names import shipped
from subgrid.config.section import Name, Parts, Section, check, keyed, naming
from subgrid.config.training import is_whole
from subgrid.config.values import Constant, Count, CountOrZero, Positive, Sizes
from subgrid.errors import ConfigError
from subgrid.numbers import LARGEST_COUNT, fewest_draws

if TYPE_CHECKING:
    from subgrid.config.settings import Config


class TruthConfig(Section):
    """The fine run that counts as the truth.

    `dt` in the system's unit of time: seconds, or none where it is dimensionless. A trajectory is
    `spinup_steps` steps that are thrown away, then `frames` frames that lie `save_every` steps
    apart. `nx`, `ny` and `configuration`, where they are given, and `constants` are passed to the
    system, which says what it takes.
    """

    named: ClassVar[Mapping[str, str]] = {"system": "system"}

    system: str
    configuration: str | None = None
    nx: Count | None = None
    ny: Count | None = None
    dt: Positive
    spinup_steps: CountOrZero
    frames: Count
    save_every: Count
    constants: dict[str, Constant] = Field(default_factory=dict)

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> tuple[str, ...]:
        """Return what the system is to be cited with."""
        return getattr(shipped("system", self.system), "citations", ())

    @check
    def _steps_count(self, config: "Config", key: str) -> Iterator[str]:
        frames = max(self.frames, config.data.test_frames or 0)
        steps = self.spinup_steps + frames * self.save_every
        if steps > LARGEST_COUNT:
            yield (
                f"{key}: spinup_steps and frames * save_every make {steps} steps; must be at most "
                f"{LARGEST_COUNT}, what 32 bits count"
            )

    def build(self, parts: Parts, key: str) -> None:
        """Raise unless states and tendencies of a system of the user's are what it says of them."""
        from subgrid.systems import check_table

        if not parts.shipped:
            for system in (parts.system, *parts.coarse):
                with keyed(f"{key}.system"):
                    check_table(system)


class CoarseConfig(Section):
    """The coarse grids, finest first, and how a fine state becomes a coarse one.

    Each size is the number of cells along x. The closure acts on the first size. `target`: what
    the closures learn: the difference of two tendencies; with "step" what one step of the coarse
    model, of evaluation.dt, misses of the truth's steps in that time, per time; or your own.
    """

    named: ClassVar[Mapping[str, str]] = {"operator": "coarsener", "target": "target"}
    renamed: ClassVar[Mapping[str, str]] = {"forcing": "target"}

    sizes: Sizes
    operator: str = "operator1"
    target: str = "tendency"

    @check
    def _sizes_decrease(self, config: "Config", key: str) -> Iterator[str]:
        if any(fine <= small for fine, small in itertools.pairwise(self.sizes)):
            yield f"{key}.sizes: got {list(self.sizes)}; must decrease, finest first"

    def build(self, parts: Parts, key: str) -> None:
        """Build the coarsening; raises ConfigError for sizes and targets that do not exist."""
        whole = value_count(parts.system)
        for size, system in zip(self.sizes, parts.coarse, strict=True):
            if (count := value_count(system)) >= whole:
                raise ConfigError(
                    f"{key}.sizes: got {size}; must be smaller than the truth: a state of it has "
                    f"{count} values, one of the truth {whole}"
                )
        build_coarseners(parts.config, parts.system, parts.coarse)
        target = build_target(parts.config)
        with naming(f"{key}.target = {self.target!r}"):
            target.check(parts.system, parts.config.truth.dt)


class TrajectoryCounts(Section):
    """How many truth trajectories each split has; no trajectory is in two splits.

    `train` and `validation` may be 0 where nothing is trained.
    """

    train: CountOrZero
    validation: CountOrZero
    test: Count


class DataConfig(Section):
    """How much truth is simulated, and how many frames are computed and written at once.

    A test trajectory has `test_frames` frames (as many as the others unless given), since the free
    runs of the evaluation are compared with it. `store_flux` adds the subgrid forcing as a flux, of
    QG `q_flux_x` and `q_flux_y`, to the data (systems with `advective_flux` only); no stage of a
    run needs it.
    """

    trajectories: TrajectoryCounts
    segment_frames: Count = 16
    test_frames: Count | None = None
    store_flux: StrictBool = False

    @check
    def _splits_suffice(self, config: "Config", key: str) -> Iterator[str]:
        trained = [where for where, section in config.sections() if section.trainings(where)]
        for split in ("train", "validation"):
            if trained and getattr(self.trajectories, split) == 0:
                yield (
                    f"{key}.trajectories.{split}: got 0; must be at least 1, since there are "
                    f"networks to train ({', '.join(trained)})"
                )

    def build(self, parts: Parts, key: str) -> None:
        """Raise ConfigError for fluxes that the system has not."""
        needed = ("advective_flux", "advected")
        if self.store_flux and not all(hasattr(parts.system, name) for name in needed):
            raise ConfigError(
                f"{key}.store_flux: got true; the flux form exists for systems that have "
                f"`advective_flux` and name the variable that is `advected`, and "
                f"{parts.config.truth.system!r} does not"
            )


class VariantConfig(Section):
    """Other `constants` of the coarse model for a second set of free runs, under a `name`."""

    name: Name
    constants: dict[str, Constant]


class EvaluationConfig(Section):
    """The offline and the online test on the held-out trajectories.

    Online: each of `members` free runs takes `steps` steps of `dt` (in the unit of the truth's, and
    that where none is given), saved every `save_every` steps; it is compared with the test
    trajectory that it starts from, so it cannot last longer. `starts`: "first" frame of a
    trajectory of its own, or "random" frames drawn by the seed, as many in each trajectory as in
    every other. Spectra are averaged from step `average_from` on (the second half unless given) and
    compared up to `cut`, a fraction of the Nyquist wavenumber; `snapshots` states are kept for the
    distributions. `draws`: runs from each of the initial states, which differ by their random
    numbers alone, for closures that draw.
    Intervals come from `bootstrap` resamples at confidence `level`. `constants` change the coarse
    system of the free runs only, for example its `filter_sharpness`. Each entry of `variants`
    repeats the free runs of all models with further changes, such as a sharper filter. `metrics`:
    your own, as "module:Class", beside those that fit the system.
    """

    named: ClassVar[Mapping[str, str]] = {"metrics": "metric"}

    steps: Count
    save_every: Count
    members: Count = 1
    draws: Count = 1
    starts: Literal["first", "random"] = "first"
    dt: Positive | None = None
    average_from: CountOrZero | None = None
    snapshots: Count = 10
    samples: Count = 256
    cut: Annotated[float, Field(gt=0.0, le=1.0)] = 2.0 / 3.0
    bootstrap: Annotated[Count, Field(le=1_000_000)] = 1000
    level: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    constants: dict[str, Constant] = Field(default_factory=dict)
    variants: Annotated[tuple[VariantConfig, ...], Strict(False)] = ()
    metrics: Annotated[tuple[str, ...], Strict(False)] = ()

    @model_validator(mode="after")
    def _frames_fit(self) -> "EvaluationConfig":
        if self.steps < self.save_every:
            raise ValueError(
                f"steps = {self.steps} must be at least save_every = {self.save_every}, or no "
                "frame is saved"
            )
        if self.bootstrap < (least := fewest_draws(self.level)):
            raise ValueError(
                f"bootstrap = {self.bootstrap} must be at least {least} at level = {self.level:g}, "
                "so that a resample lies beyond each end of an interval"
            )
        return self

    @check
    def _members_fit(self, config: "Config", key: str) -> Iterator[str]:
        tests = config.data.trajectories.test
        if self.starts == "first" and self.members > tests:
            yield (
                f"{key}.members: got {self.members}; must be at most data.trajectories.test = "
                f"{tests}: each member has a test trajectory of its own "
                f'({key}.starts = "random" shares them)'
            )

    @check
    def _steps_fit(self, config: "Config", key: str) -> Iterator[str]:
        if self.steps % self.save_every:
            yield (
                f"{key}.steps: got {self.steps}; must be a multiple of {key}.save_every = "
                f"{self.save_every}"
            )
        if self.average_from is not None and self.average_from >= self.steps:
            yield (
                f"{key}.average_from: got {self.average_from}; must be below {key}.steps = "
                f"{self.steps}"
            )

    @check
    def _names_differ(self, config: "Config", key: str) -> Iterator[str]:
        for name, times in Counter(variant.name for variant in self.variants).items():
            if name == "calibration":
                yield f"{key}.variants: got {name!r}, which has a meaning of its own; rename it"
            if times > 1:
                yield (
                    f"{key}.variants: the name {name!r} is used {times} times; every variant needs "
                    "its own"
                )

    @check
    def _frames_exist(self, config: "Config", key: str) -> Iterator[str]:
        between, frames = self.save_every * config.coarse_dt, config.test_frames
        if not is_whole(between / config.frame):
            yield (
                f"{key}.save_every: free runs save every {between:g}; must be a whole multiple of "
                f"the truth's {config.frame:g} (truth.save_every * truth.dt)"
            )
            return
        longest = (frames - 1) // config.reference_stride * self.save_every
        if self.steps > longest:
            yield (
                f"{key}.steps: got {self.steps}; must be at most {longest}, the length of a test "
                f"trajectory of {frames} frames (make data.test_frames larger for longer runs)"
            )

    def build(self, parts: Parts, key: str) -> None:
        """Build the coarse systems of all free runs, which must be observed in some way."""
        from subgrid.evaluation import require_quantities

        with naming("truth.system"):
            require_quantities(parts.coarse[0])
        for variant in (None, *self.variants):
            build_online_system(parts.config, parts.coarse[0], variant)

    def trace(self, parts: Parts, key: str) -> None:
        """Raise ConfigError unless spectra, if there are any, have a wavenumber below `cut`."""
        domain: Any = parts.coarse[0].domain
        if not domain.has_spectrum:
            return
        wavenumbers, _ = domain.isotropic_spectrum(np.zeros(domain.spectral_shape))
        if self.cut * domain.nyquist <= wavenumbers[0]:
            raise ConfigError(
                f"{key}.cut: got {self.cut:g}; must be above "
                f"{wavenumbers[0] / domain.nyquist:.3g} on {cells_of(parts.coarse[0])} cells, or "
                "spectra are compared at no wavenumber"
            )
