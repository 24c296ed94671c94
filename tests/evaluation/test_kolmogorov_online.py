"""Free runs of Kolmogorov flow: followed by a truth, recorded, masked, resumed to the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.closures import AbstractClosure
from subgrid.errors import RunFolderError
from subgrid.evaluation import RunPlan, blow_ups, date, free_runs, reference_statistics
from subgrid.evaluation.metric_runs import decorrelation
from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow

SYSTEM = KolmogorovFlow(16)
GRID = SYSTEM.grid
DT = 0.028  # a quarter of a cell at speed 7
PLAN = RunPlan(steps=12, save_every=2, snapshots=2, segment_frames=2)


@pytest.fixture(scope="module")
def states():
    """Return two initial states."""
    keys = jax.random.split(jax.random.key(3), 2)
    return jax.vmap(lambda key: SYSTEM.initial_state(key=key))(keys)


@pytest.fixture(scope="module")
def own(states):
    """Return the model's states at the frames of its runs: [member, time, (u, v), y, x]."""
    model = SYSTEM.model(DT)
    roll = jax.jit(jax.vmap(lambda state: rollout(model, state, PLAN.steps, PLAN.save_every)))
    frames = roll(states).states
    return np.stack([np.asarray(frames.u), np.asarray(frames.v)], axis=2)


@pytest.fixture(scope="module")
def followed(states, own):
    """Return runs without a closure, beside their own states."""
    return free_runs(SYSTEM.model(DT), states, PLAN, truth=own)


def vorticity(fields):
    """Return ∂v/∂x - ∂u/∂y of fields [..., (u, v), y, x] at north-east corners."""
    u, v = fields[..., 0, :, :].astype(np.float64), fields[..., 1, :, :].astype(np.float64)
    return (np.roll(v, -1, -1) - v) / GRID.dx - (np.roll(u, -1, -2) - u) / GRID.dy


def smooth(seed, *shape):
    """Return random fields that have no wave beyond the last ring of an isotropic spectrum."""
    hat = np.fft.rfft2(np.random.default_rng(seed).normal(size=(*shape, *GRID.shape)))
    fields = np.fft.irfft2(np.where(waves() < 7.5, hat, 0.0))
    return (3 * fields / fields.std()).astype(np.float32)


def waves():
    """Return |k| in units of the lowest wavenumber, [ny, nx//2+1]."""
    ny, nx = GRID.shape
    return np.hypot(ny * np.fft.fftfreq(ny)[:, None], nx * np.fft.rfftfreq(nx)[None])


def summed(data, name):
    """Return the sum over all waves of what a spectrum [..., wavenumber] is the mean of, by ring.

    E = 2 · mean over the ring of P · π κ/dk², the columns k = 0 and k = Nyquist being halved.
    """
    centres = data["wavenumber"].values
    dk = 2 * np.pi / GRID.length_x
    rings = np.floor(waves() / np.sqrt(2) + 1e-9).astype(int)
    rings[np.isclose(waves(), np.sqrt(2) * len(centres))] = len(centres) - 1  # closed at its end
    counts = np.array([np.sum(rings == ring) for ring in range(len(centres))])
    return data[name].values @ (counts * dk**2 / (np.pi * centres))


def test_a_run_beside_its_own_states_is_wholly_correlated(followed):
    # float32 sums of 256 products
    np.testing.assert_allclose(followed["truth_correlation"], 1.0, rtol=0, atol=2e-6)
    assert followed["truth_correlation"].dims == ("member", "time")
    assert followed["truth_correlation"].units == followed["time"].units == "1"
    np.testing.assert_allclose(followed["time"], DT * 2 * np.arange(1, 7))


def test_the_correlation_is_that_of_each_member_and_frame(states, own):
    other = own[::-1] + 0.3 * smooth(1, 2, 6, 2)
    data = free_runs(SYSTEM.model(DT), states, PLAN, truth=other)
    ours, theirs = vorticity(own), vorticity(other)
    axes = (-2, -1)
    wanted = np.sum(ours * theirs, axes) / np.sqrt(np.sum(ours**2, axes) * np.sum(theirs**2, axes))
    assert np.ptp(wanted) > 0.02
    assert np.abs(wanted).max() < 0.9
    # float32: states of another compilation, then sums of 256 products
    np.testing.assert_allclose(data["truth_correlation"], wanted, rtol=0, atol=1e-5)


def test_a_run_without_a_truth_has_no_correlation_and_the_same_rest(states, followed):
    data = free_runs(SYSTEM.model(DT), states, PLAN)
    assert "truth_correlation" not in data
    for name in data.data_vars:
        # compiled with one output less: float32
        np.testing.assert_allclose(
            data[name], followed[name], rtol=1e-4, atol=1e-4 * float(np.abs(data[name]).max())
        )
    # no closure does no work
    np.testing.assert_array_equal(data["closure_work"], 0.0)
    for name in data.variables:
        assert {"units", "long_name"} <= set(data[name].attrs), name


