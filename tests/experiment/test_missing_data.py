"""A trajectory that never stays healthy is left out of everything, counted and reported."""

import json

import jax
import numpy as np
import pytest
from experiment_runs import SMALLEST

from subgrid.config import load_config
from subgrid.data import open_dataset, trajectory
from subgrid.data.shards import ShardWriter
from subgrid.experiment import run_experiment


@pytest.mark.slow
def test_a_trajectory_that_always_blows_up_is_left_out_and_reported(tmp_path, monkeypatch):
    begin = trajectory._Run._begin

    def spoilt(self):
        carry, done = begin(self)
        if (self.job.split, self.job.index) in (("train", 0), ("test", 1)):
            carry = jax.tree.map(lambda leaf: leaf * 1e6 if leaf.ndim else leaf, carry)
        return carry, done

    monkeypatch.setattr(trajectory._Run, "_begin", spoilt)
    folder = run_experiment(load_config(SMALLEST), tmp_path / "run")
    data = open_dataset(folder.split("test"), 12)
    assert np.isfinite(data.q[0]).all()
    assert np.isnan(data.q[1]).all()
    notes = folder.stages()["simulate"]["splits"]
    assert (notes["train"]["failed"], notes["test"]["failed"]) == ([0], [1])
    assert notes["test"]["blow_ups"] == trajectory.ATTEMPTS
    text = folder.scores.read_text()
    assert "NaN" not in text
    online = json.loads(text)["online"]
    assert online["cascade"]["blow_ups"] == []
    report = folder.report.read_text()
    assert "1 of 2 trajectories" in report


@pytest.mark.slow
def test_frames_that_are_not_finite_are_left_out_counted_and_dated(tmp_path, monkeypatch):
    append = ShardWriter.append

    def spoilt(self, frames):
        frames = np.array(frames)
        if len(self.lengths) == 0 and self._parts.name == "scale_12.q_forcing":
            frames[1, 0, 3, 3] = np.nan
        append(self, frames)

    monkeypatch.setattr(ShardWriter, "append", spoilt)
    folder = run_experiment(load_config(SMALLEST), tmp_path / "run")
    notes = folder.stages()["simulate"]["splits"]
    (sentence,) = notes["test"]["not_finite"]
    assert sentence.startswith("2 of 12 frames of test.zarr at scale 12")
    assert "trajectory 0 (1 from frame 1 on)" in sentence
    assert len(notes["train"]["not_finite"]) == 1
    report = folder.report.read_text()
    assert "2 of 12 frames of test.zarr" in report
    text = folder.scores.read_text()
    assert "NaN" not in text
    assert json.loads(text)["online"]["cascade"]["blow_ups"] == []
