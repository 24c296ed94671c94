"""Closures in folders: the same bits back, and every damage named."""

import errno
import json
import sys
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.closures import (
    CLOSURES,
    AbstractClosure,
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    ZeroMean,
    holds_closure,
    load_closure,
    load_metadata,
    save_closure,
    storage,
)
from subgrid.errors import ConfigError, CorruptFileError
from subgrid.systems import TwoLayerQG

KEYS = jax.random.split(jax.random.key(0), 4)


def psm4(inputs: int, key) -> eqx.Module:
    return nn.build("psm4", in_channels=inputs, out_channels=2, key=key, width=0.125)


class Own(eqx.Module):
    """A user's network: fields of many kinds, a function among them."""

    layer: eqx.nn.Conv2d
    head: eqx.nn.MLP
    activation: Callable
    factors: np.ndarray
    names: dict[str, tuple[int, float]]
    precision: object = eqx.field(static=True)

    def __init__(self, key):
        self.layer = eqx.nn.Conv2d(2, 2, 3, padding=1, padding_mode="CIRCULAR", key=key)
        self.head = eqx.nn.MLP(2, 2, 4, 1, key=key)
        self.activation = jax.nn.gelu
        self.factors = np.array([1.0, 2.0], np.float32)
        self.names = {"b": (1, float("inf")), "a": (2, 0.1)}
        self.precision = jnp.float32

    def __call__(self, x):
        y = self.activation(self.layer(x))
        y = jax.vmap(jax.vmap(self.head, -1, -1), -1, -1)(y)
        return self.factors[:, None, None] * y.astype(self.precision)


NETWORKS = {
    "ConvNet": lambda: psm4(2, KEYS[0]),
    "Cascade": lambda: nn.Cascade((psm4(2, KEYS[0]), psm4(4, KEYS[1])), (16, 12)),
    "Stacked": lambda: nn.Stacked(psm4(2, KEYS[0]), psm4(4, KEYS[1])),
    "own": lambda: Own(KEYS[2]),
}


@pytest.fixture(scope="module")
def system():
    return TwoLayerQG(16)


@pytest.fixture(scope="module")
def state(system):
    return system.State(1e-5 * jax.random.normal(KEYS[3], (2, 16, 16)))


def learned(network, constraints=()) -> LearnedClosure:
    scaler = nn.Scaler(jnp.array([5e-7, 0.0]), jnp.array([8e-6, 1e-6]))
    return LearnedClosure(Features(scaler=scaler), network, Output(scaler, constraints))


