"""The tables of the report, as texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.evaluation.intervals import Interval
from subgrid.evaluation.observables import LEVEL_NAMES
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import OnlineScore
from subgrid.evaluation.style import Look

if TYPE_CHECKING:
    import xarray as xr

_KE = "kinetic_energy_spectrum"
_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_POOLED = ("mse", "pooled_relative_l2", "pooled_relative_spectral_l2", "r_squared", "correlation")


def online_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return spectral errors, reductions and blow-ups of every model, with intervals."""
    names = [
        f"{quantity}_{layer}" for quantity in (_KE, "enstrophy_spectrum") for layer in LEVEL_NAMES
    ]
    short = ("KE upper", "KE lower", "enstrophy upper", "enstrophy lower")
    columns = (
        "model",
        "networks",
        "members",
        "blown up",
        *(f"error {text}" for text in short),
        *(f"reduction {text}" for text in short[:2]),
    )
    rows = []
    for name, score in scores.items():
        rows.append(
            (
                styles[name].label,
                str(score.networks),
                str(score.members),
                f"{len(score.blow_ups)} of {score.runs}",
                *(_interval(score.errors[key]) for key in names),
                *(_percent(score.reductions.get(key)) for key in names[:2]),
            )
        )
    return ReportTable(
        "Online: free runs from held-out states",
        "Root-mean-square error of the spectra below the cut (KE in m³ s⁻², enstrophy in m s⁻²) "
        "and its reduction relative to no closure, with 95 % bootstrap intervals over members and "
        "networks.",
        columns,
        tuple(rows),
    )


def offline_table(
    offline: Mapping[str, Sequence["xr.Dataset"]], styles: Mapping[str, Look]
) -> ReportTable:
    """Return the offline scores of every closure, means over its networks."""
    rows = []
    for name, sets in offline.items():
        samples = {
            key: np.concatenate([data[key].values for data in sets])
            for key in ("relative_l2", "relative_spectral_l2")
        }
        means = {
            key: np.mean([data[key].values for data in sets], axis=0)
            for key in (
                "mse",
                "pooled_relative_l2",
                "pooled_relative_spectral_l2",
                "r_squared",
                "correlation",
            )
        }
        rows.append(
            (
                styles[name].label,
                _number(means["mse"]),
                _with_spread(samples["relative_l2"]),
                _number(means["pooled_relative_l2"]),
                _with_spread(samples["relative_spectral_l2"]),
                _number(means["pooled_relative_spectral_l2"]),
                *(_number(value) for value in means["r_squared"]),
                *(_number(value) for value in means["correlation"]),
                str(sum(int(data["masked_samples"]) for data in sets)),
            )
        )
    return ReportTable(
        "Offline: predicted against true forcing",
        "On held-out trajectories, in units of the variance of the true forcing; per sample as "
        "mean (standard deviation), and pooled over samples. Means over networks.",
        (
            "closure",
            "MSE",
            "relative ℓ2",
            "pooled",
            "relative spectral ℓ2",
            "pooled",
            "R² upper",
            "R² lower",
            "correlation upper",
            "correlation lower",
            "masked samples",
        ),
        tuple(rows),
    )


def similarity_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return the similarity scores, a row per quantity and a column per closure."""
    shown = {name: score for name, score in scores.items() if score.reductions}
    keys = list(next(iter(shown.values())).similarity) if shown else []
    return ReportTable(
        "Similarity to the truth",
        "1 is the truth, 0 as without a closure, negative worse. Wasserstein distances of values, "
        "then root-mean-square errors of spectra; means over networks.",
        ("quantity", *(styles[name].label for name in shown)),
        tuple(
            (key.replace("_", " "), *(f"{s.similarity[key]:.2f}" for s in shown.values()))
            for key in keys
        ),
    )


def cost_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return the time per step of every model; without rows if none was timed."""
    return ReportTable(
        "Cost",
        "One member, time per step in a compiled run; median of interleaved timings.",
        ("model", "time per step [ms]", "relative to the coarse model"),
        tuple(
            (styles[name].label, f"{1e3 * score.cost.seconds:.3g}", f"{score.cost.ratio:.3g}")
            for name, score in scores.items()
            if score.cost is not None
        ),
    )


def blow_up_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return one row per member that blew up, with its date."""
    return ReportTable(
        "Members that blew up",
        "A member that leaves its bounds or stops being finite is masked from then on.",
        ("model", "network", "member", "step", "days"),
        tuple(
            (styles[name].label, str(b.network), str(b.member), str(b.step), f"{b.days:.1f}")
            for name, score in scores.items()
            for b in score.blow_ups
        ),
    )


def _number(value: Any) -> str:
    """Return a number with three digits: 0.123, 4.56, 1.23·10⁻⁵."""
    value = float(value)
    if not np.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(_POWERS)}"


def _with_spread(values: Any) -> str:
    return f"{_number(np.mean(values))} ({_number(np.std(values))})" if len(values) else "-"


def _interval(value: Interval) -> str:
    if not np.isfinite(value.estimate):
        return "-"
    if not np.isfinite(value.low):
        return _number(value.estimate)
    return f"{_number(value.estimate)} [{_number(value.low)}, {_number(value.high)}]"


def _percent(value: Interval | None) -> str:
    if value is None or not np.isfinite(value.estimate):
        return "-"
    text = f"{100 * value.estimate:.0f} %"
    if not np.isfinite(value.low):
        return text
    return f"{text} [{100 * value.low:.0f}, {100 * value.high:.0f}]"
