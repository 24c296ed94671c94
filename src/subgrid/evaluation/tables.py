"""The tables of the report, as texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from subgrid.evaluation.comparison import Comparison
from subgrid.evaluation.cost import NetworkSize, Timing
from subgrid.evaluation.forcing_statistics import work_error
from subgrid.evaluation.intervals import Interval, percent
from subgrid.evaluation.layers import SUPERSCRIPTS, keyed, of_layer, with_units
from subgrid.evaluation.offline import FILTER_BEGINS, channel_names
from subgrid.evaluation.report import ReportTable
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore, common_floor
from subgrid.evaluation.style import Look
from subgrid.evaluation.survival import BlowUp

if TYPE_CHECKING:
    import xarray as xr

FLOOR = "sampling floor"
_FILTERED = (
    f" Below the filter: of the scales up to {FILTER_BEGINS:g} of the Nyquist wavenumber, which it "
    "leaves alone. Energy added: relative error of the energy that the forcing gives to the flow, "
    "at the wavenumbers where the true one adds some (0 perfect, 1 as no closure)."
)
_POOLED = ("mse", "pooled_relative_l2", "pooled_relative_spectral_l2", "correlation")
_POOLED += ("r_squared", "r_squared_below_filter")


def online_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return blow-ups, spectral errors and their reductions of every model, with intervals."""
    columns, cells = ["model", "runs", "blown up", "members scored"], []
    for layer in _some(scores).layers:
        columns.append(of_layer("reduction", layer))
        values = [score.reductions.get(keyed(KE_SPECTRUM, layer)) for score in scores.values()]
        cells.append([interval_text(value, 0.01, "{:.0f}", " %") for value in values])
    heads, errors = _error_columns(scores, KE_SPECTRUM)
    firsts = [
        (
            styles[name].label,
            f"{score.networks} × {score.members}",
            f"{len(score.blow_ups)} of {score.runs}",
            members_scored(score),
        )
        for name, score in scores.items()
    ]
    firsts.append((FLOOR, "-", "-", "-"))
    cells = [[*column, "-"] for column in cells]
    rows = zip(firsts, zip(*cells, *errors, strict=True), strict=True)
    return ReportTable(
        "Online: free runs from held-out states",
        "Root-mean-square error of the kinetic energy spectrum below the cut and its reduction "
        f"relative to no closure, with {_level(scores)} bootstrap intervals over networks × "
        "members (runs). Scored are the members that survived with the model and without a "
        "closure: a reduction compares the same members on both sides. Sampling floor: the error "
        "expected of the truth's own statistics with other weather, over as many members. Near it "
        "intervals lie above their estimates: drawing members again adds sampling error.",
        (*columns, *heads),
        tuple((*first, *row) for first, row in rows),
    )


def enstrophy_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return the errors of the enstrophy spectra of every model, with intervals."""
    heads, errors = _error_columns(scores, "enstrophy_spectrum")
    firsts = [(styles[name].label, members_scored(score)) for name, score in scores.items()]
    rows = zip([*firsts, (FLOOR, "-")], zip(*errors, strict=True), strict=True)
    return ReportTable(
        "Online: enstrophy",
        "Root-mean-square error of the enstrophy spectrum below the cut, with "
        f"{_level(scores)} intervals.",
        ("model", "members scored", *heads),
        tuple((*first, *row) for first, row in rows),
    )


def _error_columns(
    scores: Mapping[str, OnlineScore], quantity: str
) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of a column per layer, in a power of ten common to the column.

    The last cell is the sampling floor.
    """
    heads, cells = [], []
    for layer in _some(scores).layers:
        key = keyed(quantity, layer)
        values = [score.errors[key] for score in scores.values()]
        exponent = _common_exponent([value.estimate for value in values])
        power = f"10{str(exponent).translate(SUPERSCRIPTS)}" if exponent else ""
        head, _, units = with_units("", _some(scores).units[quantity], power).partition(" ")
        units = f"{head}{units}".replace(" ", "\N{NO-BREAK SPACE}")
        heads.append(f"{of_layer('error', layer)} {units}".strip())
        unit = 10.0**exponent
        floor = common_floor(scores, key) / unit
        shown = f"{floor:.2f}" if np.isfinite(floor) else "-"
        cells.append([*(interval_text(value, unit, "{:.2f}") for value in values), shown])
    return heads, cells


