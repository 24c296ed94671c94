"""The published scorecard, and ours beside it."""

import numpy as np
import pytest

from subgrid.evaluation import compare, scorecard, two_thirds_cut
from subgrid.evaluation import table as read
from subgrid.evaluation.components import score_name
from subgrid.evaluation.published import scorecard_table
from subgrid.evaluation.style import looks

SUMS = {"eddy": [-15.41, 13.54, 12.86, 13.08], "jet": [-13.24, 1.77, 7.32, -88.6]}


@pytest.fixture(scope="module")
def scores(runs, truth, coarse):
    cut = two_thirds_cut(coarse.grid)
    return compare(runs, truth, baseline="none", system=coarse, cut=cut, samples=40)


def test_the_published_quantities_are_those_that_are_measured(scores):
    measured = [score_name(*place) for place in read.similarities(scores, "none")]
    for configuration in ("eddy", "jet"):
        for row in scorecard(configuration).values():
            assert list(row) == measured
    # the sums of the published rows
    sums = {
        configuration: [round(sum(row.values()), 2) for row in scorecard(configuration).values()]
        for configuration in ("eddy", "jet")
    }
    assert sums == SUMS
    assert scorecard("eddy")["backscatter"]["kinetic_energy_spectrum_upper"] == 0.93
    assert scorecard("jet")["FCNN"]["enstrophy_spectrum_lower"] == -34.43
    assert scorecard("mine") == {}


def test_the_table_sets_ours_beside_theirs(scores):
    names = read.models(scores)
    styles = looks(names, {})
    table = scorecard_table(scores, styles, "jet")
    assert len(table.rows) == 18 + 1
    ours = [name for name in names if name != "none"]
    assert len(table.columns) == 1 + len(ours) + 4
    row = next(row for row in table.rows if row[0] == "bottom drag")
    name = ours[0]
    assert row[1] == f"{read.similarities(scores, name)[('bottom_drag', '')]:.2f}"
    assert row[-1] == "-6.12"
    medians = [float(cell) for cell in table.rows[-1][-4:]]
    middle = [np.median(list(values.values())) for values in scorecard("jet").values()]
    np.testing.assert_allclose(medians, middle, atol=0.0051)
    assert scorecard_table(scores, styles, "mine").rows == ()
