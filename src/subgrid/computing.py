"""How this process computes: what decides the bits of a result besides its code and its config.

Two kinds, for two answers. *Settings* draw other random numbers or compute at another precision:
what is made under another is another result, so it is refused, and each can be set as it was.
*Rounding* is the order and width of the operations, which processor, device and XLA's flags
decide: a queue may give no machine as before, so it is noted, as other versions are.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from subgrid.machine import processor, usable_cpus

# setting of JAX → what it is unless somebody changes it
_SETTINGS = {
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
}
_ROUNDING = {
    "jax_allow_f16_reductions": True,
    "jax_compiler_enable_remat_pass": True,
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_memory_fitting_effort": 0.0,
    "jax_optimization_level": "UNKNOWN",
    "jax_random_seed_offset": 0,  # of no key of ours (see `subgrid.randomness`)
    "jax_softmax_custom_jvp": False,
    "jax_use_direct_linearize": True,
}
_VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")

# what else a worker needs to run as this process does
_FOR_WORKERS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_platforms",
    "jax_debug_nans",
    "jax_debug_infs",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
)


def settings() -> dict[str, Any]:
    """Return the settings of JAX that decide what is computed, as they are in this thread."""
    return _values(_SETTINGS)


def unusual(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `settings` that are not as JAX has them unless somebody changes them."""
    return {name: value for name, value in values.items() if value != _SETTINGS[name]}


@contextlib.contextmanager
def promoting() -> Iterator[None]:
    """Let numbers of two types meet as in NumPy, whatever the user set; also a decorator.

    A real factor on a complex spectrum is meant: made complex first, it would cost twice the work.
    """
    with jax.numpy_dtype_promotion("standard"):
        yield


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """Let our own code run in this thread as it was written; also a decorator.

    It relies on promotion of types (complex times real), and a value that is not finite is an
    outcome: a member that blew up is masked, an update without a finite loss is left out. JAX's
    strict promotion and its hunt for NaN are for the code of whoever sets them.
    """
    with jax.numpy_dtype_promotion("standard"), jax.debug_nans(False), jax.debug_infs(False):
        yield


@contextlib.contextmanager
def under(values: Mapping[str, Any]) -> Iterator[None]:
    """Let this thread compute under `settings` of another, and leniently; not given are usual."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(lenient())
        for name, value in {**_SETTINGS, **values}.items():
            stack.enter_context(getattr(jax, name.removeprefix("jax_"))(value))
        yield


def rounding() -> dict[str, str]:
    """Return what decides the order and width of the operations, by the names in messages."""
    device = jax.devices()[0]
    variables = {name: " ".join(sorted(os.environ.get(name, "").split())) for name in _VARIABLES}
    return {
        "device": f"{device.platform}: {device.device_kind}",
        "processor": processor(),
        **{name: value for name, value in variables.items() if value},
        **{
            name: str(value)
            for name, value in _values(_ROUNDING).items()
            if str(value) != str(_ROUNDING[name])
        },
    }


def threads() -> int:
    """Return on how many threads XLA computes on this machine's processors.

    Another number divides the sums of a network's convolutions otherwise. It changes no bit of the
    steps of a system.
    """
    asked = os.environ.get("NPROC", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else usable_cpus()


def for_workers() -> dict[str, Any]:
    """Return all settings of JAX with which a worker computes and fails as this process does."""
    return {
        name: _value(name, None)
        for name in (*_SETTINGS, *_ROUNDING, *_FOR_WORKERS)
        if name in jax.config.values
    }


def take_over(values: Mapping[str, Any]) -> None:
    """Set what `for_workers` returned in another process."""
    for name, value in values.items():
        if _value(name, None) != value:
            jax.config.update(name, value)


def _values(usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of these names; what this JAX does not have is as usual."""
    return {name: _value(name, value) for name, value in usual.items()}


def _value(name: str, otherwise: Any) -> Any:
    """Return a setting as it is in this thread: an attribute; of a few there is only the global."""
    value = getattr(jax.config, name, jax.config.values.get(name, otherwise))
    return getattr(value, "value", value)  # of an enumeration the word
