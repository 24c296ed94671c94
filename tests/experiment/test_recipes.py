"""A recipe of a user's own: its tasks run, on any workers, without a file of ours changed."""

import json
import pickle
import sys
from pathlib import Path

import pytest
from experiment_runs import SMALLEST, Notes, finish, start

from subgrid.config import load_config, preset_names
from subgrid.errors import ConfigError, UntrustedCodeError
from subgrid.experiment import RunFolder, run_experiment

RECIPE = '''
"""Counts the cells of the truth, and then doubles them."""

from subgrid.experiment import AbstractRecipe, Task


def count(context):
    config = context.folder.config
    (context.folder.path / "cells.txt").write_text(str(config.truth.nx**2))
    context.progress.note("counted")


def double(context):
    cells = int((context.folder.path / "cells.txt").read_text())
    (context.folder.path / "scores.json").write_text(str(2 * cells))
    return {"cells": 2 * cells}


class Recipe(AbstractRecipe):
    """Counts cells."""

    def tasks(self, config):
        nx = {"nx": config.truth.nx}
        first = Task(name="cells.txt", stage="simulate", settings=nx, run=count)
        yield first
        yield Task(name="scores.json", stage="evaluate", settings={}, run=double, inputs=(first,))
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A config that names a recipe in the current folder."""
    (tmp_path / "own_recipe.py").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield load_config(SMALLEST, overrides=["recipe=own_recipe:Recipe"])
    sys.modules.pop("own_recipe", None)


def test_its_tasks_run_once_and_again_where_a_setting_changes(own, tmp_path):
    notes = Notes()
    folder = run_experiment(own, tmp_path / "run", progress=notes)
    assert folder.scores.read_text() == "512"
    assert "counted" in notes.lines
    assert folder.stages()["evaluate"]["cells"] == 512
    assert list(json.loads((folder.path / "manifest.json").read_text())["tasks"]) == [
        "cells.txt",
        "scores.json",
    ]
    notes = Notes()
    run_experiment(own, tmp_path / "run", progress=notes)
    assert "simulate: done already" in notes.lines
    assert "counted" not in notes.lines


def test_it_is_a_stranger_in_a_folder_of_another(own, tmp_path):
    folder = run_experiment(own, tmp_path / "run")
    with pytest.raises(UntrustedCodeError, match="recipe = 'own_recipe:Recipe'"):
        RunFolder.open(folder.path)
    assert RunFolder.open(folder.path, trust=True).is_done("evaluate")


@pytest.mark.slow
def test_worker_processes_know_it(own, tmp_path):
    arguments = ("run", SMALLEST, "--set", "recipe=own_recipe:Recipe", "--workers", "2")
    code, output = finish(start(*arguments, "--out", "run", cwd=tmp_path))
    assert code == 0, output
    assert (tmp_path / "run/scores.json").read_text() == "512"


def test_a_recipe_that_does_not_exist_is_an_error_that_lists_the_known(tmp_path):
    for name, message in (
        ("closur", "recipe: unknown recipe 'closur'. Did you mean 'closure'. Known: closure"),
        ("nowhere:Recipe", "recipe: cannot import recipe 'nowhere:Recipe'"),
    ):
        message = message.replace("'closure'. Known", "'closure'? Known")
        with pytest.raises(ConfigError) as caught:
            run_experiment(load_config(SMALLEST, overrides=[f"recipe={name}"]), tmp_path / "run")
        assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_section_of_another_recipe_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="separated: this section is for recipe = 'separated'"):
        load_config("otness2025-separated", "tiny", ["recipe=closure"])


PAIRS = """
from subgrid.config import Section
from subgrid.experiment import AbstractRecipe


class PairsConfig(Section):
    count: int = 2


class Pairs(AbstractRecipe):
    sections = {"pairs": (PairsConfig | None, None)}

    def tasks(self, config):
        return ()
"""


def test_a_recipe_of_ones_own_brings_sections_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "own_pairs.py").write_text(PAIRS)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = "recipe=own_pairs:Pairs"
    config = load_config(SMALLEST, overrides=[recipe, "pairs.count=3"])
    assert config.pairs.count == 3
    assert load_config(SMALLEST, overrides=[recipe]).pairs is None
    assert pickle.loads(pickle.dumps(config)) == config  # as worker processes get it
    with pytest.raises(ConfigError, match=r"pairs\.cuont: unknown key\. Did you mean 'count'"):
        load_config(SMALLEST, overrides=[recipe, "pairs.cuont=3"])
    # a run folder may be a stranger's: what its recipe brings is not read, nor is that imported
    folder = RunFolder.create(tmp_path / "run", config)
    assert folder.config == config
    there = RunFolder.read(folder.path)
    assert there.config.to_dict() == config.to_dict()
    assert RunFolder.read(folder.path, trust=True).config == config
    with pytest.raises(UntrustedCodeError, match="own_pairs:Pairs"):
        load_config(folder.path)


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_names_its_recipe_and_no_two_tasks_write_one_place(preset):
    tasks = RunFolder(Path(), load_config(preset, "tiny")).tasks
    places = [place for task in tasks.values() for place in task.places(Path())]
    assert len(places) == len(set(places))
    assert list(tasks)[-2:] == ["scores.json", "report.html"]
