"""The command line in odd surroundings: terminals, homes, files and folders of all names."""

import io
import os
import pwd
import subprocess
import sys

import pytest

from subgrid.cli import main
from subgrid.config import load_config


def test_a_terminal_without_a_letter_shows_its_number(monkeypatch, cli):
    streams = {
        name: io.TextIOWrapper(io.BytesIO(), encoding="ascii") for name in ("stdout", "stderr")
    }
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert main(["list", "closures"]) == 0  # some have a Λ
    assert main(["run", "no-such-é"]) == 2
    for name, expected in (("stdout", rb"\u039b"), ("stderr", rb"no-such-\xe9")):
        streams[name].flush()
        assert expected in streams[name].buffer.getvalue()


def test_a_user_without_a_home_is_served(monkeypatch, cli):
    def unknown(*_):
        raise KeyError("getpwuid(): uid not found: 54321")

    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    code, out, err = cli("list", "metrics")
    assert (code, err) == (0, "")
    assert out
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my run.toml", "my-run"),
        ("it's.toml", "it-s"),
        ('a"b.toml', "a-b"),
        (r"a\b.toml", "a-b"),
        ("Événement_2.toml", "Evenement_2"),
        (".hidden.toml", "hidden"),
        ("plain-1.0.toml", "plain-1.0"),
        (f"{'long' * 30}.toml", ("long" * 30)[:60]),
    ],
)
def test_a_new_config_has_a_name_that_a_run_takes(cli, tmp_path, file, name):
    code, out, err = cli("new", "quickstart", file)
    assert code == 0, err
    assert load_config(tmp_path / file, "tiny").name == name
    assert (f"called {name}." in out) == (f"{name}.toml" != file)


def test_a_new_config_of_which_no_name_can_be_made_is_refused(cli, tmp_path):
    code, _, err = cli("new", "quickstart", "流れ.toml")
    assert code == 2
    assert "no letter from A to Z" in err
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_begins_with_a_byte_order_mark_is_read(cli, tmp_path):
    cli("new", "quickstart", "mine.toml")
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    (tmp_path / "marked.toml").write_text(text, encoding="utf-8-sig")
    assert load_config(tmp_path / "marked.toml", "tiny") == load_config(
        tmp_path / "mine.toml", "tiny"
    )
    (tmp_path / "wide.toml").write_text(text, encoding="utf-16")
    code, _, err = cli("cite", "wide.toml")
    assert code == 2
    assert "wide.toml is not valid TOML: 'utf-8' codec" in err


def test_a_preset_is_found_beside_a_folder_or_an_empty_file_of_its_name(cli, tmp_path):
    expected = cli("cite", "quickstart")
    assert expected[0] == 0
    (tmp_path / "quickstart").mkdir()
    assert cli("cite", "quickstart") == expected
    code, _, err = cli("simulate", "quickstart", "--set", "truth.dt=-1")
    assert code == 2
    assert "preset 'quickstart', profile 'laptop'" in err
    (tmp_path / "quickstart").rmdir()
    (tmp_path / "quickstart").touch()
    assert cli("cite", "quickstart") == expected
    code, _, err = cli("cite", "./quickstart")
    assert code == 2
    assert "problems in" in err
    assert "preset" not in err


def test_a_folder_that_is_neither_run_nor_preset_is_said_to_be_none(cli, tmp_path):
    (tmp_path / "mine").mkdir()
    code, _, err = cli("train", "mine")
    assert code == 2
    assert "mine is no run folder" in err


def test_figures_need_no_backend_of_a_notebook():
    code = (
        "from subgrid.evaluation.style import data_uri, new_panel\n"
        "print(data_uri(new_panel()[0])[:22])"
    )
    backend = {"MPLBACKEND": "a-notebook-that-is-not-here"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | backend, capture_output=True, text=True
    )
    assert done.stdout == "data:image/png;base64,\n", done.stderr
