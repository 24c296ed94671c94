"""Closures from bundles as models of an experiment: tested like trained ones, without training."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiment_runs import SMALLEST, digests

from subgrid import nn
from subgrid.cli import main
from subgrid.closures import Features, FluxForm, LearnedClosure, Output
from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.deploy import load_bundle, validity, write_bundle
from subgrid.errors import ConfigError, CorruptFileError, RunFolderError
from subgrid.experiment import Context, RunFolder, run_experiment
from subgrid.experiment.progress import Progress
from subgrid.recipes import export_model, plan_run
from subgrid.recipes.citations import citations
from subgrid.recipes.making import make_model
from subgrid.recipes.pretrained import transfer_warnings
from subgrid.recipes.results import read_dataset
from subgrid.systems import TwoLayerQG


@pytest.fixture(scope="module")
def bundle(finished, tmp_path_factory):
    """The cascade of the finished run as a bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "trained"
    export_model(finished, "cascade", folder)
    return folder


def with_bundle(bundle, *, trained=False, **sections):
    """Return the smallest experiment with a pretrained model, and no other but if `trained`."""
    tables = load_config(SMALLEST).to_dict()
    if not trained:
        tables["models"] = [model for model in tables["models"] if model["kind"] == "none"]
        tables["data"]["trajectories"] |= {"train": 0, "validation": 0}
    model = {"name": "ready", "kind": "pretrained", "bundle": str(bundle)}
    tables["models"].append(model | sections.pop("model", {}))
    for name, changes in sections.items():
        tables[name] |= changes
    return config_from_dict(tables)


def copy_of(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "bundle")


@pytest.fixture(scope="module")
def tested(bundle, tmp_path_factory):
    """A run in which nothing is trained."""
    return run_experiment(with_bundle(bundle), tmp_path_factory.mktemp("runs") / "tested").path


@pytest.mark.slow
def test_it_is_scored_as_in_the_run_that_trained_it(tested, finished):
    theirs, ours = (json.loads((run / "scores.json").read_text()) for run in (finished, tested))
    assert list(ours["online"]) == ["none", "ready"]
    assert list(ours["offline"]) == ["ready"]
    # the same closure from the same test states, which do not depend on the other splits
    one = read_dataset(finished / "evaluation/online/cascade-seed0.zarr")
    other = read_dataset(tested / "evaluation/online/ready.zarr")
    np.testing.assert_array_equal(one.kinetic_energy_spectrum, other.kinetic_energy_spectrum)
    # units do not matter to the skill but for rounding; those of the MSE come from another split
    skill, again = (s["offline"][n][0] for s, n in ((theirs, "cascade"), (ours, "ready")))
    np.testing.assert_allclose(skill["r_squared"], again["r_squared"], rtol=1e-6)
    assert skill["mse"] != again["mse"]
    # single precision
    np.testing.assert_allclose(again["mse"], _error_by_hand(tested), rtol=1e-5)


def _error_by_hand(run):
    """Return the mean squared error in units of the variance of the test split's forcing."""
    from subgrid.data import Samples, statistics

    closure = load_bundle(run / "models/ready").closure
    samples = Samples(run / "data/test.zarr", 12, ("q", "q_forcing"), in_memory=False)
    batch = samples.batch(samples.spread(4))
    state = TwoLayerQG(12).State
    made = jax.vmap(lambda q: closure(state(q))[0].q)(jnp.asarray(batch["q"]))
    std = statistics(run / "data/test.zarr", 12)["q_forcing"].std[:, None, None]
    return np.mean(((np.asarray(made, np.float64) - batch["q_forcing"]) / std) ** 2)


@pytest.mark.slow
def test_nothing_is_simulated_or_trained_that_is_not_needed(tested, bundle):
    assert [path.name for path in (tested / "data").glob("*.zarr")] == ["test.zarr"]
    assert sorted(path.name for path in (tested / "models/ready").iterdir()) == [
        "card.md",
        "files.sha256",
        "model.json",
        "weights.safetensors",
    ]
    record = RunFolder.open(tested).stages()["train"]
    checksum = load_bundle(bundle).checksum
    assert record["pretrained"] == {"ready": {"bundle": str(bundle), "sha256": checksum}}
    assert record["files"]["models/ready/model.json"] == checksum
    page = (tested / "report.html").read_text()
    assert f"trained in smallest; SHA-256 of its model.json {checksum[:12]}" in page
    assert "was trained for" not in page
    assert "updates of" not in page


@pytest.mark.slow
def test_it_stands_beside_models_that_are_trained(bundle, tmp_path):
    config = with_bundle(bundle, trained=True)
    folder = run_experiment(config, tmp_path / "run", stages=("simulate", "train"))
    assert (folder.path / "models/ready/model.json").exists()
    assert (folder.path / "models/cascade/seed_0/model.json").exists()
    evaluation = next(plan for plan in plan_run(config) if plan.stage == "evaluate")
    # without closure, smagorinsky, cascade, stacked with two seeds and ready, two members each
    assert evaluation.total.amounts["free runs"] == 12


