"""The separated experiments: what each network sees and what it is compared with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from subgrid.errors import ConfigError
from subgrid.grids import downscale, upscale
from subgrid.nn import Scaler, SeparatedNetwork

KEYS = jax.random.split(jax.random.key(0), 2)
STATE, FORCING = (1e-5 * jax.random.normal(key, (2, 16, 24)) for key in KEYS)
INPUTS, TARGETS = Scaler([1e-6, 0.0], [2e-5, 1e-5]), Scaler([0.0, 0.0], [3e-5, 1e-5])


def separated(task, network):
    return SeparatedNetwork(network, INPUTS, TARGETS, task, 12)


def without_small(field):
    return upscale(downscale(field, 8, 12), 16, 24)


X, S = INPUTS.normalise(STATE), TARGETS.normalise(FORCING)
LARGE = without_small(S)


def first_two(seen):
    return seen[:2]


@pytest.mark.parametrize(
    ("task", "seen", "predicted", "truth"),
    [
        ("coarsened", X, downscale(X, 8, 12), downscale(S, 8, 12)),
        ("across", without_small(X), downscale(X, 8, 12), downscale(S, 8, 12)),
        ("buildup", jnp.concatenate([X, LARGE]), LARGE + X, S),
        ("direct", X, X, S),
    ],
)
def test_what_a_network_sees_predicts_and_should_predict(task, seen, predicted, truth):
    shown = []

    def spy(field):
        shown.append(field)
        return field[:2]

    found = separated(task, spy)
    np.testing.assert_allclose(found.predict(STATE, FORCING), predicted, atol=1e-5)
    np.testing.assert_allclose(shown[0], seen, atol=1e-5)
    np.testing.assert_allclose(found.truth(FORCING), truth, atol=1e-6)


@pytest.mark.parametrize("task", ["coarsened", "across", "direct"])
def test_only_the_buildup_is_told_of_the_forcing(task):
    found = separated(task, first_two)
    assert jnp.array_equal(found.predict(STATE, FORCING), found.predict(STATE, 7 * FORCING))


def test_the_buildup_is_told_the_large_scales_alone():
    found = separated("buildup", first_two)
    noisy = FORCING + TARGETS.scale[:, None, None] * (S - LARGE)  # more of the small scales
    np.testing.assert_allclose(
        found.predict(STATE, FORCING), found.predict(STATE, noisy), atol=1e-5
    )


def test_an_unknown_task_is_refused():
    with pytest.raises(ConfigError, match="got 'sideways'"):
        separated("sideways", first_two)
