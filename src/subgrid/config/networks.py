"""Checks by tracing that a network that is not ours can be trained, saved and read again."""

from collections.abc import Callable
from typing import Any

from subgrid.config.names import own_packages
from subgrid.config.section import Parts, naming
from subgrid.errors import ConfigError
from subgrid.randomness import random_key
from subgrid.trust import require_trust


def traced(make: Callable[[Any], Any]) -> Any:
    """Return the network that `make` builds of a key, without numbers."""
    import equinox as eqx

    return eqx.filter_eval_shape(make, random_key(0))


def require_trainable(
    make: Callable[[Any], Any], use: Callable[[Any, Any], Any], sample: Any
) -> Any:
    """Return what a network makes of `sample`, traced; raises ConfigError without weights.

    Of another shape or dtype than is expected, and of what its code raises, see `use`.
    """
    import equinox as eqx
    import jax

    from subgrid.nn import trainable

    def used(key: Any, sample: Any) -> Any:
        made = make(key)
        network = getattr(made, "network", made)  # that of a closure
        if not jax.tree.leaves(eqx.filter(network, trainable(network))):
            raise ConfigError(
                f"{type(network).__name__} has no weights to train: let its class derive from "
                "equinox.Module and keep them as fields of floating-point arrays"
            )
        return use(made, sample)

    return eqx.filter_eval_shape(used, random_key(0), sample)


def require_trusted(make: Callable[[Any], Any], name: str, parts: Parts) -> None:
    """Raise UntrustedCodeError for a network of other packages than the config names.

    It would be trained for hours, saved, and then not read again; so would one that cannot be saved
    (ConfigError).
    """
    import jax
    import jax.numpy as jnp

    from subgrid.closures import code_named_by

    untraced = jax.tree.map(
        lambda leaf: (
            jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
        ),
        traced(make),
    )
    with naming(f"the network of {name}"):
        named = code_named_by(untraced)
    names = {name: name for name in named}
    require_trust(f"the network of {name!r}", names, parts.trust or own_packages(parts.config))
