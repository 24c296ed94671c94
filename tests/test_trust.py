"""What a file may name: known classes and activations, and whatever its reader trusts."""

import logging
import sys

import jax
import pytest

from subgrid.closures import CLOSURES
from subgrid.closures._structure import describe, rebuild
from subgrid.coarsening import COARSENERS
from subgrid.errors import ConfigError, UntrustedCodeError
from subgrid.registry import import_named
from subgrid.systems import SYSTEMS
from subgrid.trust import (
    KNOWN_FUNCTIONS,
    is_known_class,
    names_known_class,
    package_of,
    require_trust,
)


@pytest.mark.parametrize("registry", [CLOSURES, COARSENERS, SYSTEMS], ids=lambda r: r.kind)
def test_every_registered_class_is_known(registry):
    for name in registry.names():
        cls = registry.get(name)
        assert names_known_class(f"{cls.__module__}:{cls.__qualname__}"), name
        assert is_known_class(cls), name


@pytest.mark.parametrize(
    "reference",
    [
        "subprocess:Popen",
        "equinox:Partial",
        "jax.tree_util:Partial",
        "equinox.nn_more:Conv2d",
        "subgrid.provenance:Path",
        "subgrid.training:JsonLines",
        "subgrid.nn:cnn.ConvNet",
        "subgrid.nn:",
        ":Conv2d",
        "",
    ],
)
def test_other_classes_are_not(reference):
    assert not names_known_class(reference)


def test_every_known_function_is_one_of_arrays_and_comes_back_from_its_name():
    for reference in KNOWN_FUNCTIONS:
        function = import_named(reference, "function")
        assert callable(function), reference
        assert function.__module__.startswith("jax"), reference
        structure, _ = describe(function)
        # by another of its names, perhaps, but always one that is known
        assert structure["object"] in KNOWN_FUNCTIONS, reference
        assert rebuild(structure, {}, "a file") is function


def test_a_function_that_is_not_listed_needs_trust():
    structure, _ = describe(jax.nn.one_hot)
    with pytest.raises(UntrustedCodeError, match=r"a file names .*jax\.nn:one_hot"):
        rebuild(structure, {}, "a file")
    assert rebuild(structure, {}, "a file", trust=True) is jax.nn.one_hot


def test_the_message_names_every_name_and_how_to_go_on():
    named = {"truth.system = 'a:B'": "a:B", "models.m.closure = 'c.d:E'": "c.d:E"}
    with pytest.raises(UntrustedCodeError) as caught:
        require_trust("runs/x/config.toml", named)
    for part in ("runs/x/config.toml", "truth.system = 'a:B'", "'c.d:E'", "--trust", "trust=True"):
        assert part in str(caught.value)
    assert issubclass(UntrustedCodeError, ConfigError)  # exit code 2
    with pytest.raises(UntrustedCodeError) as caught:
        require_trust("runs/x/config.toml", named, {"a"})
    assert "'a:B'" not in str(caught.value)
    require_trust("runs/x/config.toml", named, {"a", package_of("c.d:E")})


def test_what_is_trusted_is_named_once(caplog):
    with caplog.at_level(logging.WARNING, "subgrid.trust"):
        for _ in range(2):
            require_trust("once/model.json", {"a:B": "a:B"}, trust=True)
    assert [record.getMessage() for record in caplog.records] == [
        "once/model.json names code of its own, which runs since you trust it: a:B"
    ]


def test_the_current_folder_is_searched_last_and_for_typed_names_only(tmp_path, monkeypatch):
    (tmp_path / "typed_by_me.py").write_text("class Closure: pass\n")
    (tmp_path / "equinox.py").write_text("raise SystemExit('stands in for the package')\n")
    elsewhere = [path for path in sys.path if path]
    monkeypatch.setattr(sys, "path", list(elsewhere))
    monkeypatch.chdir(tmp_path)
    CLOSURES.get("smagorinsky")
    assert sys.path == elsewhere
    assert CLOSURES.get("typed_by_me:Closure").__name__ == "Closure"
    assert sys.path == [*elsewhere, str(tmp_path)]
    assert CLOSURES.get("equinox:Module").__name__ == "Module"
    CLOSURES.get("typed_by_me:Closure")
    assert sys.path == [*elsewhere, str(tmp_path)]
    del sys.modules["typed_by_me"]
