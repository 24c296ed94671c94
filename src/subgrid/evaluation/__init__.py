"""How good a model is: free runs, one table of scores by metrics, offline scores, the report."""

from subgrid.evaluation.assemble import assemble_report
from subgrid.evaluation.compare import compare
from subgrid.evaluation.components import in_system_order
from subgrid.evaluation.cost import NetworkSize, StepCost, Timing, step_cost
from subgrid.evaluation.findings import Findings, Part, RunInfo, Snapshot
from subgrid.evaluation.forcing_statistics import (
    ForcingSums,
    forcing_dataset,
    forcing_sums,
    join_forcing_sums,
)
from subgrid.evaluation.intervals import Interval, bootstrap_interval
from subgrid.evaluation.metric_choice import METRICS
from subgrid.evaluation.metric_spectra import filter_cut, spectral_rmse, two_thirds_cut
from subgrid.evaluation.metric_values import wasserstein
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
from subgrid.evaluation.published import scorecard, scorecard_setting
from subgrid.evaluation.record import (
    followed_record,
    gain_record,
    offline_record,
    pair_record,
    score_record,
)
from subgrid.evaluation.report import (
    ReportData,
    Section,
    Table,
    markdown_files,
    plain_markdown,
    render_html,
    render_markdown,
    section,
    write_markdown,
    write_report,
)
from subgrid.evaluation.starts import START, START_FRAME, START_TRAJECTORY
from subgrid.evaluation.statistics import reference_statistics
from subgrid.evaluation.survival import BlowUp, TimeUnit, blow_ups, date, first_date, time_unit
from subgrid.evaluation.table import followed, interval, with_costs
from subgrid.evaluation.verdicts import REMARKED, outcome, verdict

__all__ = [
    "METRICS",
    "REMARKED",
    "START",
    "START_FRAME",
    "START_TRAJECTORY",
    "AbstractDistance",
    "AbstractMeanMetric",
    "AbstractMetric",
    "AbstractObserver",
    "BlowUp",
    "CoarsenedObserver",
    "Findings",
    "ForcingSums",
    "Interval",
    "ModelObserver",
    "NetworkSize",
    "Part",
    "ReportData",
    "RunInfo",
    "RunPlan",
    "SampleSums",
    "Section",
    "Snapshot",
    "StateObserver",
    "StepCost",
    "Table",
    "TimeUnit",
    "Timing",
    "assemble_report",
    "blow_ups",
    "bootstrap_interval",
    "channel_names",
    "compare",
    "date",
    "evaluate_offline",
    "filter_cut",
    "fine_runs",
    "first_date",
    "followed",
    "followed_record",
    "forcing_dataset",
    "forcing_sums",
    "free_runs",
    "gain_record",
    "in_system_order",
    "interval",
    "join_forcing_sums",
    "join_sums",
    "markdown_files",
    "offline_record",
    "offline_scores",
    "outcome",
    "pair_record",
    "plain_markdown",
    "reference_statistics",
    "render_html",
    "render_markdown",
    "require_quantities",
    "sample_sums",
    "score_record",
    "scorecard",
    "scorecard_setting",
    "section",
    "spectral_rmse",
    "state_of",
    "step_cost",
    "time_unit",
    "two_thirds_cut",
    "verdict",
    "wasserstein",
    "with_costs",
    "write_markdown",
    "write_report",
]
