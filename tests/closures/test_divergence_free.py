"""Closures whose network returns a streamfunction: increments without divergence."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid import nn
from subgrid.closures import (
    DivergenceFree,
    Features,
    FluxForm,
    LearnedClosure,
    Output,
    ScaleCut,
    ZeroMean,
    check_closure,
    load_closure,
    save_closure,
)
from subgrid.errors import ConfigError, ShapeError
from subgrid.grids import PeriodicGrid, downscale
from subgrid.stepping import rollout
from subgrid.systems import KolmogorovFlow, TwoLayerQG

SYSTEM = KolmogorovFlow(16)
STATE = SYSTEM.initial_state(key=jax.random.key(1))
increment_of = eqx.filter_jit(lambda closure, state: closure(state)[0])


class Fixed(eqx.Module):
    """A network that returns this, whatever it sees."""

    output: jax.Array

    def __call__(self, seen):
        return self.output


def learned(out_channels=1, network=None, scale=0.3, grid=SYSTEM.grid, further=()):
    if network is None:
        network = nn.build(
            "psm4", in_channels=2, out_channels=out_channels, key=jax.random.key(0), width=0.125
        )
    features = Features(scaler=nn.Scaler([0.1, 0.0], [2.0, 2.5]))
    outputs = nn.Scaler(0.2 * np.ones(out_channels), scale * np.ones(out_channels))
    constraints = [DivergenceFree(grid), *further] if out_channels == 1 else further
    return LearnedClosure(features, network, Output(outputs, constraints))


@pytest.mark.parametrize("further", [(), (ScaleCut(0.6),), (ZeroMean(),)])
def test_divergence_and_mean_are_zero(further):
    free, plain = (
        jnp.stack(jax.tree.leaves(increment_of(closure, STATE)))
        for closure in (learned(further=further), learned(2))
    )
    for increment in (free, plain):
        size = float(jnp.abs(increment).max())
        divergence = float(jnp.abs(SYSTEM.divergence(SYSTEM.State(*increment))).max())
        mean = float(jnp.abs(jnp.mean(increment, axis=(1, 2))).max())
        if increment is free:  # float32 roundings of ψ, of order dx times the increment
            assert divergence * SYSTEM.grid.dx < 2e-6 * size
            assert mean < 1e-6 * size
            assert float(jnp.std(increment, axis=(1, 2)).min()) > 0.1 * size
        else:  # what the same network does without
            assert divergence * SYSTEM.grid.dx > 1e-2 * size
            assert mean > 1e-2 * size


def test_the_increment_is_the_rotated_gradient_of_the_output_in_units():
    psi = np.random.default_rng(0).normal(size=SYSTEM.grid.shape).astype(np.float32)
    increment = increment_of(learned(network=Fixed(jnp.asarray(psi)[None])), STATE)
    dx = SYSTEM.grid.dx
    u = -0.3 * (psi - np.roll(psi, 1, axis=0)) / dx  # ψ lies north and south of the east face
    v = 0.3 * (psi - np.roll(psi, 1, axis=1)) / dx
    np.testing.assert_allclose(increment.u, u, rtol=0, atol=1e-5)  # float32, of order one
    np.testing.assert_allclose(increment.v, v, rtol=0, atol=1e-5)
    # a projection onto fields without divergence leaves them where they are
    projected = SYSTEM.project(increment)
    np.testing.assert_allclose(projected.u, increment.u, rtol=0, atol=1e-5)
    np.testing.assert_allclose(projected.v, increment.v, rtol=0, atol=1e-5)


def test_on_a_coarser_grid_it_is_what_is_left_of_the_fine_increment():
    """D C⊥ ψ, from D ψ: so a stage of a cascade can reach its target D S exactly."""
    psi = jnp.asarray(np.random.default_rng(0).normal(size=(1, *SYSTEM.grid.shape)), jnp.float32)
    coarse = PeriodicGrid(8, 8, SYSTEM.grid.length_x)
    closure = learned()
    fields = jnp.zeros((2, *SYSTEM.grid.shape))
    fine = closure.output(psi, fields)
    found = closure.output(downscale(psi, 8, 8), fields)
    assert found.shape == (2, 8, 8)
    np.testing.assert_allclose(found, downscale(fine, 8, 8), rtol=0, atol=1e-5)
    # differences on the coarse grid would not
    other = learned(grid=coarse).output(downscale(psi, 8, 8), jnp.zeros((2, 8, 8)))
    assert float(jnp.abs(other - found).max()) > 0.1 * float(jnp.abs(found).max())


def test_it_runs_in_the_model_and_keeps_it_without_divergence():
    closure = learned()
    check_closure(closure, SYSTEM)
    dt = 0.25 * SYSTEM.grid.dx / 7
    free = rollout(SYSTEM.model(dt, closure), STATE, 4, 4)
    plain = rollout(SYSTEM.model(dt, learned(2)), STATE, 4, 4)
    assert int(free.blew_up_at) == -1
    # the increment is added after the step, without another projection
    divergences = [
        float(jnp.abs(SYSTEM.divergence(jax.tree.map(lambda x: x[-1], run.states))).max())
        for run in (free, plain)
    ]
    assert divergences[0] < 3e-5 < 1e-4 < divergences[1]  # float32, velocities of 7 over dx


def test_it_comes_back_from_a_folder(tmp_path):
    closure = learned()
    save_closure(closure, tmp_path)
    again = load_closure(tmp_path)
    assert again.output.constraints == (DivergenceFree(SYSTEM.grid),)
    assert jax.tree.structure(again) == jax.tree.structure(closure)
    for ours, theirs in zip(
        *(jax.tree.leaves(increment_of(c, STATE)) for c in (again, closure)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_its_file_says_what_it_is_made_of(tmp_path):
    save_closure(learned(further=[ScaleCut(0.5)]), tmp_path)
    fields = json.loads((tmp_path / "model.json").read_text())["structure"]["fields"]
    assert set(fields) == {"features", "network", "output", "system"}
    first, second = fields["output"]["fields"]["constraints"]
    assert first["class"] == "subgrid.closures:DivergenceFree"
    assert second == {"class": "subgrid.closures:ScaleCut", "fields": {"share": 0.5}}


def test_gradients_reach_every_weight():
    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(closure):
        return sum(jnp.mean(part**3) for part in jax.tree.leaves(closure(STATE)[0]))

    leaves = jax.tree_util.tree_leaves_with_path(gradient(learned()).network)
    last = leaves[-1][1]  # the bias of ψ, which no increment can tell
    assert last.shape[0] == 1
    assert all(np.any(np.asarray(leaf) != 0) for _, leaf in leaves[:-1])


def test_wrong_use_is_named():
    with pytest.raises(ConfigError, match=r"two velocities .*QG has the variables \['q'\]"):
        DivergenceFree.for_system(TwoLayerQG(16))
    with pytest.raises(ValueError, match=r"DivergenceFree and FluxForm are two readings.*choose"):
        learned(further=[FluxForm(SYSTEM.grid)])
    with pytest.raises(ValueError, match="DivergenceFree reads the network's output: put it first"):
        Output(None, [ZeroMean(), DivergenceFree(SYSTEM.grid)])
    with pytest.raises(ShapeError, match=r"must map \(2, 16, 16\) to \(1, 16, 16\) \(of which D"):
        learned(network=Fixed(jnp.zeros((2, 16, 16))))(STATE)
    with pytest.raises(ShapeError, match=r"on \(16, 16\).*divergence-free closure.*\(8, 8\)"):
        learned(grid=PeriodicGrid(8))(STATE)
    three = {"a": jnp.zeros((3, 16, 16))}
    output = Output(nn.Scaler.identity(1), [DivergenceFree(SYSTEM.grid)])
    closure = LearnedClosure(Features(), Fixed(jnp.zeros((1, 16, 16))), output)
    with pytest.raises(ShapeError, match=r"two channels, the velocities u and v, .* has 3"):
        closure(three)
    layers = TwoLayerQG(16, 12)
    with pytest.raises(ShapeError, match="divergence-free closure takes its differences on"):
        check_closure(learned(), layers)
