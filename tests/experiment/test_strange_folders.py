"""Run folders that a stranger made: nothing they name runs, nothing they link to is touched."""

import json
import os
import shutil
import sys

import equinox as eqx
import jax
import pytest
from experiment_runs import SMALLEST

from subgrid.cli import main
from subgrid.closures import save_closure
from subgrid.config import check_builds, config_from_dict, load_config
from subgrid.deploy import validity, write_bundle
from subgrid.errors import ConfigError, CorruptFileError, UntrustedCodeError
from subgrid.experiment import RunFolder, RunLock, run_experiment
from subgrid.recipes import export_model, make_markdown
from subgrid.systems import TwoLayerQG

TINY = load_config(SMALLEST)
RAN = "import pathlib\npathlib.Path('ran').touch()\n"
NAMED = {
    "recipe": "stranger:Recipe",
    "truth.system": "stranger:System",
    "coarse.operator": "stranger:Operator",
    "models.smagorinsky.closure": "stranger:Closure",
    "models.stacked.networks": ["4x3-x3", "stranger:build"],
}


class Own(eqx.Module):
    """A user's network."""

    factor: jax.Array = eqx.field(converter=jax.numpy.asarray)

    def __call__(self, x):
        return self.factor * x


def build_own(*, in_channels, out_channels, key, width=1.0):
    return Own(width)


def build_foreign(*, in_channels, out_channels, key, width=1.0):
    return eqx.Partial(jax.numpy.multiply, jax.numpy.asarray(width))


def with_network(reference):
    """Return the smallest experiment with a network of the user's own."""
    tables = TINY.to_dict()
    tables["models"].append({"name": "mine", "kind": "learned", "networks": [reference]})
    return config_from_dict(tables)


