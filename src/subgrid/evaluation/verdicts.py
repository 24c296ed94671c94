"""What a table of scores says of its models: as a word and as a sentence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from subgrid.evaluation import table as scores
from subgrid.evaluation.components import all_components, in_words, with_article
from subgrid.evaluation.intervals import Interval, fewest_members, percent
from subgrid.evaluation.survival import first_date

if TYPE_CHECKING:
    import xarray as xr

REMARKED = "†"  # follows the name of a model of whose training something is to be said


def verdict(table: "xr.Dataset", model: str) -> str:
    """Return the sentence that says what a model did to the headline score, at what cost.

    A change is claimed only where the confidence interval excludes zero. The sentence of a model
    with members that blew up begins with "is unstable" and speaks of the others. What is to be
    said of its training follows. Where runs are followed by their truth it says for how long.
    """
    judged = _followed(table, model) if scores.followed(table) else _judgement(table, model)
    return judged + _training(table, model)


def error_verdict(table: "xr.Dataset", model: str) -> str:
    """Return the sentence on the error of a model, also where verdicts say how long runs last."""
    return _judgement(table, model) + _training(table, model)


def _training(table: "xr.Dataset", model: str) -> str:
    said = scores.remark(table, model)
    return f" Training: {said}." if said else ""


def outcome(table: "xr.Dataset", model: str) -> str:
    """Return "better", "worse", "unclear", "unstable" or "baseline" for a model.

    Better or worse: the gain of some component has an interval on that side of nothing gained, and
    none on the other; unstable: at least one run blew up.
    """
    if scores.counted_blow_ups(table, model):
        return "unstable"
    if model == table.attrs["baseline"]:
        return "baseline"
    headline = scores.headline(table)
    gains = list(_gains(table, model, headline).values())
    nothing = 1.0 if table[headline[0]].attrs["best"] == "high" else 0.0
    clear = [gain.low > nothing for gain in gains if gain.excludes(nothing)]
    if not clear or (any(clear) and not all(clear)):
        return "unclear"
    return "better" if all(clear) else "worse"


def summary(table: "xr.Dataset") -> str:
    """Return the sentence at the head of a report: how many models are better, how many blew up."""
    names = scores.models(table)
    compared = [name for name in names if name != table.attrs["baseline"]]
    better = sum(outcome(table, name) == "better" for name in compared)
    dead = sum(len(scores.counted_blow_ups(table, name)) for name in names)
    runs = sum(scores.counted_runs(table, name) for name in names)
    lost = f"{dead} of {runs} runs blew up."
    if scores.followed(table):
        count, enough = table.attrs["trajectories"], scores.is_sure(table)
        sure = "beyond chance" if enough else "however these are drawn (too few to exclude chance)"
        return (
            f"{better} of {len(compared)} models follow the truth longer than the coarse model "
            f"alone, {sure}, in free runs from held-out states of {count} trajectories; {lost}"
        )
    members, quantity = fewest_scored(table), scores.headline(table)[1]
    enough = bool(compared) and members >= fewest_members(table.attrs["level"])
    sure = "beyond chance" if enough else f"over all {members} members scored"
    return (
        f"{better} of {len(compared)} models reduced the error of {with_article(quantity)} "
        f"{sure} in free runs from held-out states; {lost}"
    )


def fewest_scored(table: "xr.Dataset") -> int:
    """Return the members behind the scores of the stable model that has the fewest of them."""
    counts = {
        name: int(scores.scored(table, name).any(axis=0).sum()) for name in scores.models(table)
    }
    stable = [count for name, count in counts.items() if not scores.blow_ups(table, name)]
    return min(stable or counts.values())


def _error(table: "xr.Dataset") -> tuple[str, str]:
    """Return the metric and quantity that sentences on errors speak of."""
    return scores.main_error(table) if scores.followed(table) else scores.headline(table)


def _gains(table: "xr.Dataset", model: str, score: tuple[str, str]) -> dict[str, Interval]:
    """Return the gains of a model in a metric of a quantity, by component; none of the baseline."""
    metric, quantity = score
    if model == table.attrs["baseline"]:
        return {}
    return {
        part: scores.interval(
            table, f"{metric}_gain", model=model, quantity=quantity, component=part
        )
        for part in scores.words(table, quantity)
    }


def _followed(table: "xr.Dataset", model: str) -> str:
    """Return how long a model follows the truth, how well it keeps its energy, at what cost."""
    units, place = table.attrs["time_units"], {"model": model, "component": ""}
    quantity = scores.followed(table)
    time, gain = (
        scores.interval(table, f"decorrelation_time_{what}", quantity=quantity, **place)
        for what in ("mean", "gain")
    )
    lasts = f"follows the truth for {time.estimate:.2f} {units}"
    compared = model != table.attrs["baseline"]
    if compared:
        sure, count = scores.is_sure(table), table.attrs["trajectories"]
        how = f"{percent(gain.level)} interval" if sure else f"resampling the {count} trajectories"
        span = f", {how}: {gain.low:.2f} to {gain.high:.2f}" if np.isfinite(gain.low) else ""
        lasts += f" ({gain.estimate:.2f} times as long as without a closure{span})"
    error = scores.kept_error(table, model).estimate
    name = in_words(scores.kept_series(table)).removeprefix("total ").removeprefix("kinetic ")
    kept = f"{name} error {error:.3f}" if np.isfinite(error) else f"{name} error unknown"
    cost = cost_words(table, model) if compared else ""
    lost, runs = scores.counted_blow_ups(table, model), scores.counted_runs(table, model)
    dead = f"{len(lost)} of {runs} runs blew up"
    if lost:
        dead += f", first {first_date(lost)}"
        lasts = f"is unstable, {lasts}"
    return f"{lasts}; {kept}{cost and f', at {cost}'}; {dead}."


def _judgement(table: "xr.Dataset", model: str) -> str:
    lost, ran = scores.blow_ups(table, model), scores.ran(table, model).size
    counted = f"{len(lost)} of {ran} members blew up"
    kept, finding = int(scores.scored(table, model).sum()), _finding(table, model)
    compared = f"{kept} of {ran} members that can be compared"
    if not lost:
        return f"{finding}{f' (over the {compared})' if 0 < kept < ran else ''}; {counted}."
    unstable = f"is unstable: {counted}, first {first_date(lost)}"
    if len(lost) == ran:
        return f"{unstable}; it is not scored."
    survivors = compared if 0 < kept < ran - len(lost) else "surviving members"
    return f"{unstable}; over the {survivors} it {finding}."


def _finding(table: "xr.Dataset", model: str) -> str:
    """Return what the model did to the error over the members that are scored, at what cost."""
    quantity = _error(table)[1]
    if not scores.scored(table, model).any():
        return "cannot be scored: none of them has a truth and survived without a closure too"
    gains, words = _gains(table, model, _error(table)), scores.words(table, quantity)
    if not gains:
        return f"is the coarse model that the others are measured against{_at_floor(table, model)}"
    if not any(np.isfinite(gain.estimate) for gain in gains.values()):
        return "cannot be compared: without a closure every member blew up"
    sentence, last_verb = "", None
    members = int(scores.scored(table, model).any(axis=0).sum())
    for part, gain in gains.items():
        verb, amount = _change(gain, members)
        if verb == last_verb:
            sentence += f" and that of {the(words[part])} {amount}"
        else:
            what = "that" if sentence else f"the error of {with_article(quantity)}"
            where = f" of {the(words[part])}" if part else ""
            sentence += f"{' and ' if sentence else ''}{verb} {what}{where} {amount}"
        last_verb = verb
    cost = cost_words(table, model)
    return f"{sentence}{cost and f' at {cost}'}{_at_floor(table, model)}"


def the(words: str) -> str:
    """Return a component in words with its article: "the upper layer", "layer 3"."""
    return words if words[-1:].isdigit() else f"the {words}"


def cost_words(table: "xr.Dataset", model: str) -> str:
    """Return what a model costs in words, to two digits; nothing where it was not timed."""
    ratio = scores.cost(table, model)
    return f"{float(f'{ratio:.2g}'):g} times the cost per step" if np.isfinite(ratio) else ""


def _at_floor(table: "xr.Dataset", model: str) -> str:
    """Return what is to be said of components whose error is no larger than chance makes it."""
    metric, quantity = _error(table)
    words = scores.words(table, quantity)

    def reached(part: str) -> bool:
        place = {"model": model, "quantity": quantity, "component": part}
        error = scores.interval(table, f"{metric}_mean", **place).estimate
        floor = scores.value(table, f"{metric}_floor", **place)
        return error <= (floor if np.isfinite(floor) else 0.0)

    found = [part for part in words if reached(part)]
    if not found:
        return ""
    if len(found) == len(words):
        where = all_components(words, "in")
    else:
        where = f" in {' and '.join(the(words[part]) for part in found)}"
    return f", with an error not above the sampling floor{where}"


def _change(gain: Interval, members: int) -> tuple[str, str]:
    """Return verb and amount of the clause on one component."""
    value, low, high = (100 * x for x in gain[:3])
    verb = "reduces" if low > 0 or (value > 0 and not high < 0) else "increases"
    if not np.isfinite(value):
        return "leaves unmeasured", "(no finite value)"
    if not np.isfinite([low, high]).all():
        return verb, f"by {abs(value):.0f} % (one run: no interval)"
    interval = f"{percent(gain.level)} interval"
    if members < fewest_members(gain.level):
        interval = f"resampling the {members} members:"
    if not gain.excludes_zero:
        span = f"{-high:+.0f} to {-low:+.0f} %"
        return "does not clearly change", f"({-value:+.0f} %, {interval} {span})"
    ends = (low, high) if low > 0 else (-high, -low)
    return verb, f"by {abs(value):.0f} % ({interval} {ends[0]:.0f} to {ends[1]:.0f} %)"


def finding_of_pair(
    table: "xr.Dataset",
    one: str,
    other: str,
    budgets: Mapping[str, tuple[int, ...]] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return what the ratio of two models' headline scores says, and which of their runs blew up.

    `budgets`: model → updates of its networks, if known; `labels`: names to show.
    """
    called, members = labels or {}, scores.compared_members(table, one, other)
    ratios = scores.ratios(table, one, other)
    words = {part: _word(ratio, members) for part, ratio in ratios.items()}
    same = len(set(words.values())) == 1
    found = [next(iter(words.values()))] if same else [f"{k}: {v}" for k, v in words.items()]
    enough = members >= fewest_members(table.attrs["level"])
    if enough and min(len(scores.ran(table, model)) for model in (one, other)) == 1:
        found.append("training seeds not covered")
    if budgets is not None and max(budgets[one]) != max(budgets[other]):
        found.append("unequal budgets")
    for model in (one, other):
        if lost := scores.blow_ups(table, model):
            runs = scores.ran(table, model).size
            found.append(f"{len(lost)} of {runs} runs of {called.get(model, model)} blew up")
    for model in (one, other):
        if said := scores.remark(table, model):
            found.append(f"{called.get(model, model)}: {said}")
    return "; ".join(found)


def _word(value: Interval, members: int) -> str:
    """Return what the ratio of two errors says."""
    if not members:
        return "no member to compare"
    if members < fewest_members(value.level):
        return "too few members to tell"
    if not np.isfinite(value.estimate):
        return "not measured"
    if not value.excludes(1.0):
        return "no clear difference"
    return "smaller error" if value.high < 1 else "larger error"
