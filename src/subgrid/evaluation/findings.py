"""What a run found, as its report takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from subgrid.evaluation.calibration import Calibration
from subgrid.evaluation.comparison import Comparison
from subgrid.evaluation.cost import Timing
from subgrid.evaluation.predictability import Gain, Predictability
from subgrid.evaluation.ranking import Ranked
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.separated_tables import SeparatedScores
from subgrid.evaluation.style import BASELINE
from subgrid.evaluation.survival import BlowUp, blow_ups

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

Records = Sequence[Mapping[str, Any]]  # of metrics.jsonl


@dataclass(frozen=True)
class RunInfo:
    """What a report says of the run besides its results.

    `facts`: groups of (label, value) under a heading each: preset, profile, seeds, commit, date,
    constants with units, sizes. `commands`: how to run it again. `labels`: model → name to show.
    `footer` follows the version and commit of subgrid at the end of the page.
    """

    title: str
    facts: Mapping[str, Mapping[str, str]]
    commands: Sequence[str]
    warnings: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    footer: str = ""


@dataclass(frozen=True)
class Snapshot:
    """One moment of the truth: a `field`, its `forcing` [level, y, x], each closure's output.

    All as `field` of the system gives them: of two-layer QG q (1/s) and S (1/s²).
    """

    field: "ArrayLike"
    forcing: "ArrayLike"
    predictions: Mapping[str, "ArrayLike"]


@dataclass(frozen=True)
class Findings:
    """The results of a run; what it did not look for is left at its default.

    `system`: the coarse system; `reference`, `runs`: see `score_online`, which made `scores` with
    the same `cut`; `offline`: closure → one dataset of `evaluate_offline` per network; `curves`,
    `tuning`: model → records of metrics.jsonl, of trainings offline and through the solver;
    `separated`: of the separated experiments; `variants`: scores under other settings of the coarse
    model, by name; `ranked`: the models of a search; `comparisons`, `timing`: see there;
    `configuration`: of the flow, if its published scorecard compares; `followed`: how long runs
    follow the truth, `gains`: of models over each other in that; `calibration`: of the noise.
    """

    system: Any
    reference: "xr.Dataset"
    runs: Mapping[str, Sequence["xr.Dataset"]]
    scores: Mapping[str, OnlineScore]
    cut: float
    offline: Mapping[str, Sequence["xr.Dataset"]] = field(default_factory=dict)
    curves: Mapping[str, Records] = field(default_factory=dict)
    tuning: Mapping[str, Records] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    separated: Sequence[SeparatedScores] = ()
    variants: Mapping[str, Mapping[str, OnlineScore]] = field(default_factory=dict)
    ranked: Sequence[Ranked] = ()
    comparisons: Sequence[Comparison] = ()
    timing: Timing | None = None
    configuration: str = ""
    followed: Mapping[str, Predictability] = field(default_factory=dict)
    gains: Sequence[Gain] = ()
    calibration: Calibration | None = None

    @property
    def compared(self) -> bool:
        """Whether free runs are shown.

        Not where separated experiments or a calibration are the matter and nothing ran but the
        coarse model alone.
        """
        return not ((self.separated or self.calibration) and set(self.scores) == {BASELINE})

    @property
    def lost(self) -> tuple[BlowUp, ...]:
        """The members whose truth is not finite."""
        return blow_ups([self.reference])

    @property
    def settings(self) -> dict[str, Mapping[str, OnlineScore]]:
        """The scores as configured and of every variant; empty without variants."""
        return {"as configured": self.scores, **self.variants} if self.variants else {}