def offline_table(
    offline: Mapping[str, Sequence["xr.Dataset"]], styles: Mapping[str, Look]
) -> ReportTable:
    """Return the offline scores of every closure, means over its networks."""
    rows, some = [], next(iter(offline.values()))[0]
    channels, filtered = " / ".join(channel_names(some)), "r_squared_below_filter" in some
    pooled = [key for key in _POOLED if key in some]
    for name, sets in offline.items():
        samples = {
            key: np.concatenate([data[key].values for data in sets])
            for key in ("relative_l2", "relative_spectral_l2")
        }
        means = {key: np.mean([data[key].values for data in sets], axis=0) for key in pooled}
        masked = sum(int(data["masked_samples"]) for data in sets)
        total = masked + sum(data.sizes["sample"] for data in sets)
        rows.append(
            (
                styles[name].label,
                number(means["mse"]),
                _with_spread(samples["relative_l2"]),
                number(means["pooled_relative_l2"]),
                _with_spread(samples["relative_spectral_l2"]),
                number(means["pooled_relative_spectral_l2"]),
                pair(means["r_squared"]),
                *([pair(means["r_squared_below_filter"])] if filtered else []),
                pair(means["correlation"]),
                *([mean_work_error(sets)] if filtered else []),
                f"{masked} of {total}" if masked else "0",
            )
        )
    return ReportTable(
        "Offline: predicted against true forcing",
        "On held-out trajectories, in units of the variance of the true forcing; per sample as "
        "mean (standard deviation), and pooled over samples. Means over networks."
        + (_FILTERED if filtered else ""),
        (
            "closure",
            "MSE",
            "relative ℓ2",
            "pooled",
            "relative spectral ℓ2",
            "pooled",
            f"R², {channels}",
            *(["R² below the filter"] if filtered else []),
            "correlation",
            *(["error of energy added"] if filtered else []),
            "masked",
        ),
        tuple(rows),
    )


def variants_table(
    variants: Mapping[str, Mapping[str, OnlineScore]], styles: Mapping[str, Look]
) -> ReportTable:
    """Return the errors of every model under each setting of the coarse model."""
    some = _some(next(iter(variants.values())))
    quantities = [keyed(KE_SPECTRUM, layer) for layer in some.layers]
    what = "Root-mean-square error of the kinetic energy spectrum"
    if len(some.layers) > 1:
        what += f", {' / '.join(some.layers)} layer"

    def cell(score: OnlineScore) -> str:
        errors = " / ".join(number(score.errors[name].estimate) for name in quantities)
        lost = len(score.blow_ups)
        return f"{errors} ({lost} of {score.runs} blew up)" if lost else errors

    names = list(next(iter(variants.values())))
    return ReportTable(
        "Online: under other settings of the coarse model",
        f"{with_units(what, some.units[KE_SPECTRUM])}.",
        ("closure", *variants),
        tuple(
            (styles[name].label, *(cell(scores[name]) for scores in variants.values()))
            for name in names
        ),
    )


def comparison_table(comparisons: Sequence[Comparison], styles: Mapping[str, Look]) -> ReportTable:
    """Return a row per pair of a multiscale model and another: errors and costs as ratios."""
    labels = {name: look.label for name, look in styles.items()}
    return ReportTable(
        "Multiscale against single scale",
        "Error of the kinetic energy spectrum of the multiscale model over that of the other, with "
        f"its {percent(comparisons[0].model.level)} bootstrap interval: below 1 the multiscale "
        "model is nearer to the truth. "
        "Over the members that every network of both survived, drawn together; the networks of "
        "each are drawn on their own. Cost: ratio of the times per step.",
        (
            "multiscale / other",
            "members",
            "networks",
            "updates per network",
            *(of_layer("error ratio", layer) for layer in comparisons[0].ratios),
            "cost ratio",
            "finding",
        ),
        tuple(
            (
                f"{labels[one.model.name]} / {labels[one.other.name]}",
                str(one.members),
                f"{one.model.networks} / {one.other.networks}",
                " / ".join(", ".join(map(str, updates)) for updates in one.budgets or ()) or "-",
                *(interval_text(ratio, 1.0, "{:.2f}") for ratio in one.ratios.values()),
                "-" if one.cost is None else f"{one.cost:.2g}",
                one.finding(labels),
            )
            for one in comparisons
        ),
    )


