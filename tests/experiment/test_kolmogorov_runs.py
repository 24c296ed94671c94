"""Runs of Kolmogorov flow: the noise calibrated, taken over, closures adapted, all of it told."""

import fcntl
import html
import json
import re
import shutil

import jax
import numpy as np
import pytest
from experiment_runs import PIXEL, digests

from subgrid.cli.options import RunOptions, resolve
from subgrid.closures import DivergenceFree, EnergyLimit, energy_limit_of, load_closure
from subgrid.config import build_coarse_systems, build_system, config_from_dict, load_config
from subgrid.data import open_dataset
from subgrid.deploy import load_bundle
from subgrid.errors import ConfigError, RunFolderError
from subgrid.evaluation import report
from subgrid.experiment import RunFolder, run_experiment
from subgrid.experiment.progress import Progress, Work
from subgrid.recipes import export_model, kernels, plan, with_chosen_noise
from subgrid.recipes.held_out import HeldOut, scored_members
from subgrid.recipes.making import samples_of
from subgrid.recipes.results import candidates, load_results, read_dataset
from subgrid.training import read_records

NOISE, COMBINED = ("otness2025-kf-noise", "tiny"), ("otness2025-combined-kf", "tiny")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, worker_id):
    """The calibration and the run that takes over its data and noise; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent  # shared by the workers of pytest-xdist
    base = base / "kolmogorov"
    base.mkdir(exist_ok=True)
    with open(base / "lock", "w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setattr(report, "data_uri", lambda *_: PIXEL)
        noise = run_experiment(load_config(*NOISE), base / "noise")
        config = with_chosen_noise(load_config(*COMBINED), noise.path)
        return noise, run_experiment(config, base / "combined", data_from=noise.path)


@pytest.fixture(scope="module")
def noise(runs):
    """The calibration of the noise."""
    return runs[0]


@pytest.fixture(scope="module")
def combined(runs):
    """The run with all kinds of closures."""
    return runs[1]


def scores(folder):
    return json.loads(folder.scores.read_text())


def words(folder):
    """Return the text of a report without its tags, in one line."""
    page = re.sub(r"<(style|script).*?</\1>", "", folder.report.read_text(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.slow
def test_the_calibration_chooses_a_level_for_every_model_and_records_all(noise):
    found, config = scores(noise), noise.config
    names = [model.name for model in config.calibration.models]
    tried = found["calibration"]["levels"]
    assert [(one["model"], one["noise"]) for one in tried] == [
        (name, level) for name in names for level in config.calibration.levels
    ]
    for name in names:
        of_model = [one for one in tried if one["model"] == name]
        best = min(
            of_model,
            key=lambda one: (
                len(one["online"]["blow_ups"]),
                one["online"]["energy_error"]["estimate"],
            ),
        )
        assert found["calibration"]["chosen"][name] == best["noise"]
        errors = [one["validation_error"] for one in of_model]
        assert all(np.isfinite(errors).ravel())
        assert errors[0] != errors[1]  # trained with and without noise
    # the test trajectories are for the coarse model alone
    assert set(found["predictability"]) == set(found["online"]) == {"none"}
    test, validation = (
        read_dataset(place / "reference.zarr")
        for place in (noise.evaluation, noise.evaluation / "calibration")
    )
    energies = [one["total_kinetic_energy"].values for one in (test, validation)]
    assert not set(energies[0].ravel()) & set(energies[1].ravel())


@pytest.mark.slow
def test_its_report_tells_the_choice(noise):
    said = words(noise)
    chosen = scores(noise)["calibration"]["chosen"]
    assert "Noise chosen on the validation trajectories, in standard deviations: " in said
    assert said.count("(chosen)") == len(chosen)
    for title in ("Noise: offline error", "Noise: energy error of free runs"):
        assert title in said
    assert "the choice is at an end of the levels tried" in said  # there are but two


@pytest.mark.slow
def test_data_and_noise_are_taken_over(noise, combined):
    ours, theirs = digests(combined.path), digests(noise.path)
    assert {n: d for n, d in ours.items() if n.startswith("data/")} == {
        n: d for n, d in theirs.items() if n.startswith("data/")
    }
    chosen = scores(noise)["calibration"]["chosen"]
    published = {model.name: model for model in load_config(*COMBINED).learned()}
    renamed = 0
    for model in combined.config.learned():
        name = model.calibrated_as or model.name
        renamed += name in chosen and model.calibrated_as is not None
        if name in chosen:
            assert model.training["noise"] == chosen[name]
        else:
            assert model == published[model.name]
    assert renamed == 2  # compact and large-noise
    assert combined.config.noise_chosen_by.startswith("otness2025-kf-noise-tiny (config ")
    assert "chosen by the calibration of otness2025-kf-noise-tiny" in words(combined)
    # and what is kept in the folder is that config
    assert RunFolder.open(combined.path).config == combined.config


@pytest.mark.slow
def test_every_model_is_followed_and_told(combined):
    names = [model.name for model in combined.config.models]
    found, said = scores(combined), words(combined)
    assert list(found["predictability"]) == names
    for name, one in found["predictability"].items():
        assert one["units"] == "time units", name
        assert one["decorrelation_time"]["estimate"] > 0, name
        assert one["trajectories"] == 1, name  # of two members
        assert one["verdict"][1:] in said  # the report begins with a capital
        assert (one["gain"] is None) == (name == "none"), name
    results = load_results(combined)
    for name, sets in results.online.items():
        for data in sets:
            correlation = data["truth_correlation"].values
            assert correlation.shape == (2, 8), name
            assert np.abs(correlation).max() <= 1 + 1e-5, name
            # half a unit of time after it began from the truth
            assert correlation[:, 0].min() > 0.8, name
    said = words(combined)
    for title in (
        "How long free runs follow the truth",
        "Compensated energy spectrum",
        "Learning curves through the solver",
        "Is it worth its cost?",
    ):
        assert title in said


@pytest.mark.slow
def test_models_are_compared_with_what_they_stand_beside(combined):
    found, config = scores(combined), combined.config
    pairs = [(one["model"], one["other"]) for one in found["gains"]]
    for model in config.adapted():
        assert (model.name, model.of) in pairs
    assert ("multiscale-48", "single") in pairs
    times = {
        name: one["decorrelation_time"]["estimate"] for name, one in found["predictability"].items()
    }
    for one in found["gains"]:
        assert one["ratio"]["estimate"] == pytest.approx(
            times[one["model"]] / times[one["other"]], rel=1e-12
        )


@pytest.mark.slow
def test_a_finer_grid_starts_from_the_coarse_states_without_divergence(combined):
    test = HeldOut(combined, scored_members(combined.config))
    finer = [one for one in candidates(combined, test.system) if one.entry.kind == "grid"]
    assert [one.entry.size for one in finer] == [32, 64]
    start = test._initial_states
    for one in finer:
        setup = test._setup(one)
        fine, states = setup.model.system, setup.states
        assert states.u.shape == (2, one.entry.size, one.entry.size)
        assert setup.plan.steps == one.entry.substeps * test.plan.steps
        assert setup.model.dt == pytest.approx(combined.config.coarse_dt / one.entry.substeps)
        # speeds of order 5 over cells of 0.2 in single precision
        assert float(np.abs(jax.vmap(fine.divergence)(states)).max()) < 1e-3
        back = jax.vmap(setup.observer.coarsener)(states)
        for name in ("u", "v"):
            np.testing.assert_allclose(getattr(back, name), getattr(start, name), atol=1e-4)


@pytest.mark.slow
def test_it_is_kept_where_each_member_starts(combined):
    reference = read_dataset(combined.evaluation / "reference.zarr")
    assert reference["start_trajectory"].values.tolist() == [0, 0]
    frames = reference["start_frame"].values
    assert len(set(frames.tolist())) == 2
    test = HeldOut(combined, scored_members(combined.config))
    truth = open_dataset(test.store, test.size).load()
    after = combined.config.reference_stride
    for member, frame in enumerate(frames):
        u, v = (truth[name].values[0, frame + after] for name in ("u", "v"))
        energy = float(np.mean(u**2 + v**2)) / 2
        seen = float(reference["total_kinetic_energy"].values[member, 0])
        assert seen == pytest.approx(energy, rel=0.05)  # of velocities at the centres of cells


@pytest.mark.slow
def test_an_adapted_model_is_exported_with_all_that_was_done_to_it(combined, tmp_path):
    export_model(combined.path, "large-unrolled", tmp_path / "unrolled")
    bundle = load_bundle(tmp_path / "unrolled")
    kept = load_closure(combined.model("large-unrolled", 0))
    for ours, theirs in zip(jax.tree.leaves(bundle.closure), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert bundle.metadata["made_of"] == "large-clean"
    assert bundle.metadata["networks"] == ["x3", "x3"]
    card, records = bundle.card, read_records(combined.model("large-unrolled", 0) / "metrics.jsonl")
    assert "made of: large-clean, then 2 updates through the solver over 2 frames" in card
    assert f"validation loss {records[0]['validation']['loss']:.3g} before" in card
    assert f"It {scores(combined)['predictability']['large-unrolled']['verdict']}" in card
    export_model(combined.path, "large-limited", tmp_path / "limited")
    limited = load_bundle(tmp_path / "limited")
    kept = load_closure(combined.model("large-limited", 0)).output.constraints
    assert limited.closure.output.constraints == kept
    assert "at most the largest power of the true forcing" in limited.card
    export_model(combined.path, "single-projected", tmp_path / "projected")
    assert load_bundle(tmp_path / "projected").metadata["coupling"] == "project-after"
    for name in ("large-unrolled", "large-limited"):
        assert "None when this was written" in (combined.model(name, 0) / "card.md").read_text()


@pytest.mark.slow
def test_both_runs_have_the_same_truth_and_baseline(noise, combined):
    for path in ("reference.zarr", "online/none.zarr"):
        ours, theirs = (read_dataset(run.evaluation / path) for run in (combined, noise))
        assert ours.identical(theirs), path


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_report_of_a_flow_of_one_layer_names_no_layers_days_or_nan(runs, number):
    said = words(runs[number])
    for word in ("upper", "lower", "day", "days", "nan", "km"):
        assert not re.search(rf"\b{word}\b", said, flags=re.I), word
    truth = said.split("What was run Run ")[1].split("Truth ")[1].split("Data and training")[0]
    assert "time step 0.028" in truth
    assert not re.search(r"\d s\b", truth)


@pytest.mark.slow
def test_the_limited_closure_has_the_largest_power_of_the_forcing(combined):
    config = combined.config
    (model,) = [model for model in config.adapted() if model.output]
    base, limited = (load_closure(combined.model(name, 0)) for name in (model.of, model.name))
    coarse = build_coarse_systems(config, build_system(config))[0]
    wanted = energy_limit_of(samples_of(combined, "train", coarse))
    assert limited.output.constraints == (EnergyLimit(wanted),)
    assert base.output.constraints == ()
    for ours, theirs in zip(
        jax.tree.leaves(limited.network), jax.tree.leaves(base.network), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_the_unrolled_closure_is_trained_on_or_the_record_of_update_0(combined):
    (model,) = [model for model in combined.config.adapted() if model.fine_tune is not None]
    base, unrolled = (load_closure(combined.model(name, 0)) for name in (model.of, model.name))
    records = read_records(combined.model(model.name, 0) / "metrics.jsonl")
    assert [line["update"] for line in records] == [0, 1, 2]
    losses = [line["validation"]["loss"] for line in records]
    best = records[-1]["best_update"]
    assert best == int(np.argmin(losses))
    same = [
        np.array_equal(ours, theirs)
        for ours, theirs in zip(
            jax.tree.leaves(unrolled.network), jax.tree.leaves(base.network), strict=True
        )
    ]
    assert all(same) if best == 0 else not all(same)
    kept = "training through the solver made it no better on the validation windows"
    assert (kept in words(combined)) == (best == 0)


@pytest.mark.slow
def test_a_coupled_model_is_its_network_in_another_step(combined):
    (model,) = [model for model in combined.config.adapted() if model.coupling is not None]
    weights = [
        (combined.model(name, 0) / "weights.safetensors").read_bytes()
        for name in (model.of, model.name)
    ]
    assert weights[0] == weights[1]
    online = load_results(combined).online
    energies = [online[name][0]["total_kinetic_energy"].values for name in (model.of, model.name)]
    assert not np.array_equal(energies[0], energies[1])
    (free,) = [model for model in combined.config.learned() if model.output]
    (constraint,) = load_closure(combined.model(free.name, 0)).output.constraints
    assert isinstance(constraint, DivergenceFree)


class Stopped(Exception):
    pass


class StopsAt(Progress):
    """Stops the run when a task whose label begins so has done so much."""

    def __init__(self, label, done):
        self.label, self.least = label, done

    def task(self, label, total, unit="steps", first=""):
        return Work(self, label, total, unit, first)

    def show(self, task, finished):
        if task.label.startswith(self.label) and not finished and task.done >= self.least:
            raise Stopped


@pytest.mark.slow
def test_a_run_that_was_stopped_twice_ends_with_the_same_bits(combined, tmp_path):
    copy = RunFolder.open(shutil.copytree(combined.path, tmp_path / "copy"))
    (model,) = [model for model in copy.config.adapted() if model.fine_tune is not None]
    label = f"{model.name}-seed0"
    wanted = digests(copy.path)
    copy.forget("train")
    copy.scores.unlink()
    shutil.rmtree(copy.model(model.name))
    for kind in ("online", "offline"):
        shutil.rmtree(copy.evaluation / kind / f"{label}.zarr")
    assert digests(copy.path) != wanted

    with pytest.raises(Stopped):
        run_experiment(copy.config, copy.path, progress=StopsAt(f"train {model.name} seed 0", 1))
    assert not copy.is_done("train")
    with pytest.raises(Stopped):
        run_experiment(copy.config, copy.path, progress=StopsAt(f"online {label}", 8))
    assert copy.is_done("train")
    assert list((copy.evaluation / "partial").rglob(f"{label}.safetensors"))
    run_experiment(copy.config, copy.path)
    assert digests(copy.path) == wanted


@pytest.mark.slow
def test_a_calibration_that_was_stopped_ends_with_the_same_bits(noise, tmp_path):
    copy = RunFolder.open(shutil.copytree(noise.path, tmp_path / "copy"))
    label = copy.config.added_models()[1].trained_names()[0]
    wanted = digests(copy.path)
    copy.forget(f"evaluation/calibration/online/{label}.zarr")
    with pytest.raises(Stopped):
        run_experiment(copy.config, copy.path, progress=StopsAt(f"online {label}", 8))
    assert list((copy.evaluation / "partial").rglob(f"{label}.safetensors"))
    run_experiment(copy.config, copy.path)
    assert digests(copy.path) == wanted
    assert not (copy.evaluation / "partial").exists()


KICK = """
import jax

