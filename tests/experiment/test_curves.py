"""What learning curves say: a training that lowered nothing is named."""

import json
from pathlib import Path

import pytest

from subgrid.config import load_config
from subgrid.experiment import RunFolder
from subgrid.recipes.curves import remarks, unlearned

SMALLEST = Path(__file__).with_name("smallest.toml")


def write(path, losses, every):
    path.mkdir(parents=True)
    lines = [
        {"update": every * n, "loss": loss, "validation": {"loss": loss}, "best_update": 0}
        for n, loss in enumerate(losses)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("losses", "named"),
    [([1.0, 0.981], True), ([1.0, 0.979], False), ([0.75, None, 0.4], False), ([], False)],
)
def test_two_percent_is_the_border_and_losses_may_be_missing(tmp_path, losses, named):
    folder = RunFolder.create(tmp_path / "run", load_config(SMALLEST))
    write(folder.model("stacked", 0), losses, 100)
    assert len(unlearned(folder)) == named


@pytest.mark.parametrize(("every", "named"), [(100, True), (2, False)])
def test_a_training_that_lowered_nothing_is_named(tmp_path, every, named):
    folder = RunFolder.create(tmp_path / "run", load_config(SMALLEST))
    write(folder.model("cascade", 0) / "stage_0", [0.35, 0.2, 0.15], every)
    write(folder.model("cascade", 0) / "stage_1", [0.7526, 0.7496, 0.7497], every)  # as seen once
    write(folder.model("stacked", 0), [1.1, 0.6, 0.5], every)
    found = unlearned(folder)
    assert (
        found
        == [
            "cascade, seed 0, stage_1, hardly learned: validation loss 0.753 before, 0.75 at best. "
            "Its units may have died."
        ]
        * named
    )


@pytest.mark.parametrize(("last", "named"), [(1.0502, True), (1.0501, False)])
def test_a_training_that_ends_as_a_constant_is_named(tmp_path, last, named):
    folder = RunFolder.create(tmp_path / "run", load_config(SMALLEST))
    write(folder.model("stacked", 0), [1.35, 1.0502, 1.0502, last], 100)  # as seen once
    wanted = [
        "stacked, seed 0, stopped learning: validation loss 1.35 before, 1.05 at best. Its units "
        "may have died."
    ]
    assert unlearned(folder) == wanted * named


def finish(path, **last):
    path.mkdir(parents=True)
    line = {"update": 100, "validation": {"loss": 0.5}, "best_update": 100, "skipped": 0, **last}
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")


def test_every_network_and_scale_of_a_model_is_looked_at(tmp_path):
    folder = RunFolder.create(tmp_path / "run", load_config(SMALLEST))
    finish(folder.model("cascade", 0) / "stage_0", best_update=0)
    finish(folder.model("cascade", 0) / "stage_1", skipped=30)
    finish(folder.model("stacked", 0))
    (said,) = remarks(folder).values()
    assert list(remarks(folder)) == ["cascade"]
    first, second = said.split("; ")
    assert first.startswith("seed 0, stage_0: its weights are those it began with")
    assert second.startswith("seed 0, stage_1: 30 of its 100 updates were skipped")
