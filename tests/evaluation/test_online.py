"""Free runs: what they record, how they mask, and that they resume to the same bits."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.closures import (
    AbstractClosure,
    Features,
    LearnedClosure,
    Output,
    ScaleCut,
    Smagorinsky,
    ZeroMean,
)
from subgrid.coarsening import subgrid_forcing
from subgrid.errors import CorruptFileError, RunFolderError
from subgrid.evaluation import RunPlan, free_runs, reference_statistics, step_cost
from subgrid.provenance import load_arrays, save_arrays
from subgrid.stepping import kept_run, rollout
from subgrid.systems.qg_quantities import BUDGET_SPECTRA, LAYER_SPECTRA


def test_energies_agree_with_the_system(coarse, coarse_states):
    state = jax.tree.map(lambda field: field[0], coarse_states)
    seen = coarse.observe(state)
    expected = coarse.diagnostics(state)
    # float32 sums in another order
    np.testing.assert_allclose(seen["kinetic_energy"], expected["kinetic_energy_layers"], rtol=1e-5)
    np.testing.assert_allclose(seen["total_kinetic_energy"], expected["kinetic_energy"], rtol=1e-5)
    np.testing.assert_allclose(seen["enstrophy"], expected["enstrophy_layers"], rtol=1e-5)


def test_dataset_has_dimensions_units_and_dates(truth, dt, plan):
    assert truth.sizes["member"] == 2
    assert truth.sizes["time"] == plan.frames == 12
    assert truth.sizes["snapshot"] == 2
    np.testing.assert_array_equal(truth["time"], dt * plan.save_every * np.arange(1, 13))
    np.testing.assert_array_equal(truth["averaged_frames"], [6, 6])
    for name in truth.variables:
        assert {"units", "long_name"} <= set(truth[name].attrs), name
    for name in (q.name for q in (*LAYER_SPECTRA, *BUDGET_SPECTRA)):
        assert np.isfinite(truth[name]).all(), name


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, coarse, coarse_states, runs, dt, plan):
    file, model = tmp_path / "run.safetensors", coarse.model(dt, Smagorinsky(coarse))

    class Killed(Exception):
        pass

    def kill(done, total):
        if done > total / 2:
            raise Killed

    with pytest.raises(Killed):
        free_runs(model, coarse_states, plan, file=file, progress=kill)
    reports = []
    resumed = free_runs(
        model, coarse_states, plan, file=file, progress=lambda *done: reports.append(done)
    )
    assert reports[-1] == (plan.steps, plan.steps)
    assert len(reports) < len(plan.segments())
    assert resumed.identical(runs["smagorinsky"][0])
    finished = free_runs(model, coarse_states, plan, file=file, progress=kill)
    assert finished.identical(resumed)


def test_a_file_of_another_run_or_a_damaged_one_is_refused(tmp_path, coarse, coarse_states, dt):
    file = tmp_path / "run.safetensors"
    short = RunPlan(steps=4, save_every=4)
    free_runs(coarse.model(dt), coarse_states, short, file=file)
    before = file.read_bytes()
    with pytest.raises(RunFolderError, match="other settings"):
        free_runs(coarse.model(dt / 2), coarse_states, short, file=file)
    assert file.read_bytes() == before
    file.write_bytes(before[:-7])
    with pytest.raises(CorruptFileError, match=file.name):
        free_runs(coarse.model(dt), coarse_states, short, file=file)


def test_a_file_of_a_closure_with_other_settings_is_refused(tmp_path, coarse, coarse_states, dt):
    file, short = tmp_path / "run.safetensors", RunPlan(steps=4, save_every=4)
    q, s = (nn.Scaler(jnp.zeros(2), jnp.full(2, scale)) for scale in (1e-5, 1e-12))
    network = nn.build("x3", in_channels=2, out_channels=2, key=jax.random.key(0))
    plain = LearnedClosure(Features(scaler=q), network, Output(s))
    free_runs(coarse.model(dt, plain), coarse_states, short, file=file)
    again = free_runs(
        coarse.model(dt, LearnedClosure(Features(scaler=q), network, Output(s))),
        coarse_states,
        short,
        file=file,
    )
    assert again.sizes["time"] == 1
    for constraint in (ZeroMean(), ScaleCut(0.5)):
        closure = LearnedClosure(Features(scaler=q), network, Output(s, [constraint]))
        other = coarse.model(dt, closure)
        with pytest.raises(RunFolderError, match="other settings"):
            free_runs(other, coarse_states, short, file=file)


def every_frame(count):
    """Return a plan of that many segments of one step, each with a snapshot."""
    return RunPlan(steps=count, save_every=1, average_from=0, snapshots=count)


def test_what_a_segment_writes_does_not_grow_with_the_run(
    tmp_path, coarse, coarse_states, dt, monkeypatch
):
    file, model, replaced = tmp_path / "run.safetensors", coarse.model(dt), []

    def note(path, *given):
        save_arrays(path, *given)
        replaced.append(Path(path).stat().st_size)

    monkeypatch.setattr(kept_run, "save_arrays", note)
    kept, frames, added = file.with_suffix(".frames"), b"", []

    def look(done, total):
        nonlocal frames
        content = kept.read_bytes()
        assert content.startswith(frames)  # what is there is never written again
        added.append(len(content) - len(frames))
        frames = content

    data = free_runs(model, coarse_states, every_frame(12), file=file, progress=look)
    assert data.sizes["snapshot"] == len(added) == len(replaced) == 12
    assert len(set(added)) == 1
    # the file that is replaced holds no snapshot; its header names a length with more digits
    assert max(replaced) - min(replaced) < 64
    assert added[0] > data["snapshots"][:, 0].size * 4


def test_a_kill_between_the_two_files_of_a_run_costs_a_segment(
    tmp_path, coarse, coarse_states, dt, monkeypatch
):
    file, model, plan = tmp_path / "run.safetensors", coarse.model(dt), every_frame(4)
    whole = free_runs(model, coarse_states, plan)

    class Killed(Exception):
        pass

    def kill(path, *given):
        if Path(path).exists():
            raise Killed
        save_arrays(path, *given)

    with monkeypatch.context() as patch:
        patch.setattr(kept_run, "save_arrays", kill)
        with pytest.raises(Killed):
            free_runs(model, coarse_states, plan, file=file)
    with file.with_suffix(".frames").open("ab") as stream:
        stream.write(b"half a segment")
    assert free_runs(model, coarse_states, plan, file=file).identical(whole)
    assert free_runs(model, coarse_states, plan, file=file).identical(whole)
    content = file.with_suffix(".frames").read_bytes()
    for damaged in (content[:-1], b"", content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]):
        file.with_suffix(".frames").write_bytes(damaged)
        with pytest.raises(CorruptFileError, match=r"run\.frames is missing, truncated or altered"):
            free_runs(model, coarse_states, plan, file=file)


def test_a_blown_up_member_is_dated_and_masked(runs, dt, plan):
    data = runs["runaway"][0]
    when = data["blew_up_at"].values
    assert (when > 0).all()
    assert (when <= plan.steps).all()
    steps = data["time"].values / dt
    for member, step in enumerate(when):
        alive = np.isfinite(data["total_kinetic_energy"].values[member])
        np.testing.assert_array_equal(alive, steps < step)
    assert np.isnan(data["snapshots"]).all()
    np.testing.assert_array_equal(data["averaged_frames"], 0)
    assert np.isnan(data["kinetic_energy_spectrum"]).all()


def test_one_altered_byte_anywhere_is_found_or_without_meaning(tmp_path, coarse, coarse_states, dt):
    file, short = tmp_path / "run.safetensors", RunPlan(steps=4, save_every=4)
    model = coarse.model(dt)
    whole = free_runs(model, coarse_states, short, file=file)
    assert load_arrays(file)[1] == {}  # notes in the header are not under the checksum
    content = file.read_bytes()
    header = int.from_bytes(content[:8], "little")
    # all kinds of places: the length, the header with its names and notes, the numbers
    places = {0, 1, 7, *np.linspace(8, 8 + header, 40, dtype=int)}
    places |= {*np.linspace(8 + header + 1, len(content) - 1, 20, dtype=int)}
    found = []
    for place in sorted(int(p) for p in places):
        altered = bytearray(content)
        altered[place] ^= 1
        file.write_bytes(altered)
        try:
            read = free_runs(model, coarse_states, short, file=file)
        except CorruptFileError as error:
            found.append(str(error))
        else:
            assert read.identical(whole), place
        assert file.read_bytes() == bytes(altered), place
    assert len(found) > 0.9 * len(places)
    assert all(str(file) in message for message in found)


class Poisoned(AbstractClosure):
    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda field: jnp.nan * field, state), memory


def test_a_closure_that_returns_nan_is_masked_from_its_first_step(coarse, coarse_states, dt):
    model = coarse.model(dt, Poisoned())
    data = free_runs(model, coarse_states, RunPlan(steps=4, save_every=2, snapshots=1))
    np.testing.assert_array_equal(data["blew_up_at"], 1)
    assert np.isnan(data["kinetic_energy"]).all()


def test_healthy_members_are_untouched_by_one_that_blows_up(coarse, coarse_states, dt, plan):
    # the first member starts beyond its bounds
    scaled = jax.tree.map(
        lambda field: field * jnp.array([500.0, 1.0])[:, None, None, None], coarse_states
    )
    both = free_runs(coarse.model(dt), scaled, plan)
    alone = free_runs(coarse.model(dt), jax.tree.map(lambda field: field[1:], scaled), plan)
    assert both["blew_up_at"].values[0] == 1
    assert both["blew_up_at"].values[1] == -1
    # one member or two compile to other orders of sums, grown over 48 steps; the last ring, which
    # the filter empties, holds nothing but their squared rounding
    ours, theirs = both["kinetic_energy_spectrum"][1], alone["kinetic_energy_spectrum"][0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-12 * float(theirs.max()))


def test_the_truth_of_a_data_set_equals_the_truth_rolled_out(
    truth, fine, coarse, coarsener, fine_states, dt, plan
):
    def coarse_pair(state):
        frames = rollout(fine.model(dt), state, plan.steps, plan.save_every).states
        forcing = jax.vmap(lambda s: subgrid_forcing(fine, coarse, coarsener, s))(frames)
        return jax.vmap(coarsener)(frames).q, forcing.q

    q, forcing = jax.vmap(coarse_pair)(fine_states)
    found = reference_statistics(
        coarse,
        np.asarray(q),
        np.asarray(forcing),
        save_every=plan.save_every,
        dt=dt,
        snapshots=2,
        chunk=5,
    )
    assert found.sizes == truth.sizes
    np.testing.assert_array_equal(found["snapshot_time"], truth["snapshot_time"])
    np.testing.assert_allclose(
        found["snapshots"], truth["snapshots"], atol=1e-2 * float(truth["snapshots"].max())
    )
    for name in ("total_kinetic_energy", *(q.name for q in (*LAYER_SPECTRA, *BUDGET_SPECTRA))):
        scale = float(np.abs(truth[name]).max())
        # float32 rounding of another compilation, grown over 48 steps
        np.testing.assert_allclose(found[name], truth[name], atol=1e-2 * scale, err_msg=name)


def test_a_data_set_with_nan_is_masked_from_there(coarse, dt):
    q = np.random.default_rng(0).normal(size=(2, 6, 2, 16, 16)).astype(np.float32) * 1e-6
    q[1, 4, 0, 3, 3] = np.nan
    found = reference_statistics(coarse, q, None, save_every=10, dt=dt, snapshots=2, chunk=3)
    np.testing.assert_array_equal(found["blew_up_at"], [-1, 50])
    np.testing.assert_array_equal(found["averaged_frames"], [3, 1])
    assert np.isfinite(found["kinetic_energy_spectrum"]).all()
    assert np.isnan(found["total_enstrophy"].values[1, 4:]).all()


def test_the_closure_enters_the_budget(coarse, coarse_states):
    state = jax.tree.map(lambda field: field[0], coarse_states)
    closure = Smagorinsky(coarse)
    without = coarse.observe(state)
    increment, _ = closure(state)
    with_closure = coarse.observe(state, increment)
    work = coarse.spectral_budget(state, increment)["closure"]
    gained = sum(
        with_closure[name] - without[name]
        for name in ("kinetic_energy_flux", "potential_energy_flux")
    )
    scale = float(jnp.abs(with_closure["kinetic_energy_flux"]).max())
    np.testing.assert_allclose(gained, work, atol=1e-5 * scale)  # float32 sums of larger terms
    assert float(jnp.sum(with_closure["kinetic_energy_flux"] - without["kinetic_energy_flux"])) < 0


def test_cost_is_relative_to_the_coarse_model(coarse, coarse_states, dt):
    state = jax.tree.map(lambda field: field[0], coarse_states)
    models = {"none": coarse.model(dt), "smagorinsky": coarse.model(dt, Smagorinsky(coarse))}
    costs = step_cost(models, state, steps=4, repeats=3)
    assert costs["none"].ratio == 1.0
    assert all(cost.seconds > 0 and cost.ratio > 0 for cost in costs.values())
    with pytest.raises(KeyError, match="baseline"):
        step_cost(models, state, baseline="nothing")


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 10, "save_every": 3},
        {"steps": 0, "save_every": 1},
        {"steps": 10, "save_every": 1, "snapshots": 0},
        {"steps": 10, "save_every": 1, "average_from": 10},
    ],
)
def test_plans_that_do_not_fit_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        RunPlan(**settings)


def test_segments_cover_the_run_and_end_in_equal_ones():
    plan = RunPlan(steps=230, save_every=10, snapshots=3)
    assert sum(plan.segments()) == plan.frames == 23
    assert len(set(plan.segments()[1:])) == 1
    assert plan.snapshot_frames()[-1] == 22


def test_long_spans_are_split_so_that_memory_is_bounded():
    plan = RunPlan(steps=10800, save_every=1, snapshots=10)
    segments, kept = plan.segments(), plan.snapshot_frames()
    assert sum(segments) == 10800
    assert max(segments) <= plan.segment_frames
    assert len(set(segments)) <= 2
    assert len(kept) == 10
    assert set(kept) <= set(np.cumsum(segments) - 1)
    assert kept[0] >= 10800 // 2 - 1
