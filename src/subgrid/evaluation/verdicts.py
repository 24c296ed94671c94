"""What a score says: as a word, as a sentence, and as plain numbers."""

from typing import Any

import numpy as np

from subgrid.evaluation.intervals import Interval, fewest_members, percent
from subgrid.evaluation.layers import all_layers, keyed
from subgrid.evaluation.scores import KE_SPECTRUM, OnlineScore
from subgrid.evaluation.survival import first_date

REMARKED = "†"  # follows the name of a model of whose training something is to be said


def verdict(score: OnlineScore, quantity: str = KE_SPECTRUM) -> str:
    """Return the sentence that says what a model did to the KE-spectrum error, at what cost.

    A change is claimed only where the confidence interval excludes zero. The sentence of a model
    with members that blew up begins with "is unstable" and speaks of the others. What is to be
    said of its training follows.
    """
    return _judgement(score, quantity) + training_sentence(score)


def training_sentence(score: OnlineScore) -> str:
    """Return the sentence, with a space before it, on the training of a model; often nothing."""
    return f" Training: {score.remark}." if score.remark else ""


def _judgement(score: OnlineScore, quantity: str) -> str:
    dead = len(score.blow_ups)
    counted = f"{dead} of {score.runs} members blew up"
    finding = _finding(score, quantity)
    if not dead:
        some = f" (over the {_scored(score)})" if 0 < score.scored_runs < score.runs else ""
        return f"{finding}{some}; {counted}."
    unstable = f"is unstable: {counted}, first {first_date(score.blow_ups)}"
    if dead == score.runs:
        return f"{unstable}; its spectra are not scored."
    survivors = "surviving members"
    if 0 < score.scored_runs < score.runs - dead:
        survivors = _scored(score)
    return f"{unstable}; over the {survivors} it {finding}."


def _scored(score: OnlineScore) -> str:
    return f"{score.scored_runs} of {score.runs} members that can be compared"


def _finding(score: OnlineScore, quantity: str) -> str:
    """Return what the model did to the error over the members that are scored, at what cost."""
    if not score.scored_runs:
        return "cannot be scored: none of them has a truth and survived without a closure too"
    reductions = [
        (name, score.reductions[keyed(quantity, name)])
        for name in score.layers
        if keyed(quantity, name) in score.reductions
    ]
    if not reductions:
        return f"is the coarse model that the others are measured against{_floor_remark(score)}"
    if not any(np.isfinite(reduction.estimate) for _, reduction in reductions):
        return "cannot be compared: without a closure every member blew up"
    sentence, last_verb = "", None
    for name, reduction in reductions:
        verb, amount = _change(reduction, score.scored_members)
        if verb == last_verb:
            sentence += f" and that of the {name} layer {amount}"
        else:
            what = "that" if sentence else "the KE-spectrum error"
            where = f" of the {name} layer" if name else ""
            sentence += f"{' and ' if sentence else ''}{verb} {what}{where} {amount}"
        last_verb = verb
    cost = "" if score.cost is None else f" at {score.cost.words}"
    return sentence + cost + _floor_remark(score, quantity)


def _floor_remark(score: OnlineScore, quantity: str = KE_SPECTRUM) -> str:
    """Return what is to be said of layers whose error is no larger than chance makes it."""
    layers = [name for name in score.layers if score.at_floor(keyed(quantity, name))]
    if not layers:
        return ""
    if len(layers) == len(score.layers):
        where = all_layers(score.layers, "in")
    else:
        where = f" in the {' and the '.join(layers)} layer{'s' if len(layers) > 1 else ''}"
    return f", with an error not above the sampling floor{where}"


def outcome(score: OnlineScore) -> str:
    """Return "better", "worse", "unclear", "unstable" or "baseline" for a model.

    Better or worse: some layer's reduction of the KE-spectrum error has an interval on that side of
    zero, and none on the other; unstable: at least one member blew up.
    """
    if score.blow_ups:
        return "unstable"
    if not score.reductions:
        return "baseline"
    clear = [
        value.low > 0
        for name in score.layers
        if (value := score.reductions[keyed(KE_SPECTRUM, name)]).excludes_zero
    ]
    if not clear or (any(clear) and not all(clear)):
        return "unclear"
    return "better" if all(clear) else "worse"


def _change(reduction: Interval, members: int) -> tuple[str, str]:
    """Return verb and amount of the clause on one layer."""
    value, low, high = (100 * x for x in reduction[:3])
    verb = "reduces" if low > 0 or (value > 0 and not high < 0) else "increases"
    if not np.isfinite(value):
        return "leaves unmeasured", "(no finite spectrum)"
    if not np.isfinite([low, high]).all():
        return verb, f"by {abs(value):.0f} % (one run: no interval)"
    interval = f"{percent(reduction.level)} interval"
    if members < fewest_members(reduction.level):
        interval = f"resampling the {members} members:"
    if not reduction.excludes_zero:
        span = f"{-high:+.0f} to {-low:+.0f} %"
        return "does not clearly change", f"({-value:+.0f} %, {interval} {span})"
    ends = (low, high) if low > 0 else (-high, -low)
    return verb, f"by {abs(value):.0f} % ({interval} {ends[0]:.0f} to {ends[1]:.0f} %)"


def json_number(value: Any) -> float | None:
    """Return a number that JSON knows: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def interval_record(value: Interval) -> dict[str, float | None]:
    """Return an interval as plain numbers."""
    return {name: json_number(x) for name, x in zip(Interval._fields, value, strict=True)}


def score_record(score: OnlineScore) -> dict[str, Any]:
    """Return a score as plain numbers and lists, for scores.json; NaN becomes None."""
    return {
        "networks": score.networks,
        "members": score.members,
        "blow_ups": [blow_up._asdict() for blow_up in score.blow_ups],
        "scored_runs": score.scored_runs,
        "spectral_rmse": {name: interval_record(value) for name, value in score.errors.items()},
        "sampling_floor": {name: json_number(value) for name, value in score.floors.items()},
        "reduction": {name: interval_record(value) for name, value in score.reductions.items()},
        "similarity": {name: json_number(value) for name, value in score.similarity.items()},
        "relative_errors": {name: json_number(value) for name, value in score.relative.items()},
        "cost": None if score.cost is None else score.cost._asdict(),
        "verdict": verdict(score),
        **({"training": score.remark} if score.remark else {}),
    }
