"""What recipes add to a report: the ranking of a search, the choice of the noise."""

import json

import numpy as np
import pytest
from made_tables import NAN, ONE, SPECTRUM, made_table, model

from subgrid.recipes.architectures import ranked_record, ranking, ranking_table, search_part
from subgrid.recipes.calibration import (
    Level,
    _panels,
    _table,
    calibration_part,
    calibration_record,
    chosen_levels,
)


def score(upper, lower, dead=0):
    lost = tuple((0, member) for member in range(dead))
    return model(upper, lower, gains=(1 - upper, 1 - lower), shape=(1, 3), dead=lost)


MADE_UP = {
    "a_a": (("a", "a"), score(0.3, 0.9)),  # ranks 1 and 3
    "a_b": (("a", "b"), score(0.5, 0.2)),  # ranks 2 and 1
    "b_a": (("b", "a"), score(0.1, 0.1, dead=1)),  # the smallest errors, but unstable: 5 and 5
    "b_b": (("b", "b"), score(0.6, 0.3)),  # ranks 3 and 2
    "c_a": (("c", "a"), score(NAN, 0.95)),  # 4 and 4
}
NAMES = [(name, networks) for name, (networks, _) in MADE_UP.items()]


def searched(models):
    alone = {"none": model(1.0, 1.0, shape=(1, 3))}
    return made_table(alone | {name: one for name, (_, one) in models.items()})


def test_ranks_are_those_made_by_hand():
    table = searched(MADE_UP)
    ranked = ranking(table, NAMES)
    # worst ranks 2, 3, 3, 4, 5; of the two with 3, "a, a" has the smaller sum
    assert [one.networks for one in ranked] == [
        ("a", "b"), ("a", "a"), ("b", "b"), ("c", "a"), ("b", "a"),
    ]  # fmt: skip
    ranks = [tuple(one.ranks.values()) for one in ranked]
    assert ranks == [(2, 1), (1, 3), (3, 2), (4, 4), (5, 5)]
    record = json.loads(json.dumps(ranked_record(table, ranked[0])))
    assert record["ranks"] == {"upper": 2, "lower": 1}
    assert record["spectral_rmse"][f"{SPECTRUM}_upper"]["estimate"] == 0.5


def test_equal_errors_share_a_rank():
    twins = {name: ((name,), score(0.3, 0.4)) for name in "ab"}
    ranked = ranking(searched(twins), [("a", ("a",)), ("b", ("b",))])
    assert [tuple(one.ranks.values()) for one in ranked] == [(1, 1), (1, 1)]


def test_table_and_maps_show_every_pair():
    table = searched(MADE_UP)
    rows = ranking_table(table, ranking(table, NAMES)).rows
    assert rows[0][:5] == ("a, b", "0.50", "0.20", "2", "1")
    assert rows[-1][5] == "1 of 3"
    (section,) = search_part(table, NAMES).sections
    assert [image.name for image in section.images] == ["search_upper", "search_lower"]
    single = search_part(table, [("a_a", ("a",))]).sections[0]
    assert single.images == ()  # no pair
    assert single.tables


def online(error, dead=0, time=2.0):
    """Return the free runs of a level: two networks, three members."""
    lost = tuple((0, member) for member in range(dead))
    span = (error, 0.9 * error, 1.1 * error)
    steps = {run: 5 for run in lost}
    return model(
        NAN, shape=(2, 3), dead=lost, kept=span, time=time, gain=1.0, steps=steps, gains=(NAN,)
    )


SMALL, LARGE = "psm4, pmd8", "md8"
LEVELS = (0.0, 0.05, 0.1)
TRIED = {
    # the smallest error, but a run that blew up; then the smallest of those without
    "few": (SMALL, (online(0.01, dead=1), online(0.3, time=3.5), online(0.4))),
    # every level loses runs, the last two as many: the one that follows the truth longer
    "all": (LARGE, (online(0.1, 2, 9.0), online(0.2, 1, 2.5), online(0.9, 1, 3.0))),
    # an error that is not known comes last
    "unknown": (SMALL, (online(NAN), online(0.5), online(0.5))),
}


def calibration(tried, alone):
    levels = [
        Level(name, f"{name}-{noise:g}", kind, noise, np.array([0.1 + noise, 0.3 + noise]))
        for name, (kind, _) in tried.items()
        for noise in LEVELS
    ]
    runs = {
        f"{name}-{noise:g}": one
        for name, (_, ones) in tried.items()
        for noise, one in zip(LEVELS, ones, strict=True)
    }
    return levels, made_table({"none": alone, **runs}, ONE, trajectories=3)


@pytest.fixture
def found():
    """Return a calibration of three models at three levels each."""
    return calibration(TRIED, online(0.6, time=1.0))


