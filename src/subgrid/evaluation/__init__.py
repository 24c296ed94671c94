"""How good a closure is: offline and online scores, confidence intervals, plots, the report."""

from subgrid.evaluation.assemble import assemble_report
from subgrid.evaluation.calibration import Calibration, Level
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
from subgrid.evaluation.observers import CoarsenedObserver, ModelObserver, require_quantities
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
from subgrid.registry import Registry

_OFFLINE, _SIMILAR = "subgrid.evaluation.offline", "subgrid.evaluation.similarity"
_FORCING = "subgrid.evaluation.forcing_statistics"

METRICS = Registry(
    "metric",
    {
        "mse": f"{_OFFLINE}:mse",
        "relative_l2": f"{_OFFLINE}:relative_l2",
        "pooled_relative_l2": f"{_OFFLINE}:pooled_relative_l2",
        "relative_spectral_l2": f"{_OFFLINE}:relative_spectral_l2",
        "pooled_relative_spectral_l2": f"{_OFFLINE}:pooled_relative_spectral_l2",
        "r_squared": f"{_OFFLINE}:r_squared",
        "r_squared_below_filter": f"{_OFFLINE}:r_squared_below_filter",
        "correlation": f"{_OFFLINE}:correlation",
        "r_squared_of_samples": f"{_OFFLINE}:r_squared_of_samples",
        "correlation_of_samples": f"{_OFFLINE}:correlation_of_samples",
        "r_squared_map": f"{_FORCING}:r_squared_map",
        "correlation_map": f"{_FORCING}:correlation_map",
        "power_spectra": f"{_FORCING}:power_spectra",
        "cross_layer_spectra": f"{_FORCING}:cross_layer_spectra",
        "work_spectra": f"{_FORCING}:work_spectra",
        "work_error": f"{_FORCING}:work_error",
        "densities": f"{_FORCING}:densities",
        "spectral_rmse": f"{_SIMILAR}:spectral_rmse",
        "wasserstein": f"{_SIMILAR}:wasserstein",
        "similarity": f"{_SIMILAR}:similarity",
        "relative_errors": f"{_SIMILAR}:relative_errors",
        "decorrelation_times": "subgrid.evaluation.predictability:decorrelation_times",
        "energy_errors": "subgrid.evaluation.predictability:energy_errors",
        "blow_ups": "subgrid.evaluation.survival:blow_ups",
        "step_cost": "subgrid.evaluation.cost:step_cost",
    },
)

__all__ = [
    "METRICS",
    "REMARKED",
    "START_FRAME",
    "START_TRAJECTORY",
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
    "StepCost",
    "TimeUnit",
    "Timing",
    "assemble_report",
    "blow_ups",
    "bootstrap_interval",
    "channel_names",
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
    "step_cost",
    "time_unit",
    "two_thirds_cut",
    "verdict",
    "wasserstein",
    "write_markdown",
    "write_report",
]
