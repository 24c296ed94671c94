"""Who made a store: other machines are noted, other settings of JAX refused or overruled."""

import json

import jax
import pytest
from small_generation import settings

from subgrid.data import generate, trajectory
from subgrid.data.records import Records
from subgrid.data.store import attributes_of
from subgrid.errors import RunFolderError
from subgrid.provenance import maker


def test_a_worker_of_another_machine_is_noted_and_told(tmp_path, monkeypatch, caplog):
    path, other = tmp_path / "train.zarr", maker() | {"processor": "another"}
    monkeypatch.setattr(trajectory, "maker", lambda: other)
    generate(path, **settings(trajectories=1))
    assert json.loads(attributes_of(path)["versions"]) == [maker(), other]
    (told,) = caplog.messages
    assert "made in part by workers with processor another" in told
    assert list(Records(path).folder.glob("maker-*")) == []


def test_a_generation_under_other_random_numbers_is_refused(copy):
    with (
        jax.threefry_partitionable(False),
        pytest.raises(RunFolderError, match="another config: jax_threefry_partitionable differs"),
    ):
        generate(copy, **settings(trajectories=3))
    with jax.enable_x64(True), pytest.raises(RunFolderError, match="x64 differs"):
        generate(copy, **settings(trajectories=3))


def test_a_worker_computes_under_the_settings_of_the_generation(plain, tmp_path):
    """A thread that starts with another generator and under strict rules, as a worker elsewhere."""

    def elsewhere(function, jobs):
        with (
            jax.threefry_partitionable(False),
            jax.default_prng_impl("rbg"),
            jax.numpy_dtype_promotion("strict"),
            jax.debug_nans(True),
        ):
            return [function(job) for job in jobs]

    found = generate(tmp_path / "train.zarr", **settings(), map=elsewhere)
    assert found.content_hash == plain.content_hash