def test_the_fewest_blow_ups_choose_then_the_smallest_energy_error(found):
    chosen = {name: level.noise for name, level in chosen_levels(*found).items()}
    # of two levels that are alike the lower one
    assert chosen == {"few": 0.05, "all": 0.1, "unknown": 0.05}
    assert calibration_part(*found).summary == (
        "Noise chosen on the validation trajectories, in standard deviations: 0.05 for few, 0.1 "
        "for all, 0.05 for unknown."
    )


def test_verdicts_say_what_the_choice_is_and_whether_it_is_at_an_end(found):
    said = {verdict.label: verdict for verdict in calibration_part(*found).verdicts}
    assert said["few"].sentence == (
        "noise 0.05: energy error 0.300 (without a closure 0.600), follows the truth for 3.50 days "
        "(without: 1.00); 0 of 6 runs blew up."
    )
    assert said["all"].sentence.endswith(
        "; 1 of 6 runs blew up; the choice is at an end of the levels tried."
    )
    outcomes = {label: verdict.outcome for label, verdict in said.items()}
    assert outcomes == {"few": "better", "all": "unstable", "unknown": "better"}
    lowest = calibration({"one": (SMALL, tuple(map(online, (0.1, 0.2, 0.3))))}, online(2.0))
    assert "at an end" in calibration_part(*lowest).verdicts[0].sentence


def test_the_record_holds_the_choice_and_every_level(found):
    record = json.loads(json.dumps(calibration_record(*found), allow_nan=False))
    assert record["chosen"] == {"few": 0.05, "all": 0.1, "unknown": 0.05}
    assert "validation" in record["chosen_by"]
    assert record["none"]["energy_error"]["estimate"] == 0.6
    tried = [(level["model"], level["noise"]) for level in record["levels"]]
    assert tried == [(name, noise) for name in TRIED for noise in LEVELS]
    assert record["levels"][1]["validation_error"] == [0.15000000000000002, 0.35]
    assert record["levels"][6]["online"]["energy_error"]["estimate"] is None
    assert len(record["levels"][3]["online"]["blow_ups"]) == 2


def test_the_table_marks_the_chosen_levels(found):
    table = _table(*found)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    marked = [row["noise"] for row in rows if "chosen" in row["noise"]]
    assert marked == ["0.05 (chosen)", "0.1 (chosen)", "0.05 (chosen)"]
    assert [row["model"] for row in rows] == [m for m in TRIED for _ in range(3)] + ["none"]
    first = rows[0]
    # drawn from two networks, 0.1 and 0.3
    assert first["offline error"] == "0.200 [0.100, 0.300]"
    assert first["energy error"] == "0.010 [0.009, 0.011]"
    assert first["blown up"] == "1 of 6, first on day 0"
    assert rows[6]["energy error"] == "-"
    assert rows[-1]["energy error"] == "0.600 [0.540, 0.660]"
    assert (rows[-1]["noise"], rows[-1]["offline error"]) == ("-", "-")


def marks(axes, marker):
    """Return where single points of this kind are drawn."""
    return [
        (*line.get_xdata(), *line.get_ydata())
        for line in axes.lines
        if line.get_marker() == marker and len(line.get_xdata()) == 1
    ]


def test_figures_have_a_panel_per_kind_of_networks(found):
    assert [len(section.images) for section in calibration_part(*found).sections] == [2, 2]
    small, large = (panel.figure.axes[0] for panel in _panels(*found, "online"))
    assert (small.get_title(), large.get_title()) == (SMALL, LARGE)
    assert [each.get_label() for each in small.containers] == ["few", "unknown"]
    assert [each.get_label() for each in large.containers] == ["all"]
    x, y = small.containers[0][0].get_data()
    # zero, which has no place on a logarithmic axis, stands at half of the smallest
    np.testing.assert_allclose(x.astype(float), [0.025, 0.05, 0.1])
    np.testing.assert_allclose(y, [0.01, 0.3, 0.4])
    assert [text.get_text() for text in small.get_xticklabels()] == ["0", "0.05", "0.1"]
    assert marks(small, "x") == [(0.025, 0.01)]  # blown up
    assert len(marks(large, "x")) == 3
    assert (0.05, 0.3) in marks(small, "o")  # chosen
    assert marks(large, "o") == [(0.1, 0.9)]
    flat = [line for line in small.lines if set(np.asarray(line.get_ydata())) == {0.6}]
    assert len(flat) == 1  # without a closure
    offline = _panels(*found, "offline")[0].figure.axes[0]
    np.testing.assert_allclose(offline.containers[0][0].get_ydata(), [0.2, 0.25, 0.3])
    assert not marks(offline, "x")
