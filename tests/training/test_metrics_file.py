"""metrics.jsonl and checkpoints: whatever is altered in them is found before it is used."""

import json
import shutil

import numpy as np
import pytest
import training_problem
from safetensors.numpy import save_file

from subgrid.errors import CorruptFileError
from subgrid.training import read_records


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A training that was stopped at update 18 of 60, with records of 0, 6, 12 and 18."""
    folder = tmp_path_factory.mktemp("half")

    def stop(event):
        if event.kind == "record" and event.update == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_problem.train(folder, callbacks=[stop])
    return folder


@pytest.fixture
def folder(half, tmp_path):
    return shutil.copytree(half, tmp_path / "run")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"update": 18', '"update": 58'),
        ('"best_update": 18', '"best_update": 12'),
        ('"best_loss": ', '"best_loss": 1'),
        ('"seconds": ', '"seconds": 9'),
    ],
)
def test_an_altered_position_or_setting_of_a_checkpoint_is_found(folder, old, new):
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    content = newest.read_bytes()
    # within the header's JSON, whose texts hold JSON of their own
    old, new = (text.replace('"', '\\"').encode() for text in (old, new))
    assert old in content
    length = int.from_bytes(content[:8], "little") + len(new) - len(old)
    newest.write_bytes(length.to_bytes(8, "little") + content[8:].replace(old, new, 1))
    with pytest.raises(CorruptFileError, match=newest.name):
        training_problem.train(folder)


def test_every_altered_or_missing_line_is_named(folder):
    path = folder / "metrics.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    records = read_records(path)
    assert [record["update"] for record in records] == [0, 6, 12, 18, 24]
    assert "checksum" not in records[0]
    for number, line in enumerate(lines):
        digit = next(place for place, letter in enumerate(line) if letter in "2345678")
        changed = line[:digit] + "9" + line[digit + 1 :]
        path.write_text("".join([*lines[:number], changed, *lines[number + 1 :]]))
        with pytest.raises(CorruptFileError, match=rf"metrics\.jsonl, line {number + 1}"):
            read_records(path)
        if number + 1 < len(lines):
            path.write_text("".join(lines[:number] + lines[number + 1 :]))
            with pytest.raises(CorruptFileError, match=rf"metrics\.jsonl, line {number + 1}"):
                read_records(path)
    path.write_text(whole + '{"update": 30, "lo')  # cut short by a kill
    assert read_records(path) == records


@pytest.mark.parametrize("kept", [None, 0, 3])
def test_a_training_whose_metrics_are_gone_does_not_go_on_without_them(folder, kept):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.unlink()
    if kept is not None:
        path.write_text("".join(lines[:kept]))
    with pytest.raises(CorruptFileError, match=r"metrics\.jsonl is gone, or lacks .* update 18"):
        training_problem.train(folder)


def test_lines_of_an_earlier_version_are_read_and_go_on(folder):
    path = folder / "metrics.jsonl"
    wanted = read_records(path)
    path.write_text("".join(json.dumps(record) + "\n" for record in wanted))
    assert read_records(path) == wanted
    training_problem.train(folder)
    assert read_records(path)[:4] == wanted[:4]
    assert path.read_text().count("checksum") == 11


@pytest.mark.parametrize("name", ["metrics.jsonl", "best.safetensors"])
def test_a_training_overwrites_no_file_that_it_did_not_write(tmp_path, name):
    path = tmp_path / name
    if name == "metrics.jsonl":
        path.write_text('{"epoch": 1, "accuracy": 0.5}\n')
    else:
        save_file({"a": np.zeros(2)}, path)
    content = path.read_bytes()
    with pytest.raises(CorruptFileError, match=name):
        training_problem.train(tmp_path)
    assert path.read_bytes() == content
