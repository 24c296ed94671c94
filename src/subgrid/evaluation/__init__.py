"""How good a closure is: offline and online scores, confidence intervals, plots, the report."""

from subgrid.evaluation.assemble import assemble_report
from subgrid.evaluation.calibration import Calibration, Level
from subgrid.evaluation.compare import compare
from subgrid.evaluation.comparison import Comparison, compare_online
from subgrid.evaluation.cost import NetworkSize, StepCost, Timing, step_cost
from subgrid.evaluation.findings import Findings, RunInfo, Snapshot
from subgrid.evaluation.forcing_statistics import (
    ForcingSums,
    forcing_dataset,
    forcing_sums,
    join_forcing_sums,
)
from subgrid.evaluation.intervals import Interval, bootstrap_interval
from subgrid.evaluation.metric_choice import METRICS
from subgrid.evaluation.metrics import AbstractDistance, AbstractMeanMetric, AbstractMetric
from subgrid.evaluation.observers import (
    AbstractObserver,
    CoarsenedObserver,
    ModelObserver,
    StateObserver,
    require_quantities,
    state_of,
)
from subgrid.evaluation.offline import (
    SampleSums,
    channel_names,
    evaluate_offline,
    join_sums,
    offline_scores,
    sample_sums,
)
from subgrid.evaluation.online import fine_runs, free_runs
from subgrid.evaluation.plan import RunPlan
from subgrid.evaluation.predictability import (
    START_FRAME,
    START_TRAJECTORY,
    Gain,
    Predictability,
    decorrelation_times,
    energy_errors,
    gain_over,
    gains,
    predictability_record,
    score_predictability,
)
from subgrid.evaluation.published import scorecard, scorecard_setting
from subgrid.evaluation.ranking import Ranked, ranking
from subgrid.evaluation.report import (
    ReportData,
    markdown_files,
    plain_markdown,
    render_html,
    render_markdown,
    write_markdown,
    write_report,
)
from subgrid.evaluation.scores import OnlineScore, score_online
from subgrid.evaluation.separated_tables import SeparatedScores
from subgrid.evaluation.similarity import (
    distances,
    filter_cut,
    relative_errors,
    similarity,
    spectral_rmse,
    two_thirds_cut,
    wasserstein,
)
from subgrid.evaluation.statistics import reference_statistics
from subgrid.evaluation.survival import BlowUp, TimeUnit, blow_ups, date, first_date, time_unit
from subgrid.evaluation.verdicts import REMARKED, json_number, outcome, score_record, verdict

__all__ = [
    "METRICS",
    "REMARKED",
    "START_FRAME",
    "START_TRAJECTORY",
    "AbstractDistance",
    "AbstractMeanMetric",
    "AbstractMetric",
    "AbstractObserver",
    "BlowUp",
    "Calibration",
    "CoarsenedObserver",
    "Comparison",
    "Findings",
    "ForcingSums",
    "Gain",
    "Interval",
    "Level",
    "ModelObserver",
    "NetworkSize",
    "OnlineScore",
    "Predictability",
    "Ranked",
    "ReportData",
    "RunInfo",
    "RunPlan",
    "SampleSums",
    "SeparatedScores",
    "Snapshot",
    "StateObserver",
    "StepCost",
    "TimeUnit",
    "Timing",
    "assemble_report",
    "blow_ups",
    "bootstrap_interval",
    "channel_names",
    "compare",
    "compare_online",
    "date",
    "decorrelation_times",
    "distances",
    "energy_errors",
    "evaluate_offline",
    "filter_cut",
    "fine_runs",
    "first_date",
    "forcing_dataset",
    "forcing_sums",
    "free_runs",
    "gain_over",
    "gains",
    "join_forcing_sums",
    "join_sums",
    "json_number",
    "markdown_files",
    "offline_scores",
    "outcome",
    "plain_markdown",
    "predictability_record",
    "ranking",
    "reference_statistics",
    "relative_errors",
    "render_html",
    "render_markdown",
    "require_quantities",
    "sample_sums",
    "score_online",
    "score_predictability",
    "score_record",
    "scorecard",
    "scorecard_setting",
    "similarity",
    "spectral_rmse",
    "state_of",
    "step_cost",
    "time_unit",
    "two_thirds_cut",
    "verdict",
    "wasserstein",
    "write_markdown",
    "write_report",
]
