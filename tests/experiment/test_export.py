"""A trained model of a run as a bundle: which one, what is written with it, what is refused."""

import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from subgrid.cli import main
from subgrid.closures import load_closure
from subgrid.config import build_coarse_systems, build_system
from subgrid.deploy import load_bundle
from subgrid.experiment import RunFolder
from subgrid.recipes import export, export_model


def same_weights(one, other):
    # without the system: that of a bundle knows the one it was tested in
    pairs = zip(jax.tree.leaves(one.network), jax.tree.leaves(other.network), strict=True)
    return all(bool(jnp.array_equal(a, b)) for a, b in pairs)


def validation_losses(run, model, seeds):
    lines = [(run / f"models/{model}/seed_{n}/metrics.jsonl").read_text() for n in range(seeds)]
    return [
        min(json.loads(line)["validation"]["loss"] for line in text.splitlines()) for text in lines
    ]


def test_the_network_with_the_best_validation_loss_is_exported(finished, tmp_path, capsys):
    assert (
        main(["export", str(finished), "stacked", "--to", "bundle", "--out", str(tmp_path / "b")])
        == 0
    )
    losses = validation_losses(finished, "stacked", 2)
    best = losses.index(min(losses))
    assert f"wrote stacked, seed {best}" in capsys.readouterr().out
    bundle = load_bundle(tmp_path / "b")
    assert same_weights(bundle.closure, load_closure(finished / f"models/stacked/seed_{best}"))
    assert export_model(finished, "stacked", tmp_path / "other", seed=1 - best) == 1 - best
    other = load_bundle(tmp_path / "other")
    assert same_weights(other.closure, load_closure(finished / f"models/stacked/seed_{1 - best}"))
    assert not same_weights(other.closure, bundle.closure)


def test_the_choice_follows_the_validation_loss(finished, tmp_path, monkeypatch):
    def records(folder, model, number):
        loss = {0: 3.0, 1: 1.0}[number]
        return [[{"update": 2, "best_update": 2, "validation": {"loss": loss}, "skipped": 0}]]

    monkeypatch.setattr(export, "learning_records", records)
    assert export_model(finished, "stacked", tmp_path / "b") == 1
    monkeypatch.setattr(export, "learning_records", lambda f, m, n: records(f, m, 1 - n))
    assert export_model(finished, "stacked", tmp_path / "c") == 0


def test_a_bundle_says_where_it_comes_from_and_is_valid(finished, tmp_path):
    export_model(finished, "cascade", tmp_path / "b")
    bundle, folder = load_bundle(tmp_path / "b"), RunFolder.open(finished)
    coarse = build_coarse_systems(folder.config, build_system(folder.config))[0]
    assert bundle.system().settings() == coarse.settings()
    said = bundle.metadata
    assert said["valid_for"]["operator"] == "operator1"
    assert said["dt"] == 7200.0
    assert said["truth"] == {"cells": "16 x 16", "dt": 7200.0}
    assert (said["experiment"], said["experiment_seed"], said["seed"]) == ("smallest", 3, 0)
    assert said["data"] == folder.stages()["simulate"]["splits"]["train"]["content_hash"]
    assert said["code"]["commit"] == (
        folder.stages()["train"]["environment"]["commit"] or "unknown"
    )
    assert str(finished) not in (tmp_path / "b/model.json").read_text() + bundle.card


def test_the_card_shows_the_scores_of_the_run_and_its_limits(finished, tmp_path):
    scores = json.loads((finished / "scores.json").read_text())
    export_model(finished, "cascade", tmp_path / "b")
    card = load_bundle(tmp_path / "b").card
    assert card.startswith("# cascade, seed 0: closure for qg (eddy), 12 x 12 cells\n")
    online, offline = scores["online"]["cascade"], scores["offline"]["cascade"][0]
    assert f"- online, this network: {online['verdict']}\n" in card
    assert "Scored are 2 of 2 runs. Mean of the 18 similarity scores" in card
    mean = sum(online["similarity"].values()) / 18
    assert f"worse): {mean:.3g}\n" in card
    for name in ("r_squared", "correlation"):
        assert f"{offline[name][0]:.3g} upper, {offline[name][1]:.3g} lower" in card
    assert f"{online['cost']['ratio']:.3g} times that of the coarse model" in card
    assert "on cpu: " in card
    # 10 steps of 7200 s
    assert "Free runs of 0.833 days from\n  2 initial" in card
    assert "what other initial weights do is not known" in card
    # one training per scale
    assert card.count("best validation loss 0") + card.count("best validation loss 1") == 2


def test_a_card_of_one_of_several_networks_tells_it_from_all(finished, tmp_path):
    record = json.loads((finished / "scores.json").read_text())["online"]["stacked"]
    export_model(finished, "stacked", tmp_path / "b", seed=0)
    card = load_bundle(tmp_path / "b").card
    assert f"- online, all networks of the model, 2: {record['verdict']}\n" in card
    own = card.split("- online, this network: ")[1].split("\n")[0]
    assert own != record["verdict"]
    assert own.endswith("0 of 2 members blew up.")
    assert "Scored are 4 of 4 runs" in card


def test_the_card_in_the_run_has_no_scores_yet(finished):
    card = (finished / "models/cascade/seed_0/card.md").read_text()
    assert card.startswith("# cascade, seed 0: closure for qg (eddy)")
    assert "None when this was written" in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("smagorinsky",), "unknown model trained in"),
        (("stackd",), "Did you mean 'stacked'"),
        (("stacked", "--seed", "2"), "--seed 2: stacked was trained with seeds 0 to 1"),
        (("stacked", "--to", "fortrn"), "unknown exporter 'fortrn'"),
        (("stacked", "--out", "."), "exists and is not empty; nothing is overwritten"),
    ],
)
def test_what_cannot_be_exported_is_named(
    finished, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.tex").write_text("precious")
    out = () if "--out" in arguments else ("--out", "b")
    assert main(["export", str(finished), *arguments, *out]) == 2
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_bundle_goes_into_an_empty_folder_but_not_where_the_shell_is(
    finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(finished), "stacked", "--out", "."]) == 2
    assert "--out .: is the current folder" in capsys.readouterr().err
    (tmp_path / "b").mkdir()
    assert main(["export", str(finished), "stacked", "--out", "b"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["b"]
    load_bundle("b")


def test_a_run_must_be_evaluated_first(a_copy, tmp_path, capsys):
    RunFolder.open(a_copy).forget("evaluate")
    assert main(["export", str(a_copy), "stacked", "--out", str(tmp_path / "b")]) == 2
    assert "is not evaluated yet" in capsys.readouterr().err
    shutil.rmtree(a_copy / "models")
    assert main(["export", str(a_copy), "stacked", "--out", str(tmp_path / "b")]) == 1
    assert "is gone" in capsys.readouterr().err
