"""Bundles: shipped or in a folder, loaded in one line, with what they are valid for."""

import errno

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pyqg_jax import qg_model

import subgrid
from subgrid import nn
from subgrid.closures import Features, LearnedClosure, Output, holds_closure, save_closure
from subgrid.deploy import (
    Bundle,
    bundles,
    copy_bundle,
    in_pyqg_jax,
    load_bundle,
    pretrained,
    validity,
    write_bundle,
)
from subgrid.deploy import bundle as module
from subgrid.errors import ConfigError, CorruptFileError, UnknownNameError
from subgrid.provenance import write_atomic
from subgrid.systems import BarotropicVorticity, TwoLayerQG

SYSTEM = TwoLayerQG(16, beta=2e-11)
CARD = "# tiny: closure of a test\n\nNothing to boast of.\n"


def closure():
    network = nn.build("4x3-x3", in_channels=2, out_channels=2, key=jax.random.key(0))
    scaler = lambda std: nn.Scaler(jnp.zeros(2), jnp.full(2, std))  # noqa: E731
    return LearnedClosure(Features(scaler=scaler(1e-5)), network, Output(scaler(1e-12)))


def write(folder, online=SYSTEM):
    valid = validity("qg", SYSTEM, online, "operator1")
    write_bundle(closure(), folder, metadata={"valid_for": valid, "dt": 3600.0}, card=CARD)
    return folder


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped bundles with one in it."""
    monkeypatch.setattr(module, "_SHIPPED", tmp_path / "shipped")
    write(tmp_path / "shipped" / "tiny")
    return tmp_path / "shipped"


@pytest.mark.parametrize("by_name", [True, False])
def test_a_bundle_loads_in_one_line_with_the_same_bits(shipped, by_name):
    assert bundles() == ["tiny"]
    found = subgrid.deploy.pretrained("tiny" if by_name else shipped / "tiny")
    state = SYSTEM.State(1e-5 * jax.random.normal(jax.random.key(1), (2, 16, 16)))
    np.testing.assert_array_equal(found(state)[0].q, closure()(state)[0].q)
    whole = load_bundle("tiny")
    assert (whole.name, whole.card, whole.metadata["dt"]) == ("tiny", CARD, 3600.0)
    assert whole.size == sum(file.stat().st_size for file in (shipped / "tiny").iterdir())


def test_a_bundle_builds_the_system_it_was_tested_in(tmp_path):
    online = SYSTEM.at(16, filter_sharpness=4.0)
    bundle = load_bundle(write(tmp_path / "b", online))
    assert bundle.system().settings() == online.settings()
    assert bundle.system(nx=32, ny=32).grid.nx == 32


def test_its_closure_runs_in_the_system_it_was_tested_in(tmp_path):
    """Where free runs have another filter than the data, features are formed by their system."""
    online, seen = SYSTEM.at(16, filter_sharpness=4.0), Features(("q", "tendency"))
    network = nn.build("4x3-x3", in_channels=4, out_channels=2, key=jax.random.key(0))
    trained = LearnedClosure(seen, network, Output(), SYSTEM)
    metadata = {"valid_for": validity("qg", SYSTEM, online, "operator1"), "dt": 3600.0}
    write_bundle(trained, tmp_path / "b", metadata=metadata, card=CARD)
    bundle = load_bundle(tmp_path / "b")
    model = bundle.system().model(bundle.metadata["dt"], bundle.closure)
    assert float(model.closure.system.filter_sharpness) == 4.0
    with pytest.raises(ConfigError, match=r"beta = 2e-11 \(closure\), 1e-11 \(model\)"):
        bundle.system(beta=1e-11).model(3600.0, bundle.closure)


def test_a_bundle_goes_into_pyqg_jax(tmp_path):
    bundle = load_bundle(write(tmp_path / "b"))
    in_pyqg_jax(qg_model.QGModel(nx=16, beta=2e-11), bundle.closure, bundle.system())
    with pytest.raises(ConfigError, match=r"beta = 1\.5e-11 \(here beta = 2e-11\)"):
        in_pyqg_jax(qg_model.QGModel(nx=16), bundle.closure, bundle.system())


def test_an_unknown_bundle_is_named_with_those_that_are_shipped(shipped):
    with pytest.raises(UnknownNameError, match=r"unknown bundle 'tny'\. Did you mean 'tiny'"):
        pretrained("tny")
    assert issubclass(UnknownNameError, ConfigError)


def test_a_closure_that_does_not_say_where_it_is_valid_is_no_bundle(tmp_path):
    save_closure(closure(), tmp_path / "plain")
    with pytest.raises(ConfigError, match="no bundle: it does not say what it is valid for"):
        load_bundle(tmp_path / "plain")


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_damaged_bundle_is_named_and_not_copied(tmp_path, name):
    bundle = load_bundle(write(tmp_path / "b"))
    file = tmp_path / "b" / name
    file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    with pytest.raises(CorruptFileError, match=name):
        pretrained(tmp_path / "b")
    with pytest.raises(CorruptFileError, match=name):
        copy_bundle(bundle, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", ["save_closure", "write_atomic"])
def test_a_bundle_is_written_whole_or_not_at_all(tmp_path, monkeypatch, there, name):
    if there:
        (tmp_path / "b").mkdir()
    writer = getattr(module, name)

    def interrupted(*arguments):
        writer(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "b")
    assert [file.name for file in tmp_path.rglob("*")] == ["b"] * there
    assert load_bundle(write(tmp_path / "b")).card == CARD
    assert [file.name for file in tmp_path.iterdir()] == ["b"]
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_bundle_is_not_written_among_other_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="not empty"):
        write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["weights.safetensors", "card.md", "model.json"])
def test_a_copy_that_was_interrupted_is_no_bundle_and_is_made_again(tmp_path, monkeypatch, name):
    bundle = load_bundle(write(tmp_path / "b"))

    def full(path, content):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomic", full)
        with pytest.raises(OSError, match="No space left"):
            copy_bundle(bundle, tmp_path / "copy")
    assert not holds_closure(tmp_path / "copy")
    with pytest.raises(UnknownNameError):
        load_bundle(tmp_path / "copy")
    copy_bundle(bundle, tmp_path / "copy")
    assert load_bundle(tmp_path / "copy").checksum == bundle.checksum


def test_a_copy_has_the_same_bytes(tmp_path):
    bundle = load_bundle(write(tmp_path / "b"))
    copy_bundle(bundle, tmp_path / "copy")
    copied = load_bundle(tmp_path / "copy")
    assert copied.checksum == bundle.checksum
    for file in (tmp_path / "b").iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()


def test_what_differs_from_another_use_is_listed(tmp_path):
    bundle = load_bundle(write(tmp_path / "b"))

    def differences(system, online=None, operator="operator1"):
        return bundle.differences(validity("qg", system, online or system, operator))

    assert differences(SYSTEM) == {}
    assert differences(TwoLayerQG(16, beta=2.00000001e-11)) == {}  # the same in single precision
    assert differences(TwoLayerQG(16, beta=2e-11, pv_bound=1.0)) == {}  # no physics
    assert differences(TwoLayerQG(16, beta=2.01e-11)) == {"beta": (2e-11, 2.01e-11)}
    assert differences(TwoLayerQG(24, 16, beta=2e-11)) == {
        "nx": (16, 24),
        "length_y": (1e6, 2e6 / 3),
    }
    flows = [BarotropicVorticity(8, vorticity_bound=bound) for bound in (10.0, 20.0)]
    mine, theirs = (validity("barotropic", flow, flow, "operator1") for flow in flows)
    of_flow = Bundle("b", tmp_path / "b", {"valid_for": mine})
    assert of_flow.differences(theirs) == {}  # whatever its limit of a healthy run is called
    jet = differences(TwoLayerQG(16, configuration="jet", beta=2e-11), operator="operator2")
    assert set(jet) == {"configuration", "thickness_ratio", "bottom_drag", "operator"}
    sharper = differences(SYSTEM, SYSTEM.at(16, filter_sharpness=4.0))
    assert sharper == {"filter_sharpness of the free runs": ("unset", 4.0)}


def test_a_system_that_cannot_tell_its_settings_is_refused():
    with pytest.raises(ConfigError, match="'mine:Still' has no method `settings`"):
        validity("mine:Still", object(), object(), "operator1")