def test_the_snapshots_are_the_vorticity(own, followed):
    wanted = vorticity(own[:, PLAN.snapshot_frames()])[:, :, None]
    size = np.abs(wanted).max()
    np.testing.assert_allclose(followed["snapshots"], wanted, rtol=0, atol=1e-5 * size)  # float32


def test_spectra_sum_to_the_means_and_the_forcing_to_its_work():
    fields, forcing = smooth(5, 3, 4, 2), 0.1 * smooth(6, 3, 4, 2)
    forcing = forcing + 0.05 * fields
    data = reference_statistics(
        SYSTEM, fields, forcing, save_every=2, dt=DT, average_from=4, snapshots=1, chunk=3
    )
    x, s = fields.astype(np.float64), forcing.astype(np.float64)
    energy = 0.5 * np.mean(np.sum(x**2, axis=2), axis=(-2, -1))
    enstrophy = 0.5 * np.mean(vorticity(x) ** 2, axis=(-2, -1))
    # all of float32
    np.testing.assert_allclose(data["total_kinetic_energy"], energy, rtol=1e-5)
    np.testing.assert_allclose(data["total_enstrophy"], enstrophy, rtol=1e-5)
    # spectra are of the frames after step 4: the last two
    late = slice(2, None)
    for name, wanted in (("kinetic_energy_spectrum", energy), ("enstrophy_spectrum", enstrophy)):
        assert data[name].dims == ("member", "level", "wavenumber")
        np.testing.assert_allclose(
            summed(data, name)[:, 0], wanted[:, late].mean(axis=1), rtol=1e-5
        )
    work = np.mean(np.sum(x * s, axis=2), axis=(-2, -1))[:, late].mean(axis=1)
    assert np.all(work > 0)
    np.testing.assert_allclose(summed(data, "closure_work"), work, rtol=1e-5)
    assert "truth_correlation" not in data


def test_forcings_left_out_leave_the_work_out():
    data = reference_statistics(SYSTEM, smooth(5, 1, 2, 2), None, save_every=2, dt=DT)
    assert "closure_work" not in data
    assert "kinetic_energy_spectrum" in data


class Growth(AbstractClosure):
    """Amplifies those members whose first velocity is negative, by e in a thirtieth of a unit."""

    def init(self, state, *, key=None):
        return state.u[0, 0] < 0

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda c: jnp.where(memory, 30.0 * c, 0.0), state), memory


def test_a_member_that_blows_up_is_masked_and_dated_in_time_units(states, own):
    signs = -jnp.sign(states.u[:, 0, 0]) * jnp.array([-1.0, 1.0])  # the second one is amplified
    turned = jax.tree.map(lambda c: c * signs[:, None, None], states)
    data = free_runs(SYSTEM.model(DT, Growth()), turned, PLAN, truth=own)
    (lost,) = blow_ups([data])
    assert lost.member == 1
    assert 2 < lost.step <= PLAN.steps
    assert lost.units == "time units"
    assert lost.time == pytest.approx(lost.step * DT)
    assert lost.date == date(lost.time, "time units") == f"time {lost.step * DT:.1f}"
    after = PLAN.save_every * np.arange(1, PLAN.frames + 1) >= lost.step
    for name in ("truth_correlation", "total_kinetic_energy", "total_enstrophy"):
        assert np.isfinite(data[name][0]).all()
        np.testing.assert_array_equal(np.isnan(data[name][1]), after)
    correlation = data["truth_correlation"].values[:, None]
    when, lasted = (found[:, 0] for found in decorrelation(correlation, data))
    assert when[1] <= lost.time
    assert not lasted[1]


def test_a_killed_run_resumes_to_the_same_bits_with_its_correlation(tmp_path, states, own):
    file, model = tmp_path / "run.safetensors", SYSTEM.model(DT)
    truth = own[::-1]
    asked = []

    class Recorded:
        """The truth, which notes the frames that it is asked for."""

        def __getitem__(self, key):
            if key[1].start is not None:  # the first frame is looked at to tell one from another
                asked.append((key[1].start, key[1].stop))
            return truth[key]

    class Killed(Exception):
        pass

    def kill(done, total):
        if done > total / 2:
            raise Killed

    with pytest.raises(Killed):
        free_runs(model, states, PLAN, truth=Recorded(), file=file, progress=kill)
    first, asked[:] = list(asked), []
    resumed = free_runs(model, states, PLAN, truth=Recorded(), file=file)
    assert asked
    ends = np.cumsum(PLAN.segments())
    assert [*first, *asked] == [*zip([0, *ends[:-1]], ends, strict=True)]  # each frame once
    whole = free_runs(model, states, PLAN, truth=truth)
    assert resumed.identical(whole)
    asked.clear()
    assert free_runs(model, states, PLAN, truth=Recorded(), file=file).identical(whole)
    assert not asked
    for other in (own, None):  # a run beside another truth, or none
        with pytest.raises(RunFolderError, match="other settings"):
            free_runs(model, states, PLAN, truth=other, file=file)