def assert_same_bits(first, second, state):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if eqx.is_array(one):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, strict=True)
    run = eqx.filter_jit(lambda closure, x: closure(x)[0].q)
    np.testing.assert_array_equal(run(first, state), run(second, state), strict=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_learned_closures_come_back_with_the_same_bits(name, tmp_path, state):
    closure = learned(NETWORKS[name](), [ZeroMean()])
    save_closure(closure, tmp_path / "model", {"seed": 3, "scores": [0.5, {"of": "validation"}]})
    assert_same_bits(closure, load_closure(tmp_path / "model", trust={"tests"}), state)
    metadata = load_metadata(tmp_path / "model")
    assert metadata["closure"] == "learned"
    assert metadata["metadata"] == {"seed": 3, "scores": [0.5, {"of": "validation"}]}
    assert metadata["versions"]["jax"] == jax.__version__


@pytest.mark.parametrize("name", CLOSURES.names()[:4])
def test_classical_closures_come_back_with_their_system(name, tmp_path, system, state):
    closure = CLOSURES.get(name)(system)
    save_closure(closure, tmp_path)
    loaded = load_closure(tmp_path)
    assert_same_bits(closure, loaded, state)
    assert loaded.system.settings() == system.settings()
    assert load_metadata(tmp_path)["closure"] == name


def test_flux_form_keeps_its_grid(tmp_path, system):
    network = nn.build("psm4", in_channels=2, out_channels=4, key=KEYS[0], width=0.125)
    save_closure(learned(network, [FluxForm(system.grid)]), tmp_path)
    assert load_closure(tmp_path).output.constraints == (FluxForm(system.grid),)


def test_weights_are_named_by_their_path(tmp_path):
    save_closure(learned(Own(KEYS[2])), tmp_path)
    from safetensors.numpy import load_file

    names = set(load_file(tmp_path / "weights.safetensors"))
    assert {"network.layer.weight", "features.scaler.mean", "network.head.layers.0.bias"} <= names
    document = json.loads((tmp_path / "model.json").read_text())
    assert document["structure"]["class"] == "subgrid.closures:LearnedClosure"


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "emptied"])
def test_damaged_files_are_named_and_left_alone(name, damage, tmp_path):
    save_closure(learned(Own(KEYS[2])), tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "truncated":
        content = content[: len(content) * 2 // 3]
    elif damage == "emptied":
        content = b""
    else:
        middle = len(content) // 2
        while not chr(content[middle]).isalnum():
            middle += 1
        content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=name):
        load_closure(tmp_path)
    assert path.read_bytes() == content


def test_missing_files(tmp_path):
    assert not holds_closure(tmp_path / "absent")
    (tmp_path / "weights.safetensors").write_bytes(b"of a killed writer")
    assert not holds_closure(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.json is missing"):
        load_closure(tmp_path)
    save_closure(learned(Own(KEYS[2])), tmp_path)
    assert holds_closure(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(CorruptFileError, match=r"weights\.safetensors is missing"):
        load_closure(tmp_path)


def test_nothing_is_overwritten_unasked(tmp_path):
    save_closure(learned(Own(KEYS[2])), tmp_path, {"run": 1})
    before = (tmp_path / "weights.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_closure(learned(Own(KEYS[1])), tmp_path, {"run": 2})
    assert (tmp_path / "weights.safetensors").read_bytes() == before
    save_closure(learned(Own(KEYS[1])), tmp_path, {"run": 2}, overwrite=True)
    assert load_metadata(tmp_path)["metadata"] == {"run": 2}
    assert (tmp_path / "weights.safetensors").read_bytes() != before


@pytest.mark.parametrize("writer", ["save_arrays", "write_atomic"])
def test_a_full_disk_leaves_the_older_closure(writer, tmp_path, monkeypatch):
    save_closure(learned(Own(KEYS[2])), tmp_path, {"run": 1})
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, writer, full)
    with pytest.raises(OSError, match="No space left"):
        save_closure(learned(Own(KEYS[1])), tmp_path, {"run": 2}, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_what_cannot_be_named_is_refused_before_anything_is_written(tmp_path):
    class Local(AbstractClosure):
        def __call__(self, state, memory=None, forcing=None):
            return state, memory

    def holding(anything):
        return LearnedClosure(Features(), eqx.nn.Lambda(anything), Output())

    folder = tmp_path / "model"
    with pytest.raises(ConfigError, match=r"Local.*cannot be imported by name"):
        save_closure(Local(), folder)
    with pytest.raises(ConfigError, match=r"network uses .*lambda"):
        save_closure(learned(lambda x: x), folder)
    with pytest.raises(ConfigError, match=r"network\.fn is a random key"):
        save_closure(holding(jax.random.key(0)), folder)
    with pytest.raises(ConfigError, match=r"network\.fn is a set, which cannot"):
        save_closure(holding({1, 2}), folder)
    with pytest.raises(ConfigError, match="metadata of a closure must be"):
        save_closure(learned(Own(KEYS[2])), folder, {"when": np.float32})
    assert not folder.exists()


def test_a_changed_class_is_named(tmp_path, monkeypatch):
    save_closure(learned(Own(KEYS[2])), tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "Own", psm4(2, KEYS[0]).__class__)
    with pytest.raises(ConfigError, match="the class changed after this was written") as caught:
        load_closure(tmp_path, trust=True)
    assert "written by subgrid" in caught.value.__notes__[0]
