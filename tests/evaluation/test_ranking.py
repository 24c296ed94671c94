"""The ranking of a search, against one made by hand."""

import numpy as np
import pytest

from subgrid.evaluation import Interval, OnlineScore, ranking
from subgrid.evaluation.ranking import plot_ranking, ranking_table
from subgrid.evaluation.survival import BlowUp


def score(name, upper, lower, dead=0):
    def interval(value):
        return Interval(value, value, value, 0.95)

    keys = ("kinetic_energy_spectrum_upper", "kinetic_energy_spectrum_lower")
    return OnlineScore(
        name=name,
        blow_ups=tuple(BlowUp(0, member, 10, 1.0) for member in range(dead)),
        scored=np.ones((1, 3), bool),
        errors=dict(zip(keys, map(interval, (upper, lower)), strict=True)),
        reductions=dict(zip(keys, map(interval, (1 - upper, 1 - lower)), strict=True)),
        similarity={},
        member_errors={},
        layers=("upper", "lower"),
    )


MADE_UP = [
    (("a", "a"), score("a_a", 0.3, 0.9)),  # ranks 1 and 3
    (("a", "b"), score("a_b", 0.5, 0.2)),  # ranks 2 and 1
    (("b", "a"), score("b_a", 0.1, 0.1, dead=1)),  # the smallest errors, but unstable: 5 and 5
    (("b", "b"), score("b_b", 0.6, 0.3)),  # ranks 3 and 2
    (("c", "a"), score("c_a", np.nan, 0.95)),  # 4 and 4
]


def test_ranks_are_those_made_by_hand():
    ranked = ranking(MADE_UP)
    # worst ranks 2, 3, 3, 4, 5; of the two with 3, "a, a" has the smaller sum
    assert [one.networks for one in ranked] == [
        ("a", "b"), ("a", "a"), ("b", "b"), ("c", "a"), ("b", "a"),
    ]  # fmt: skip
    assert [one.ranks for one in ranked] == [(2, 1), (1, 3), (3, 2), (4, 4), (5, 5)]
    assert ranked[0].score.remaining("upper").estimate == pytest.approx(0.5)


def test_equal_errors_share_a_rank():
    twins = [(("a",), score("a", 0.3, 0.4)), (("b",), score("b", 0.3, 0.4))]
    assert [one.ranks for one in ranking(twins)] == [(1, 1), (1, 1)]


def test_table_and_maps_show_every_pair():
    ranked = ranking(MADE_UP)
    rows = ranking_table(ranked).rows
    assert rows[0][:5] == ("a, b", "0.50", "0.20", "2", "1")
    assert rows[-1][5] == "1 of 3"
    panels = plot_ranking(ranked)
    assert [panel.name for panel in panels] == ["search_upper", "search_lower"]
    axes = panels[1].figure.axes[0]
    shown = {(text.get_position(), text.get_text()) for text in axes.texts if text.get_text() != ""}
    assert ((1, 0), "0.20") in shown  # coarse network a, fine network b
    assert len(shown) == 5
    assert plot_ranking(ranking([(("a",), MADE_UP[0][1])])) == []