OWN, FOREIGN = (f"{__name__}:{name}" for name in ("build_own", "build_foreign"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder in which nothing is done, in a current folder with a module of its maker."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger.py").write_text(RAN)
    folder = RunFolder.create(tmp_path / "run", TINY).path
    for name in ("data/train.zarr", "models/stacked", "evaluation"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture(params=NAMED)
def naming(request, run, tmp_path, monkeypatch):
    """The folder of a run whose config names code, and the key that does."""
    shutil.rmtree(run)
    config = load_config(
        SMALLEST, overrides=[f"{request.param}={json.dumps(NAMED[request.param])}"]
    )
    made = RunFolder.create(run, config).path, request.param
    # the maker's own reading of it runs a recipe, for its sections; that of others must not
    (tmp_path / "ran").unlink(missing_ok=True)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return made


def test_code_named_by_a_config_is_named_and_not_run(naming, tmp_path, capfd):
    folder, key = naming
    named = rf"{key}.*'stranger:"
    for read in (RunFolder.open, load_config):
        with pytest.raises(UntrustedCodeError, match=named):
            read(folder)
    with pytest.raises(UntrustedCodeError, match=named):
        export_model(folder, "stacked", tmp_path / "out")
    with pytest.raises(UntrustedCodeError, match=named):
        make_markdown(folder, tmp_path / "report.md")
    commands = [[stage, folder] for stage in ("run", "simulate", "train", "evaluate", "report")]
    commands += [["run", folder, "--dry-run"], ["export", folder, "stacked", "--out", "out"]]
    for command in commands:
        assert main(list(map(str, command))) == 2
        assert "--trust" in capfd.readouterr().err
    assert main(["cite", str(folder)]) == 0  # imports nothing that it names
    assert not (tmp_path / "ran").exists()


def test_with_trust_it_runs_after_it_was_named(naming, tmp_path, capfd, caplog, monkeypatch):
    folder, key = naming
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    assert main(["run", str(folder), "--dry-run", "--trust"]) == 2  # there is no such class in it
    assert "has no" in capfd.readouterr().err
    assert "which runs since you trust it" in caplog.text  # standard error, outside of pytest
    assert f"{key} = 'stranger:" in caplog.text
    assert (tmp_path / "ran").exists()


def test_data_and_noise_are_taken_from_a_folder_without_running_it(naming, run, tmp_path):
    folder, _ = naming
    config = load_config(SMALLEST, overrides=["seed=9"])
    with pytest.raises(ConfigError, match="other settings"):
        run_experiment(config, tmp_path / "mine", data_from=folder)
    assert not (tmp_path / "ran").exists()


def test_a_config_of_your_own_needs_no_trust(run):
    shutil.rmtree(run)
    config = with_network(OWN)
    folder = RunFolder.create(run, config)
    assert RunFolder.existing(run, config) is not None
    check_builds(config)
    save_closure(Own(2.0), folder.model("mine", 0))
    assert folder.load_model("mine", 0).factor == 2.0
    # a folder whose config names no such code may not bring it
    with pytest.raises(UntrustedCodeError, match="Own"):
        RunFolder(run, TINY).load_model("mine", 0)
    assert RunFolder(run, TINY, trust=True).load_model("mine", 0).factor == 2.0


def test_a_network_that_could_not_be_read_again_is_refused_before_it_is_trained(run):
    config = with_network(FOREIGN)
    with pytest.raises(UntrustedCodeError, match=r"'mine' names .*equinox:Partial"):
        check_builds(config)
    check_builds(config, trust=True)


def test_a_bundle_in_your_config_may_not_run_its_own_code(tmp_path):
    system = TwoLayerQG(12)
    valid = validity("qg", system, system, "operator1")
    metadata = {"valid_for": valid, "dt": 7200.0}
    write_bundle(Own(2.0), tmp_path / "bundle", metadata=metadata, card="# Own\n")
    tables = with_network(OWN).to_dict()
    model = {"name": "ready", "kind": "pretrained", "bundle": str(tmp_path / "bundle")}
    tables["models"].append(model | {"transfer": True})
    with pytest.raises(UntrustedCodeError, match=":Own"):
        run_experiment(config_from_dict(tables), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize(
    "name",
    ["config.toml", "manifest.json", "data/train.zarr/zarr.json", "models/stacked/metrics.jsonl"],
)
def test_odd_files_in_a_run_folder_are_refused(name, kind, run, tmp_path):
    file = run / name
    secret = tmp_path / "secret"
    secret.write_bytes(file.read_bytes() if file.exists() else b"mine")
    before = secret.read_bytes()
    file.unlink(missing_ok=True)
    if kind == "link":
        file.symlink_to(secret)
    else:
        os.mkfifo(file)
    with pytest.raises((CorruptFileError, ConfigError, RuntimeError)):
        run_experiment(TINY, run)
    with pytest.raises((CorruptFileError, ConfigError, RuntimeError)):
        run_experiment(TINY, tmp_path / "mine", data_from=run)
    assert secret.read_bytes() == before


def test_a_lock_that_is_a_link_empties_no_other_file(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    (run / ".lock").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(CorruptFileError, match=r"\.lock is a symbolic link"), RunLock(run):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_the_folders_themselves_may_be_links_to_another_disk(run, tmp_path):
    for name in ("data", "models", "evaluation"):
        (run / name).rename(tmp_path / name)
        (run / name).symlink_to(tmp_path / name)
    assert RunFolder.open(run).config == TINY
    (tmp_path / "data" / "train.zarr" / "c").symlink_to(tmp_path)
    with pytest.raises(CorruptFileError, match="c is a symbolic link"):
        RunFolder.open(run)


def test_other_links_of_a_user_beside_the_results_do_no_harm(run, tmp_path):
    (run / "notes").symlink_to(tmp_path)
    assert RunFolder.open(run).config == TINY


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret"])
def test_a_manifest_names_no_file_outside(name, run):
    folder = RunFolder.open(run)
    record = {"key": folder.tasks["data/test"].key, "files": {name: "0" * 64}}
    folder.write_manifest({**folder.manifest(), "tasks": {"data/test": record}})
    with pytest.raises(CorruptFileError, match="not inside of it"):
        folder.is_done("data/test")
