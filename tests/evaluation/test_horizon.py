"""The lead time until which a forecast is worth having."""

import numpy as np
import xarray as xr

from subgrid.evaluation.metric_runs import SkilfulLead


def _runs(values, **attributes) -> xr.Dataset:
    """Return runs x[member, time, k] at the times 0.5, 1.0, ..."""
    times = 0.5 * np.arange(1, values.shape[1] + 1)
    return xr.Dataset({"x": (("member", "time", "k"), values)}, {"time": times}, attributes)


def test_skill_ends_when_the_error_passes_half_a_standard_deviation():
    truth = np.tile([[2.0, -2.0], [-2.0, 2.0]], (3, 4, 1))  # standard deviation 2: the bar is 1
    errors = np.array([0.1, 0.5, 0.9, 0.99, 1.01, 0.2, 3.0, 3.0])
    late = np.stack([errors, 0 * errors, errors])[:, :, None]
    run = _runs(truth + late, dt=0.5)
    run["blew_up_at"] = ("member", np.array([-1, -1, 3]))
    run["time"].attrs["units"] = "1"
    found = SkilfulLead()(run, _runs(truth), ("k",))
    # at the fifth frame; never, so at the end; when it blew up, after three steps
    np.testing.assert_allclose(found.sel(quantity="x").values[:, 0], [2.5, 4.0, 1.5])


def test_it_is_for_fields_alone():
    runs = _runs(np.ones((1, 2, 2))).mean("k")
    assert SkilfulLead()(runs, runs, ("k",)).size == 0
    assert SkilfulLead.best == "high"
