"""The choice of the noise: by blow-ups, then the energy error; how it is told and drawn."""

import json

import numpy as np
import pytest

from subgrid.evaluation import BlowUp, Calibration, Interval, Level, Predictability
from subgrid.evaluation.calibration_plots import (
    calibration_figures,
    calibration_tables,
    plot_calibration,
)

NAN = np.nan


def online(error, dead=0, time=2.0):
    """Return the free runs of a level: two networks, three members."""
    lost = tuple(BlowUp(0, member, 7, 0.5, "time units") for member in range(dead))
    return Predictability(
        name="model",
        times=np.full((2, 3), time),
        energy_errors=np.full((2, 3), error),
        lasting=0,
        blow_ups=lost,
        decorrelation=Interval(time, time, time),
        energy_error=Interval(error, 0.9 * error, 1.1 * error),
        gain=Interval(1.0, 1.0, 1.0),
        units="time units",
        trajectories=3,
        groups=np.arange(3),
    )


def calibration(models, alone):
    """Return the calibration of model → (kind of networks, free runs of each level)."""
    return Calibration(
        tuple(
            Level(model, kind, noise, np.array([0.1 + noise, 0.3 + noise]), one)
            for model, (kind, runs) in models.items()
            for noise, one in zip((0.0, 0.05, 0.1), runs, strict=True)
        ),
        alone,
    )


SMALL, LARGE = "psm4, pmd8", "md8"


@pytest.fixture
def found():
    """Return a calibration of three models at three levels each."""
    models = {
        # the smallest error, but a run that blew up; then the smallest of those without
        "few": (SMALL, (online(0.01, dead=1), online(0.3, time=3.5), online(0.4))),
        # every level loses runs, the last two as many: the one that follows the truth longer
        "all": (LARGE, (online(0.1, 2, 9.0), online(0.2, 1, 2.5), online(0.9, 1, 3.0))),
        # an error that is not known comes last
        "unknown": (SMALL, (online(NAN), online(0.5), online(0.5))),
    }
    return calibration(models, online(0.6, time=1.0))


def test_the_fewest_blow_ups_choose_then_the_smallest_energy_error(found):
    assert found.models == ["few", "all", "unknown"]
    chosen = {model: level.noise for model, level in found.chosen.items()}
    # of two levels that are alike the lower one
    assert chosen == {"few": 0.05, "all": 0.1, "unknown": 0.05}
    assert found.summary == (
        "Noise chosen on the validation trajectories, in standard deviations: 0.05 for few, 0.1 "
        "for all, 0.05 for unknown."
    )


def test_verdicts_say_what_the_choice_is_and_whether_it_is_at_an_end(found):
    said = {verdict.label: verdict for verdict in found.verdicts()}
    assert said["few"].sentence == (
        "noise 0.05: energy error 0.300 (without a closure 0.600), follows the truth for 3.50 time "
        "units (without: 1.00); 0 of 6 runs blew up."
    )
    assert said["all"].sentence.endswith(
        "; 1 of 6 runs blew up; the choice is at an end of the levels tried."
    )
    assert {label: verdict.outcome for label, verdict in said.items()} == {
        "few": "better",
        "all": "unstable",
        "unknown": "better",
    }
    lowest = calibration({"one": (SMALL, [online(e) for e in (0.1, 0.2, 0.3)])}, online(2.0))
    assert "at an end" in lowest.verdicts()[0].sentence


def test_the_record_holds_the_choice_and_every_level(found):
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["chosen"] == {"few": 0.05, "all": 0.1, "unknown": 0.05}
    assert "validation" in record["chosen_by"]
    assert record["none"]["energy_error"]["estimate"] == 0.6
    assert [(level["model"], level["noise"]) for level in record["levels"]] == [
        (model, noise) for model in found.models for noise in (0.0, 0.05, 0.1)
    ]
    assert record["levels"][1]["validation_error"] == [0.15000000000000002, 0.35]
    assert record["levels"][6]["online"]["energy_error"]["estimate"] is None
    assert len(record["levels"][3]["online"]["blow_ups"]) == 2


def test_the_table_marks_the_chosen_levels(found):
    (table,) = calibration_tables(found)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["noise"] for row in rows if "chosen" in row["noise"]] == [
        "0.05 (chosen)",
        "0.1 (chosen)",
        "0.05 (chosen)",
    ]
    assert [row["model"] for row in rows] == [m for m in found.models for _ in range(3)] + ["none"]
    first = rows[0]
    # drawn from two networks, 0.1 and 0.3
    assert first["offline error"] == "0.200 [0.100, 0.300]"
    assert first["energy error"] == "0.010 [0.009, 0.011]"
    assert first["blown up"] == "1 of 6, first at time 0.5"
    assert rows[6]["energy error"] == "-"
    assert rows[-1]["energy error"] == "0.600 [0.540, 0.660]"
    assert (rows[-1]["noise"], rows[-1]["offline error"]) == ("-", "-")


def test_figures_have_a_panel_per_kind_of_networks(found):
    assert [len(figure.images) for figure in calibration_figures(found)] == [2, 2]
    panels = plot_calibration(found, "energy error", "online")
    assert [panel.figure.axes[0].get_title() for panel in panels] == ["psm4, pmd8", "md8"]
    small, large = (panel.figure.axes[0] for panel in panels)
    assert [bars.get_label() for bars in small.containers] == ["few", "unknown"]
    assert [bars.get_label() for bars in large.containers] == ["all"]
    x, y = small.containers[0][0].get_data()
    # zero, which has no place on a logarithmic axis, stands at half of the smallest
    np.testing.assert_allclose(x.astype(float), [0.025, 0.05, 0.1])
    np.testing.assert_allclose(y, [0.01, 0.3, 0.4])
    assert [text.get_text() for text in small.get_xticklabels()] == ["0", "0.05", "0.1"]

    def marks(axes, marker):
        """Return where single points of this kind are drawn."""
        return [
            (*line.get_xdata(), *line.get_ydata())
            for line in axes.lines
            if line.get_marker() == marker and len(line.get_xdata()) == 1
        ]

    assert marks(small, "x") == [(0.025, 0.01)]  # blown up
    assert len(marks(large, "x")) == 3
    assert (0.05, 0.3) in marks(small, "o")  # chosen
    assert marks(large, "o") == [(0.1, 0.9)]
    flat = [line for line in small.lines if set(np.asarray(line.get_ydata())) == {0.6}]
    assert len(flat) == 1  # without a closure

    offline = plot_calibration(found, "offline error", "offline")[0].figure.axes[0]
    np.testing.assert_allclose(offline.containers[0][0].get_ydata(), [0.2, 0.25, 0.3])
    assert not marks(offline, "x")
