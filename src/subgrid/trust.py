"""Which code a file may name. A name in a file becomes code that runs, and files come from anybody.

A file that you did not write may name what is listed here: classes of subgrid's models, of
`equinox.nn` and of installed packages that register names with subgrid, and some activations. Any
other name is refused, before anything is imported, unless the caller trusts the file.
"""

import functools
import importlib.metadata
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from subgrid.errors import UntrustedCodeError

Trust = bool | Collection[str]
"""True: whatever a file names may run; else the packages whose names may, besides known ones."""

_LOG = logging.getLogger(__name__)
_MODELS = ("closures", "coarsening", "grids", "nn", "stepping", "systems")
_CLASSES_OF = (*(f"subgrid.{folder}" for folder in _MODELS), "equinox.nn")
_FUNCTIONS = {
    "jax.nn": (
        "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
        "identity", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
        "sigmoid", "silu", "soft_sign", "softmax", "softplus", "sparse_plus", "sparse_sigmoid",
        "squareplus", "standardize", "swish", "tanh",
    ),
    "jax.numpy": (
        "abs", "absolute", "arcsinh", "arctan", "cos", "cosh", "exp", "expm1", "log1p", "maximum",
        "minimum", "negative", "sign", "sin", "sinc", "sinh", "sqrt", "square",
    ),
    "jax.lax": ("cos", "erf", "erfc", "exp", "logistic", "neg", "rsqrt", "sin", "sqrt", "tanh"),
}  # fmt: skip
KNOWN_FUNCTIONS = frozenset(f"{module}:{n}" for module, names in _FUNCTIONS.items() for n in names)


def names_known_class(reference: str) -> bool:
    """Return whether "module:Class" lies where the classes of models are looked for."""
    module, _, name = reference.partition(":")
    return name.isidentifier() and _is_model_code(module)


def is_known_class(found: Any) -> bool:
    """Return whether an object is a class that was defined there, not only imported there."""
    return isinstance(found, type) and _is_model_code(found.__module__)


def require_trust(source: str | Path, named: Mapping[str, str], trust: Trust = False) -> None:
    """Raise UntrustedCodeError if a file names code that is not trusted.

    `source`: the file; `named`: the unknown names in it, "module:Name", by what the message shows
    of each. What runs because a file as a whole is trusted is logged, once.
    """
    if trust is True:
        if named:
            _tell(f"{source} names code of its own, which runs since you trust it: {_list(named)}")
        return
    packages = () if trust is False else trust
    strange = [shown for shown, name in named.items() if package_of(name) not in packages]
    if strange:
        raise UntrustedCodeError(
            f"{source} names code that is not subgrid's: {_list(strange)}. To open it is to run "
            "that code. If you would run any program of those who made it, add --trust (in Python: "
            "trust=True)."
        )


def package_of(reference: str) -> str:
    """Return the package of "module:Name"."""
    return reference.partition(":")[0].partition(".")[0]


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _is_model_code(module: str) -> bool:
    inside = any(module == known or module.startswith(f"{known}.") for known in _CLASSES_OF)
    return inside or module.partition(".")[0] in _installed_packages()


@functools.cache
def _installed_packages() -> frozenset[str]:
    """Return the packages that register names with subgrid by entry points."""
    points = importlib.metadata.entry_points()
    groups = [group for group in points.groups if group.startswith("subgrid.")]
    return frozenset(package_of(point.value) for g in groups for point in points.select(group=g))


@functools.cache
def _tell(text: str) -> None:
    _LOG.warning("%s", text)
