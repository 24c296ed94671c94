import jax.numpy as jnp
import numpy as np
import optax
import pytest

from subgrid.errors import ConfigError, UnknownNameError
from subgrid.training import OPTIMISERS, SCHEDULES, Adam, AdamW, Constant, WarmupCosine

RATE = 0.125


def change(optimiser, gradient, parameters):
    transformation = optimiser.transformation()
    return transformation.update(gradient, transformation.init(parameters), parameters)[0]


def test_cosine_follows_the_formula():
    schedule = WarmupCosine(peak=1e-3, updates=110, warmup=10, end=1e-4)
    expected = {
        0: 0.0,
        5: 5e-4,
        10: 1e-3,
        60: 1e-4 + 9e-4 * 0.5,
        35: 1e-4 + 9e-4 * 0.5 * (1 + np.cos(np.pi / 4)),
        110: 1e-4,
        500: 1e-4,
    }
    for update, rate in expected.items():
        # the cosine in float32 leaves an error of about 1e-7 of the peak
        np.testing.assert_allclose(schedule(update), rate, atol=3e-10)


def test_cosine_is_the_schedule_of_optax():
    ours = WarmupCosine(peak=1e-3, updates=200, warmup=20, end=1e-5)
    theirs = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 20, 200, 1e-5)
    for update in range(0, 200, 7):
        np.testing.assert_allclose(ours(update), theirs(update), atol=1e-9)  # float32


def test_cosine_without_warmup_starts_at_the_peak():
    assert float(WarmupCosine(1e-3, 10)(0)) == np.float32(1e-3)


def test_constant_is_constant():
    assert {float(Constant(RATE)(update)) for update in (0, 10, 10**6)} == {RATE}


def test_first_update_of_adam_is_the_rate_times_the_sign():
    gradient = {"w": jnp.array([3.0, -2.0])}
    found = change(Adam(Constant(RATE)), gradient, gradient)
    np.testing.assert_allclose(found["w"], [-RATE, RATE], rtol=2e-5)  # epsilon, float32 of 1 - b2


def test_adamw_also_shrinks_the_parameters():
    gradient, parameters = {"w": jnp.array([3.0, -2.0])}, {"w": jnp.array([4.0, 0.0])}
    found = change(AdamW(Constant(RATE), weight_decay=0.5), gradient, parameters)
    np.testing.assert_allclose(
        found["w"], [-RATE - RATE * 0.5 * 4.0, RATE], rtol=2e-5
    )  # epsilon, float32 of 1 - b2


# With a huge epsilon Adam's first update is linear in the gradient, which shows the clipping.
@pytest.mark.parametrize(
    ("clip", "limit", "expected"),
    [
        (None, 1.0, [30.0, -0.4]),
        ("legacy", 1.0, [1.0, -0.4]),
        ("norm", 5.0, [30.0 * 5 / np.hypot(30, 0.4), -0.4 * 5 / np.hypot(30, 0.4)]),
        ("norm", 100.0, [30.0, -0.4]),
    ],
)
def test_gradients_are_clipped_as_asked(clip, limit, expected):
    gradient = {"w": jnp.array([30.0, -0.4])}
    optimiser = Adam(Constant(RATE), epsilon=1e6, clip=clip, clip_at=limit)
    found = change(optimiser, gradient, gradient)
    np.testing.assert_allclose(-found["w"] / RATE * 1e6, expected, rtol=1e-4)  # epsilon is finite


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0.0), r"learning rate must be positive, got 0\.0"),
        (lambda: Constant(float("nan")), "learning rate must be a finite number, got nan"),
        (lambda: WarmupCosine(1e-3, 10, 10), "warmup of 10"),
        (lambda: WarmupCosine(1e-3, 10, 0, end=1.0), "end learning rate 1.0"),
        (lambda: Adam(Constant(1.0), b1=1.0), "b1 is 1.0"),
        (lambda: Adam(Constant(1.0), epsilon=-1.0), r"epsilon must be positive, got -1\.0"),
        (lambda: Adam(Constant(1.0), clip="norm", clip_at=0.0), "clip_at must be positive"),
        (lambda: AdamW(Constant(1.0), weight_decay=-0.1), "weight_decay is -0.1"),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'norm'"):
        Adam(Constant(1.0), clip="norms")
    with pytest.raises(UnknownNameError, match="Did you mean 'adamw'"):
        OPTIMISERS.get("adamww")
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        SCHEDULES.get("cosin")


def test_settings_tell_optimisers_apart():
    one = Adam(WarmupCosine(1e-3, 100)).settings()
    assert one == Adam(WarmupCosine(1e-3, 100)).settings()
    assert one != Adam(WarmupCosine(1e-3, 101)).settings()
    assert one != Adam(WarmupCosine(1e-3, 100), clip="legacy").settings()
    assert one != AdamW(WarmupCosine(1e-3, 100)).settings()
