"""Training for the separated experiments: it learns, and resumes with the same bits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up import SIZE, MadeUp

from subgrid.nn import ConvNet
from subgrid.training import Adam, Constant, Plan, checkpoint, train_separated

LOW = 8


@pytest.fixture
def samples():
    train, validation = MadeUp(48, 1), MadeUp(16, 2)
    return train, validation


def train(samples, folder, task, updates=60):
    channels = 4 if task == "buildup" else 2
    network = ConvNet(channels, 2, (8,), (3, 3), key=jax.random.key(0))
    plan = Plan(
        optimiser=Adam(Constant(1e-2)),
        updates=updates,
        batch_size=8,
        validation_samples=16,
        validate_every=20,
        checkpoint_every=20,
    )
    return train_separated(network, *samples, plan, task=task, low=LOW, folder=folder, seed=1)


@pytest.mark.parametrize("task", ["coarsened", "across", "buildup", "direct"])
def test_every_task_is_learned_better_than_by_nothing(samples, tmp_path, task):
    result = train(samples, tmp_path, task)
    batch = samples[1].batch(range(16))
    separated = result.network
    truth = jax.vmap(separated.truth)(jnp.asarray(batch["q_forcing"]))
    side = LOW if task in ("coarsened", "across") else SIZE
    assert truth.shape == (16, 2, side, side)
    found = jax.vmap(separated.predict)(jnp.asarray(batch["q"]), jnp.asarray(batch["q_forcing"]))
    error = float(jnp.mean((found - truth) ** 2))
    assert error == pytest.approx(result.best_loss, rel=1e-4)
    # a network that says nothing: the buildup is then left with the large scales it was told
    silent = eqx.tree_at(lambda s: s.network, separated, lambda seen: 0 * seen[:2])
    told = jax.vmap(silent.predict)(jnp.asarray(batch["q"]), jnp.asarray(batch["q_forcing"]))
    assert error < 0.8 * float(jnp.mean((told - truth) ** 2))


def _dies_after(count):
    """Return a `Checkpoints.save` that is interrupted after so many calls."""
    save, calls = checkpoint.Checkpoints.save, []

    def dying(self, state):
        path = save(self, state)
        calls.append(path)
        if len(calls) == count:
            raise KeyboardInterrupt
        return path

    return dying


def test_it_goes_on_with_the_same_bits(samples, tmp_path, monkeypatch):
    whole = train(samples, tmp_path / "whole", "buildup")
    monkeypatch.setattr(checkpoint.Checkpoints, "save", _dies_after(2))
    with pytest.raises(KeyboardInterrupt):
        train(samples, tmp_path / "parts", "buildup")
    monkeypatch.undo()
    again = train(samples, tmp_path / "parts", "buildup")
    for ours, theirs in zip(
        jax.tree.leaves(whole.network), jax.tree.leaves(again.network), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