def similarity_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return the similarity scores, a row per quantity and a column per closure."""
    shown = {name: score for name, score in scores.items() if score.reductions}
    keys = list(next(iter(shown.values())).similarity) if shown else []
    return ReportTable(
        "Similarity to the truth",
        "1 is the truth, 0 as without a closure, negative worse. Wasserstein distances of values, "
        "then root-mean-square errors of spectra; means over networks. The distances with and "
        "without the closure are those of the same members.",
        ("quantity", *(head(score, styles[name]) for name, score in shown.items())),
        tuple(
            (key.replace("_", " "), *(fixed(s.similarity[key]) for s in shown.values()))
            for key in keys
        ),
    )


def relative_table(scores: Mapping[str, OnlineScore], styles: Mapping[str, Look]) -> ReportTable:
    """Return the errors of every model in units of the truth, see `relative_errors`."""
    return ReportTable(
        "Online: errors in units of the truth",
        "0 is the truth. Wasserstein distance of the values over their root-mean-square, mean over "
        "five quantities and two layers; root-mean-square error of energy spectra and fluxes over "
        "that of the truth's below the cut, mean over four. Eddy velocities. Means over networks. "
        "After Perezhogin et al. 2023, whose numbers are over more snapshots, all wavenumbers and "
        "other rings.",
        ("model", "members scored", "values", "spectra"),
        ()
        if not any(score.relative for score in scores.values())
        else tuple(
            (
                styles[name].label,
                members_scored(score),
                number(score.relative.get("values", np.nan)),
                number(score.relative.get("spectra", np.nan)),
            )
            for name, score in scores.items()
        ),
    )


def cost_table(
    scores: Mapping[str, OnlineScore], styles: Mapping[str, Look], timing: Timing
) -> ReportTable:
    """Return the times of every model and the size of its network; no rows if none was timed."""
    sizes = timing.networks
    timed = {name: score.cost for name, score in scores.items() if score.cost is not None}
    return ReportTable(
        "Cost",
        f"One member, time per step of the coarse model ({timing.step}) in a compiled run on "
        f"{timing.device}; median of interleaved timings."
        + (" Operations of a network: two per multiply-add, on its own grid." if sizes else ""),
        (
            "model",
            "time per step [ms]",
            "relative to the coarse model",
            f"time per {timing.length} [ms]",
            *(("weights", "kFLOP per cell and step") if sizes else ()),
        ),
        tuple(
            (
                styles[name].label,
                f"{1e3 * cost.seconds:.3g}",
                f"{cost.ratio:.3g}",
                number(1e3 * cost.per_unit(timing.dt, timing.unit)),
                *(_size(sizes.get(name)) if sizes else ()),
            )
            for name, cost in timed.items()
        ),
    )


def _size(size: NetworkSize | None) -> tuple[str, str]:
    return ("-", "-") if size is None else (f"{size.weights:,}", number(size.operations / 1e3))


def blow_up_table(
    scores: Mapping[str, OnlineScore],
    styles: Mapping[str, Look],
    truth: Sequence[BlowUp] = (),
) -> ReportTable:
    """Return one row per member that blew up, with its date; `truth`: its members not finite."""
    lost = {"truth (not finite)": truth}
    lost |= {styles[name].label: score.blow_ups for name, score in scores.items()}
    units = next((b.units for found in lost.values() for b in found), "days")
    return ReportTable(
        "Members that blew up",
        "A member that leaves its bounds or stops being finite is masked from then on. Steps are "
        "those of the model, of which one on a finer grid may take several for each of the others.",
        ("model", "network", "member", "step", "days" if units == "days" else "time"),
        tuple(
            (label, str(b.network), str(b.member), str(b.step), f"{b.time:.1f}")
            for label, found in lost.items()
            for b in found
        ),
    )


def _some(scores: Mapping[str, OnlineScore]) -> OnlineScore:
    """Return one of the scores, for what they have in common."""
    return next(iter(scores.values()))


def members_scored(score: OnlineScore) -> str:
    """Return how many of the runs are scored, in words."""
    return f"{score.scored_runs} of {score.runs}"


def head(score: OnlineScore, look: Look) -> str:
    """Return the head of a model's column, with its members where some are not scored."""
    whole = score.scored_runs == score.runs
    return look.label if whole else f"{look.label} ({members_scored(score)} members)"


def _level(scores: Mapping[str, OnlineScore]) -> str:
    """Return the confidence level of the intervals in words."""
    return percent(_some(scores).level)


def number(value: Any) -> str:
    """Return a number with three digits: 0.123, 4.56, 1.23·10⁻⁵."""
    value = float(value)
    if not np.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def _with_spread(values: Any) -> str:
    return f"{number(np.mean(values))} ({number(np.std(values))})" if len(values) else "-"


def interval_text(value: Interval | None, unit: float, form: str, after: str = "") -> str:
    """Return an estimate and its interval in multiples of `unit`."""
    if value is None or not np.isfinite(value.estimate):
        return "-"
    estimate, low, high = (form.format(x / unit) for x in value[:3])
    known = np.isfinite([value.low, value.high]).all()
    return (f"{estimate} [{low}, {high}]" if known else estimate) + after


def _common_exponent(values: list[float]) -> int:
    """Return the power of ten that makes the largest value lie between 1 and 1000, in threes."""
    finite = [abs(v) for v in values if np.isfinite(v) and v != 0]
    return 3 * int(np.floor(np.log10(max(finite)) / 3)) if finite else 0


def mean_work_error(sets: Sequence["xr.Dataset"]) -> str:
    """Return the mean over networks of the error of the energy added; a dash where not known.

    From the spectra, which stores of older runs have without the error.
    """
    known = [work_error(data["work_spectrum"].values) for data in sets if "work_spectrum" in data]
    return fixed(np.mean(known)) if known else "-"


def pair(values: Any) -> str:
    """Return the numbers of the layers, or of the channels, with two decimals."""
    return " / ".join(fixed(value) for value in values)


def fixed(value: Any) -> str:
    """Return a number with two decimals, a dash where there is none."""
    return f"{float(value):.2f}" if np.isfinite(value) else "-"
