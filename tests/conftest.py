"""Strictness for all tests: typed shapes, no silent rank promotion, warnings as errors."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))  # for small_systems

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# most of the time of the tests is compiling: what runs for moments needs little optimising
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"

from jaxtyping import install_import_hook

install_import_hook("subgrid", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# a compiled program is the same for every test that asks for it: keep them between runs
CACHE = os.path.abspath(os.environ.get("SUBGRID_TEST_CACHE", ".cache/jax"))
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture
def float64():
    """Enable float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def forge():
    """Return a function that changes a bundle's or closure's model.json as its maker could.

    `forge(folder, change)`: `change` alters the document in place, or is the new one; the checksums
    fit after it.
    """
    from subgrid.provenance import config_hash

    def forge(folder, change):
        file = folder / "model.json"
        document = change
        if callable(change):
            document = json.loads(file.read_text())
            change(document)
        if isinstance(document, dict):
            document.pop("sha256", None)
            document = document | {"sha256": config_hash(document)}
        file.write_text(json.dumps(document))

    return forge


@pytest.fixture
def untyped():
    """Switch the type checks of this suite off, to meet our own as a user does."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
