"""TOML that cannot be a config: one line of error, whatever the text does."""

import pytest

from subgrid.config import load_config, profile_names
from subgrid.config.loading import DEEPEST, NotTomlError, parsed
from subgrid.errors import ConfigError

TOO_DEEP = "more than 20 levels deep"


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 20_000,
        "a = " + "[" * 50 + "]" * 50,
        "a" + ".a" * 2_000 + " = 1",
        "[" + "a." * 20_000 + "a]",
        "a = " + "{a = " * 20_000,
    ],
)
def test_tables_without_end_are_told_in_a_line(tmp_path, text):
    file = tmp_path / "deep.toml"
    file.write_text(text)
    for read in (load_config, profile_names):
        with pytest.raises(ConfigError, match=TOO_DEEP) as caught:
            read(file)
        assert "\n" not in str(caught.value)


def test_as_many_levels_as_are_allowed_are_read():
    levels = DEEPEST - 1
    assert parsed("a = " + "[" * levels + "]" * levels, "it")["a"]
    with pytest.raises(NotTomlError, match="it is not valid TOML"):
        parsed("a = " + "9" * 5000, "it")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.updates=5\ny=1", "takes one setting, in one line"),
        ("training.updates=" + "[" * 20_000, TOO_DEEP),
        ("a" + ".a" * 20_000 + "=1", "no key is 20001 levels deep"),
        ("training.updates=" + "9" * 5000, "must be a valid integer"),
        ("training.updates=0x" + "f" * 20_000, "too large to show"),
        ("truth.dt=" + "9" * 400, "truth.dt: got 999"),
    ],
)
def test_an_override_is_one_setting(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config("quickstart", "tiny", [override])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profiles = 3", "profiles: got 3; must be a table of profiles"),
        ("[profiles]\ntiny = 3", r"profiles\.tiny: got 3; must be a table of settings"),
        (
            "[[models]]\nname = [1]\n[profiles.tiny]\nmodels = [{name = 'x'}]",
            r"models\.x\.kind: missing",
        ),
    ],
)
def test_profiles_of_another_shape_are_named(tmp_path, text, message):
    file = tmp_path / "odd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(file, "tiny")