OTHER = {
    "truth": {"configuration": "jet", "constants": {"beta": 1.5e-11}},
    "coarse": {"sizes": [10], "operator": "operator2"},
}


def test_another_use_is_refused_before_anything_is_simulated(bundle, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run_experiment(with_bundle(bundle, **OTHER), tmp_path / "run")
    text = str(caught.value)
    assert "models.ready: bundle 'trained' was trained and tested for another use" in text
    for line in (
        "nx: bundle 12, experiment 10",
        "configuration: bundle 'eddy', experiment 'jet'",
        "thickness_ratio: bundle 0.25, experiment 0.1",
        "operator: bundle 'operator1', experiment 'operator2'",
    ):
        assert line in text
    assert "beta" not in text
    assert "transfer = true" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_transfer_is_tested_and_the_report_warns(bundle, tmp_path):
    changed = {"truth": {"constants": {"beta": 2e-11}}, "model": {"transfer": True}}
    folder = run_experiment(with_bundle(bundle, **changed), tmp_path / "run")
    warning = "ready was trained for beta = 1.5e-11 and is used on beta = 2e-11."
    assert warning in folder.report.read_text()


@pytest.mark.parametrize("nx", [16, 24])
def test_a_truth_of_another_grid_is_no_obstacle_but_a_warning(bundle, tmp_path, nx):
    config = with_bundle(bundle, truth={"nx": nx})
    check_builds(config)  # the coarse model is the same
    folder = RunFolder.create(tmp_path / "run", config)
    make_model(Context(folder), config.pretrained()[0])
    warning = "ready was trained with a truth of 16 x 16 cells and is compared with one of 24 x 24."
    assert transfer_warnings(folder) == [warning] * (nx == 24)


def test_what_bundles_have_in_common_is_told_once(bundle, tmp_path):
    changed = {"truth": {"nx": 24, "constants": {"beta": 2e-11}}, "model": {"transfer": True}}
    tables = with_bundle(bundle, **changed).to_dict()
    tables["models"].append({**tables["models"][-1], "name": "again"})
    folder = RunFolder.create(tmp_path / "run", config_from_dict(tables))
    for model in folder.config.pretrained():
        make_model(Context(folder), model)
    assert transfer_warnings(folder) == [
        "ready, again were trained for beta = 1.5e-11 and are used on beta = 2e-11.",
        "ready, again were trained with a truth of 16 x 16 cells and are compared with one of "
        "24 x 24.",
    ]


def test_a_bundle_that_does_not_say_its_truth_is_not_warned_of(tmp_path):
    system, scaler = TwoLayerQG(12), nn.Scaler(jnp.zeros(2), jnp.ones(2))
    network = nn.build("4x3-x3", in_channels=2, out_channels=2, key=jax.random.key(0))
    metadata = {"valid_for": validity("qg", system, system, "operator1"), "dt": 7200.0}
    own = LearnedClosure(Features(scaler=scaler), network, Output(scaler))
    write_bundle(own, tmp_path / "b", metadata=metadata, card="# b\n")
    config = with_bundle(tmp_path / "b")
    folder = RunFolder.create(tmp_path / "run", config)
    make_model(Context(folder), config.pretrained()[0])
    assert transfer_warnings(folder) == []


def test_a_closure_that_cannot_run_on_a_grid_is_refused_with_transfer_too(tmp_path):
    system = TwoLayerQG(12)
    network = nn.build("4x3-x3", in_channels=2, out_channels=4, key=jax.random.key(0))
    scalers = nn.Scaler(jnp.zeros(2), jnp.ones(2)), nn.Scaler(jnp.zeros(4), jnp.ones(4))
    output = Output(scalers[1], [FluxForm(system.grid)])
    fluxes = LearnedClosure(Features(scaler=scalers[0]), network, output)
    valid = validity("qg", system, system, "operator1")
    write_bundle(fluxes, tmp_path / "b", metadata={"valid_for": valid, "dt": 1.0}, card="# b\n")
    config = with_bundle(tmp_path / "b", coarse={"sizes": [10]}, model={"transfer": True})
    with pytest.raises(ConfigError, match=r"models\.ready: bundle 'b' cannot run here.*\(12, 12\)"):
        run_experiment(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # on the grid it was made for it can
    small = with_bundle(tmp_path / "b")
    run_experiment(small, tmp_path / "run", stages=("simulate", "train"))


class Notes(Progress):
    """Keeps what a run tells."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def exchanged(bundle, finished):
    """Put another bundle in the place of one, as an update of subgrid may do with shipped ones."""
    shutil.rmtree(bundle)
    export_model(finished, "stacked", bundle)


CHANGED = r"models\.ready: bundle .* was changed after the run took it over"


@pytest.mark.slow
def test_a_run_keeps_to_its_copy_of_a_bundle_that_changed(bundle, finished, tmp_path):
    mine = copy_of(bundle, tmp_path)
    config, run, notes = with_bundle(mine), tmp_path / "run", Notes()
    run_experiment(config, run, stages=("simulate", "train"))
    exchanged(mine, finished)
    run_experiment(config, run, progress=notes)
    assert load_bundle(run / "models/ready").checksum == load_bundle(bundle).checksum
    assert any(re.match(CHANGED + r".*; the run uses its copy\.", line) for line in notes.lines)
    before = digests(run)
    page = run_experiment(config, run, stages=("report",), force=True).report.read_text()
    assert "was changed after the run took it over" in page
    assert digests(run) == before
    notes = Notes()
    folder = run_experiment(config, run, stages=("train",), force=True, progress=notes)
    assert load_bundle(run / "models/ready").checksum == load_bundle(mine).checksum
    assert not [line for line in notes.lines if re.match(CHANGED, line)]
    assert transfer_warnings(folder) == []


def test_a_training_begun_with_another_bundle_is_not_gone_on_with(bundle, finished, tmp_path):
    mine = copy_of(bundle, tmp_path)
    config, run = with_bundle(mine), tmp_path / "run"
    folder = run_experiment(config, run, stages=("simulate", "train"))
    folder.forget("train")  # as if killed after the copy
    exchanged(mine, finished)
    before = digests(run)
    with pytest.raises(RunFolderError, match=CHANGED + r"(?s:.*)'train' of .* is not finished"):
        run_experiment(config, run)
    assert digests(run) == before
    run_experiment(config, run, stages=("train",), force=True)  # takes the new one
    assert load_bundle(run / "models/ready").checksum == load_bundle(mine).checksum


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("damage", ["altered", "no bundle"])
def test_a_damaged_bundle_is_as_good_as_gone_once_it_was_taken_over(bundle, tmp_path, damage, done):
    mine = copy_of(bundle, tmp_path)
    config, notes = with_bundle(mine), Notes()
    folder = run_experiment(config, tmp_path / "run", stages=("simulate", "train"))
    if not done:
        folder.forget("train")
    if damage == "altered":
        (mine / "model.json").write_text("{}")
    else:
        (mine / "card.md").unlink()
    run_experiment(config, folder.path, stages=("simulate", "train"), progress=notes)
    assert folder.is_done("train")
    assert not [line for line in notes.lines if re.match(CHANGED, line)]


@pytest.mark.slow
def test_a_run_has_no_need_of_a_bundle_that_is_gone(bundle, tmp_path, capsys):
    mine = copy_of(bundle, tmp_path)
    config, run = with_bundle(mine), tmp_path / "run"
    run_experiment(config, run, stages=("simulate", "train"))
    shutil.rmtree(mine)
    assert main(["cite", str(run)]) == 0
    assert "{otness2025," in capsys.readouterr().out
    assert main(["run", str(run), "--dry-run"]) == 0
    assert "4 free runs" in capsys.readouterr().out
    folder = run_experiment(config, run)
    assert "ready" in json.loads(folder.scores.read_text())["online"]
    with pytest.raises(ConfigError, match=r"models\.ready: unknown bundle"):
        run_experiment(config, run, stages=("train",), force=True)
    assert (run / "models/ready/model.json").exists()


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_copy_that_was_altered_is_noticed(bundle, tmp_path, name):
    config = with_bundle(bundle)
    run_experiment(config, tmp_path / "run", stages=("simulate", "train"))
    file = tmp_path / "run/models/ready" / name
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptFileError, match=f"models/ready/{name} is truncated or"):
        run_experiment(config, tmp_path / "run")


def test_the_paper_behind_its_arrangement_is_cited(bundle):
    tables = with_bundle(bundle).to_dict()
    alone = config_from_dict({**tables, "models": [{"name": "none", "kind": "none"}]})
    assert "{otness2025," in "".join(citations(config_from_dict(tables)))
    assert "{otness2025," not in "".join(citations(alone))


def test_an_unknown_bundle_is_named_with_its_key(tmp_path):
    with pytest.raises(ConfigError, match=r"models\.ready: unknown bundle '.*nowhere'"):
        run_experiment(with_bundle(tmp_path / "nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_key_of_training_depends_on_the_bundle_but_not_without_one(bundle):
    one, other = (RunFolder(bundle, with_bundle(name)).tasks for name in (bundle, "other"))
    assert one["data/test"].key == other["data/test"].key
    assert one["models/ready"].key != other["models/ready"].key
