"""Settings of JAX: no key of ours depends on them, and threads compute under the same."""

import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import subgrid
from subgrid import computing
from subgrid.provenance import environment, maker
from subgrid.randomness import LARGEST_SEED, random_key
from subgrid.stepping import rollout
from subgrid.systems import TwoLayerQG

UNUSUAL = {
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "highest",
}


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, LARGEST_SEED])
def test_a_key_is_that_of_jax_unless_its_settings_are_changed(seed):
    expected = jax.random.key_data(jax.random.key(np.uint32(seed)))
    np.testing.assert_array_equal(jax.random.key_data(random_key(seed)), expected)
    with jax.default_prng_impl("rbg"), jax.enable_x64(True):
        assert jax.random.key_impl(random_key(seed)) == jax.random.key_impl(
            jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl="threefry2x32")
        )
        np.testing.assert_array_equal(jax.random.key_data(random_key(seed)), expected)


def test_no_key_is_made_in_another_way():
    sources = Path(subgrid.__file__).parent.rglob("*.py")
    made = [path.name for path in sources if "jax.random.key(" in path.read_text(encoding="utf-8")]
    assert made == []


def test_a_thread_computes_under_the_settings_it_is_given():
    seen = {}

    def work():
        with computing.under(UNUSUAL):
            seen.update(computing.settings(), dtype=jnp.zeros(1).dtype)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen.pop("dtype") == np.float64
    assert seen == UNUSUAL == computing.unusual(UNUSUAL)
    assert computing.unusual(computing.settings()) == {}
    with jax.enable_x64(True), computing.under({}):
        assert computing.unusual(computing.settings()) == {}


def test_what_decides_rounding_is_recorded(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX  --xla_a=1")
    monkeypatch.setenv("NPROC", "3")
    found = environment()["rounding"]
    assert found["XLA_FLAGS"] == "--xla_a=1 --xla_cpu_max_isa=AVX"
    assert found["threads"] == "3"
    assert found["device"] == environment()["device"]
    monkeypatch.delenv("NPROC")
    assert environment()["rounding"]["threads"] == str(environment()["cpu_count"])
    # a worker of one thread makes the truth that others make
    assert "threads" not in maker()


def test_strictness_of_jax_does_not_reach_our_own_code():
    with jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        with pytest.raises(FloatingPointError):
            jnp.log(jnp.float32(-1.0))
        with computing.lenient():
            assert np.isnan(jnp.log(jnp.float32(-1.0)) * jnp.int32(2))


def test_a_rollout_that_blows_up_survives_strict_rules_of_jax():
    system = TwoLayerQG(16)
    state = system.initial_state(key=random_key(0))
    usual = rollout(system.model(1e7), state, 6, 3)
    with jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        strict = rollout(system.model(1e7), state, 6, 3)
    assert int(usual.blew_up_at) > 0
    for ours, theirs in zip(jax.tree.leaves(strict), jax.tree.leaves(usual), strict=True):
        np.testing.assert_array_equal(ours, theirs)