from subgrid.closures import AbstractClosure


class Kick(AbstractClosure):
    factor: float

    def __init__(self, system, factor):
        self.factor = factor

    def __call__(self, state, memory=None, forcing=None):
        return jax.tree.map(lambda c: self.factor * c, state), memory
"""


@pytest.mark.slow
def test_a_run_whose_closures_all_blow_up_says_so(noise, tmp_path, monkeypatch):
    (tmp_path / "kicking_closures.py").write_text(KICK)
    monkeypatch.syspath_prepend(tmp_path)
    tables = noise.config.to_dict()
    del tables["calibration"], tables["recipe"]
    own = {"kind": "closure", "closure": "kicking_closures:Kick"}
    tables["models"] += [
        {**own, "name": "at-once", "arguments": {"factor": 1e6}},
        {**own, "name": "later", "arguments": {"factor": 20.0}},
    ]
    folder = run_experiment(config_from_dict(tables), tmp_path / "run", data_from=noise.path)
    text = folder.scores.read_text()
    assert not re.search(r"NaN|Infinity", text)
    found = json.loads(text)["predictability"]
    assert [len(found[name]["blow_ups"]) for name in ("none", "at-once", "later")] == [0, 2, 2]
    assert found["at-once"]["energy_error"]["estimate"] is None
    assert found["later"]["energy_error"]["estimate"] > 0.1
    assert found["at-once"]["not_decorrelated"] == 0
    said = words(folder)
    assert "0 of 2 models follow the truth longer" in said
    assert "; 4 of 6 runs blew up." in said
    assert "at-once unstable Is unstable, follows the truth for 0.03 time units" in said
    assert "2 of 2 runs blew up, first at time 0.0." in said
    assert "Members that blew up" in said
    assert not re.search(r"\b(nan|days?|upper|lower)\b", said, flags=re.I)


@pytest.mark.slow
def test_noise_is_taken_from_evaluated_calibrations_of_models_that_are_here(
    noise, combined, tmp_path
):
    config = load_config(*COMBINED)
    with pytest.raises(ConfigError, match=r"no \[calibration\]; `subgrid run otness2025-kf-noise"):
        with_chosen_noise(config, combined.path)
    with pytest.raises(RunFolderError, match="is no run folder"):
        with_chosen_noise(config, tmp_path)
    tables = config.to_dict()
    tables["models"] = [model for model in tables["models"] if model["kind"] in ("none", "closure")]
    with pytest.raises(ConfigError, match=r"chose a noise for multiscale-48, .* no learned model"):
        with_chosen_noise(config_from_dict(tables), noise.path)
    copy = RunFolder.open(shutil.copytree(noise.path, tmp_path / "copy"))
    copy.forget("evaluate")
    with pytest.raises(RunFolderError, match=r"evaluation is not finished: `subgrid run .*copy` g"):
        with_chosen_noise(config, copy.path)
    with pytest.raises(ConfigError, match=r"run folder: its config is fixed, .* --noise-from"):
        resolve(str(combined.path), RunOptions(noise_from=noise.path))


@pytest.mark.slow
def test_noise_of_another_flow_or_of_models_that_were_not_tried_is_refused(noise):
    overrides = ["evaluation.dt=0.014", "evaluation.save_every=4"]
    with pytest.raises(ConfigError, match=r"its noise was chosen for another coarse_dt$"):
        with_chosen_noise(load_config(*COMBINED, overrides=overrides), noise.path)
    overrides = ["truth.spinup_steps=21"]
    with pytest.raises(ConfigError, match=r"its noise was chosen for another truth$"):
        with_chosen_noise(load_config(*COMBINED, overrides=overrides), noise.path)
    # other trajectories of the same flow are none
    with_chosen_noise(load_config(*COMBINED, overrides=["seed=1"]), noise.path)
    overrides = ["models.large-noise.calibrated_as=single-huge"]
    with pytest.raises(ConfigError, match=r"models\.large-noise\.calibrated_as: got 'single-huge'"):
        with_chosen_noise(load_config(*COMBINED, overrides=overrides), noise.path)


@pytest.mark.slow
def test_noise_that_is_chosen_again_is_no_error(noise, combined):
    again = with_chosen_noise(combined.config, noise.path)
    assert again == combined.config
    options = RunOptions(profile="tiny", noise_from=noise.path)
    config, out = resolve(COMBINED[0], options)
    assert config == combined.config
    assert out.name == "otness2025-combined-kf-tiny"


@pytest.mark.slow
def test_data_of_another_coarse_step_are_not_taken_over(noise, tmp_path):
    """What they hold as forcing is what a step of theirs misses."""
    overrides = ["evaluation.dt=0.014", "evaluation.save_every=4"]
    config = load_config(*COMBINED, overrides=overrides)
    with pytest.raises(ConfigError, match=r"made with other settings in coarse_dt\."):
        run_experiment(config, tmp_path / "run", data_from=noise.path)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("source", [NOISE, COMBINED])
def test_a_dry_run_counts_every_run(source, monkeypatch):
    monkeypatch.setattr(kernels, "timed", lambda call, at_once=1: 1.0)
    config = load_config(*source)
    stages = {stage.stage: stage for stage in plan.plan_run(config)}
    networks = sum(len(model.labels(config)) for model in config.models)
    members = config.evaluation.members
    calibration = getattr(config, "calibration", None)
    tried = 0 if calibration is None else 10 * calibration.members
    assert stages["evaluate"].total.amounts["free runs"] == networks * members + tried
    assert stages["evaluate"].total.amounts["steps"] == 16 * (networks * members + tried)


@pytest.mark.slow
def test_a_closure_that_is_exported_says_for_which_step_it_is_right(combined, tmp_path):
    export_model(combined.path, "single", tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.metadata["valid_for"]["target"] == "what a step of 0.028 misses"
    assert bundle.metadata["dt"] == 0.028
    assert not re.search(r"0\.\d+ s\b", bundle.card.split("## Scores")[0])
    coarse = build_coarse_systems(combined.config, build_system(combined.config))[0]
    state = coarse.initial_state(key=jax.random.key(0))
    trained = load_closure(combined.model("single", 0))
    np.testing.assert_array_equal(bundle.closure(state)[0].u, trained(state)[0].u)
