"""The metrics by name, ours and those of others, and which of them fit a comparison."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from subgrid.evaluation.metrics import AbstractDistance, AbstractMetric
from subgrid.registry import Registry

if TYPE_CHECKING:
    import xarray as xr

METRICS = Registry(
    "metric",
    {
        "spectral_error": "subgrid.evaluation.metric_spectra:SpectralError",
        "wasserstein": "subgrid.evaluation.metric_values:Wasserstein",
        "spectral_distance": "subgrid.evaluation.metric_spectra:SpectralDistance",
        "relative_error": "subgrid.evaluation.metric_relative:RelativeErrors",
        "decorrelation_time": "subgrid.evaluation.metric_lead:DecorrelationTime",
        "lasting": "subgrid.evaluation.metric_lead:Lasting",
        "skilful_lead": "subgrid.evaluation.metric_lead:SkilfulLead",
        "series_error": "subgrid.evaluation.metric_lead:SeriesError",
        "rmse": "subgrid.evaluation.metric_lead:LeadError",
        "mean_error": "subgrid.evaluation.metric_climate:MeanError",
        "variability_error": "subgrid.evaluation.metric_climate:VariabilityError",
        "crps": "subgrid.evaluation.metric_ensembles:CRPS",
        "spread_skill": "subgrid.evaluation.metric_ensembles:SpreadSkill",
        "rank_histogram": "subgrid.evaluation.metric_ensembles:RankHistogram",
    },
)

Metrics = Iterable[str | AbstractMetric | AbstractDistance]


def chosen_metrics(
    metrics: Metrics | None, truth: "xr.Dataset", system: Any = None, cut: float | None = None
) -> list[AbstractMetric | AbstractDistance]:
    """Return the metrics by name or object; None: all that fit the truth, and the system if given.

    Runs of a system that is not said to follow its truth are compared by their statistics alone.
    """
    wanted = list(METRICS.names() if metrics is None else metrics)
    made = [_made(METRICS.get(one) if isinstance(one, str) else one, system, cut) for one in wanted]
    known = [metric for metric in made if metric is not None]
    if metrics is None and system is not None and not system.follows_truth:
        known = [m for m in known if not getattr(m, "against_start", False)]
    return known


def _made(metric: Any, system: Any, cut: float | None) -> Any:
    """Return a metric, made for the system if it is given as a class."""
    if not isinstance(metric, type):
        return metric
    if hasattr(metric, "of_system"):
        return metric.of_system(system, cut)
    return metric()
