"""What an object is, as plain JSON values: the part of a config hash that comes from objects."""

import dataclasses
import hashlib
from types import FunctionType
from typing import Any

import numpy as np


def describe(thing: Any) -> Any:
    """Return a description of a system, grid or coarsener that is equal exactly for equal objects.

    An object with a method `settings` (the arguments that build it) is described by its class and
    these; another dataclass or equinox module by its class and its fields; an array by its values,
    or by their SHA-256 if it has more than 16. Raises TypeError for anything else.
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, dict):
        return {str(name): describe(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, type | FunctionType):
        return f"{thing.__module__}:{thing.__qualname__}"
    if hasattr(thing, "__array__"):
        return _describe_array(np.asarray(thing))
    kind = f"{type(thing).__module__}:{type(thing).__qualname__}"
    if hasattr(thing, "settings"):
        return {"class": kind, **describe(thing.settings())}
    if dataclasses.is_dataclass(thing):
        fields = {f.name: describe(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {"class": kind, **fields}
    raise TypeError(
        f"cannot describe a {kind} for the config hash; give it a method settings() that returns "
        "the arguments that build it, or make it a dataclass or equinox module"
    )


def _describe_array(values: np.ndarray) -> Any:
    if values.size <= 16 and values.dtype.kind in "biuf":
        return values.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    return f"{values.dtype}{list(values.shape)} sha256 {digest}"
