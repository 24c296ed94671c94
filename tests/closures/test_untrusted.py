"""A closure from a stranger: nothing that it names runs, however it is named."""

import jax
import jax.numpy as jnp
import pytest

from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output, load_closure, save_closure
from subgrid.errors import ConfigError, CorruptFileError, UntrustedCodeError

RUN = {"object": "cProfile:run"}
PARTIAL = {
    "func": RUN,
    "args": ["import pathlib; pathlib.Path('ran').touch()"],
    "keywords": {"dict": {}},
}
MODULE = """
open("ran", "w").close()
import equinox as eqx


class Net(eqx.Module):
    factor: float

    def __call__(self, x):
        return self.factor * x
"""
FOREIGN = {
    "a function": ({"object": "subprocess:run"}, "subprocess:run"),
    "a call that waits to be made": (
        {"class": "equinox:Partial", "fields": PARTIAL},
        "equinox:Partial, cProfile:run",
    ),
    "JAX's own": ({"class": "jax.tree_util:Partial", "fields": PARTIAL}, "jax.tree_util:Partial"),
    "inside a known class": (
        {"class": "equinox.nn:Lambda", "fields": {"fn": {"object": "os:system"}}},
        "os:system",
    ),
    "a module beside it": ({"class": "beside:Net", "fields": {"factor": 1.0}}, "beside:Net"),
    "a default": ({"default_of": "beside:Net:factor"}, "beside:Net"),
    "a function of ours": (
        {"object": "subgrid.closures.storage:save_closure"},
        "subgrid.closures.storage:save_closure",
    ),
    "a class of ours that writes": (
        {"class": "subgrid.training.trackers:JsonLines", "fields": {"path": "ran"}},
        "subgrid.training.trackers:JsonLines",
    ),
    "through a module of ours": (
        {"class": "subgrid.closures.storage:os.PathLike", "fields": {}},
        "subgrid.closures.storage:os.PathLike",
    ),
    "in a list in a table": ({"list": [[{"dict": {"a": {"object": "beside:Net"}}}]]}, "beside:Net"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a small closure, with a module beside it that tells when it is run."""
    (tmp_path / "beside.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    network = nn.build("4x3-x3", in_channels=2, out_channels=2, key=jax.random.key(0))
    scaler = nn.Scaler(jnp.zeros(2), jnp.ones(2))
    save_closure(
        LearnedClosure(Features(scaler=scaler), network, Output(scaler)), tmp_path / "model"
    )
    return tmp_path / "model"


def with_network(value):
    def change(document):
        document["structure"]["fields"]["network"] = value

    return change


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_code_is_named_and_not_imported(case, folder, forge, tmp_path):
    network, names = FOREIGN[case]
    forge(folder, with_network(network))
    with pytest.raises(UntrustedCodeError, match=names) as caught:
        load_closure(folder)
    assert str(folder / "model.json") in str(caught.value)
    with pytest.raises(UntrustedCodeError):
        load_closure(folder, trust={"some_package"})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "network",
    [
        {"class": "subgrid.closures.storage:Path", "fields": {}},
        {"class": "subgrid.nn:build", "fields": {}},
        {"class": "equinox.nn:Absent", "fields": {}},
        {"scalar_type": "save"},
        {"scalar_type": "linalg"},
        {"default_of": "equinox.nn:MLP:absent"},
        {"class": "subgrid.closures:AbstractClosure", "fields": {}},
    ],
    ids=str,
)
def test_what_is_no_class_or_type_of_a_model_is_refused(network, folder, forge):
    forge(folder, with_network(network))
    with pytest.raises((ConfigError, CorruptFileError)):
        load_closure(folder)


@pytest.mark.parametrize("trust", [True, {"beside"}], ids=str)
def test_a_class_of_your_own_is_read_with_trust_from_the_current_folder(
    trust, folder, forge, tmp_path, monkeypatch
):
    import sys

    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    forge(folder, with_network(FOREIGN["a module beside it"][0]))
    before = list(sys.path)
    network = load_closure(folder, trust).network
    assert (type(network).__module__, network.factor) == ("beside", 1.0)
    assert (tmp_path / "ran").exists()
    assert sys.path == [*before, str(tmp_path)]  # after everything that is installed
    del sys.modules["beside"]
