"""Writes a tree of modules as JSON plus named arrays, and builds the same tree from them.

Modules here are dataclasses, which every `eqx.Module` is: their class and the values of their
fields say all there is to know. Rebuilding sets the fields, without calling `__init__`: derived
arrays come back with their bits and not recomputed. In JSON each value is itself (None, booleans,
whole numbers, finite floats, strings), a JSON array (a tuple), or an object with one of the keys
below.
"""

import dataclasses
import importlib
import inspect
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.errors import ConfigError, CorruptFileError

_CLASS, _FIELDS = "class", "fields"
_ARRAY, _HOST_ARRAY = "array", "numpy"
_LIST, _DICT, _FLOAT, _DTYPE, _SCALAR_TYPE = "list", "dict", "float", "dtype", "scalar_type"
_OBJECT = "object"  # a function or a class, used as a value
UNLESS_DEFAULT = {"subgrid_written": "unless default"}  # metadata of a field, see `_written_fields`
_DEFAULT = "default_of"  # the function that is the default of an argument, "module:Class:argument"
# where a function that JAX defines in a private module is found under a lasting name
_PUBLIC_MODULES = ("jax.nn", "jax.numpy", "jax.lax")


def describe(module: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the JSON structure of a module and its arrays by path.

    Raises ConfigError, naming the path, for a value that cannot be written: a lambda, a class
    defined inside a function or in a script run as `__main__`, a random key, an open object.
    """
    arrays: dict[str, np.ndarray] = {}
    return _describe(module, "", arrays), arrays


def rebuild(structure: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the module that `describe` took apart.

    Raises ConfigError if a class cannot be imported or its fields changed, CorruptFileError if an
    array is missing.
    """
    if isinstance(structure, list):
        return tuple(rebuild(item, arrays) for item in structure)
    if not isinstance(structure, dict):
        return structure
    if _CLASS in structure:
        return _rebuild_module(structure, arrays)
    (kind, content), *_ = structure.items()
    if kind == _ARRAY:
        return _device_array(content, arrays)
    if kind == _HOST_ARRAY:
        return _array(content, arrays)
    if kind == _LIST:
        return [rebuild(item, arrays) for item in content]
    if kind == _DICT:
        return {name: rebuild(item, arrays) for name, item in content.items()}
    if kind == _FLOAT:
        return float(content)
    if kind == _DTYPE:
        return jnp.dtype(content)
    if kind == _SCALAR_TYPE:
        return getattr(jnp, content)
    if kind == _OBJECT:
        return _import(content)
    if kind == _DEFAULT:
        reference, _, argument = content.rpartition(":")
        return _default_functions(_import(reference))[argument]
    raise ConfigError(f"unknown entry {kind!r} in a closure's structure")


def _describe(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise ConfigError(f"{path or 'the closure'} is a random key; pass keys to `init` instead")
    if isinstance(value, jax.Array | np.ndarray):
        name = path.lstrip(".") or "value"
        arrays[name] = np.asarray(value)
        return {_ARRAY if isinstance(value, jax.Array) else _HOST_ARRAY: name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _describe_module(value, path, arrays)
    return _describe_plain(value, path, arrays)


def _describe_module(module: Any, path: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    reference = _reference(type(module), path)
    defaults = _default_functions(type(module))
    fields = {}
    for field in _written_fields(module):
        value = getattr(module, field.name)
        if any(value is default for default in defaults.values()):
            # a lambda that is the default of an argument has no name, but can be found there
            (name,) = [n for n, default in defaults.items() if value is default][:1]
            fields[field.name] = {_DEFAULT: f"{reference}:{name}"}
        else:
            fields[field.name] = _describe(value, f"{path}.{field.name}", arrays)
    return {_CLASS: reference, _FIELDS: fields}


def _written_fields(module: Any) -> list[dataclasses.Field]:
    """Return the fields to write.

    One with the metadata `UNLESS_DEFAULT` is left out where it holds its default, so that a field
    added to a class leaves the files and hashes of modules that do not use it as they were.
    """
    return [
        field
        for field in dataclasses.fields(module)
        if not (
            UNLESS_DEFAULT.items() <= field.metadata.items()
            and getattr(module, field.name) == field.default
        )
    ]


def _default_functions(cls: type) -> dict[str, Any]:
    """Return the functions that are defaults of a constructor's arguments, by argument."""
    parameters = inspect.signature(cls).parameters
    return {n: p.default for n, p in parameters.items() if inspect.isfunction(p.default)}


def _describe_plain(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Describe containers, dtypes, functions and classes."""
    if type(value) in (list, tuple):
        items = [_describe(item, f"{path}.{i}", arrays) for i, item in enumerate(value)]
        return items if isinstance(value, tuple) else {_LIST: items}
    if type(value) is dict and all(isinstance(name, str) for name in value):
        return {_DICT: {n: _describe(item, f"{path}.{n}", arrays) for n, item in value.items()}}
    if isinstance(value, np.dtype):
        return {_DTYPE: value.name}
    name = getattr(value, "__name__", None)
    if name is not None and getattr(jnp, name, None) is value and hasattr(value, "dtype"):
        return {_SCALAR_TYPE: name}
    if isinstance(value, np.generic):
        return _describe(value.item(), path, arrays)
    if callable(value) and name is not None:
        return {_OBJECT: _reference(value, path)}
    raise ConfigError(
        f"{path.lstrip('.') or 'the closure'} is a {type(value).__name__}, which cannot be "
        "written. Fields of a stored module are numbers, strings, arrays, lists, tuples, "
        "dictionaries by name, other modules, and functions that can be imported."
    )


def _reference(value: Any, path: str) -> str:
    """Return "module:Name" of a class or function, by the most public name it has."""
    name = getattr(value, "__qualname__", value.__name__)
    module = value.__module__ or ""
    parts = module.split(".")
    packages = [".".join(parts[: i + 1]) for i in range(len(parts))]
    for candidate in (*_PUBLIC_MODULES, *packages):
        try:
            if candidate not in ("", "__main__") and _import(f"{candidate}:{name}") is value:
                return f"{candidate}:{name}"
        except ConfigError:
            continue
    raise ConfigError(
        f"{path.lstrip('.') or 'the closure'} uses {name!r} of module {module!r}, which cannot be "
        "imported by name. Define it at the top level of a module that can be imported, not in a "
        "script, a function or a lambda."
    )


def _import(reference: str) -> Any:
    module_name, _, name = reference.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in name.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"cannot import {reference!r}: {error}. The module that defines it must be installed "
            "or in the folder from which Python runs."
        ) from error
    return value


def _rebuild_module(structure: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    reference = structure[_CLASS]
    cls = _import(reference)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ConfigError(f"{reference!r} is no module class (a dataclass such as eqx.Module)")
    values = {name: rebuild(item, arrays) for name, item in structure[_FIELDS].items()}
    for field in dataclasses.fields(cls):
        if field.name not in values and field.default is not dataclasses.MISSING:
            values[field.name] = field.default
    # a class whose fields changed may know those of files written before
    values = getattr(cls, "fields_of_older_files", lambda values: values)(values)
    names = {field.name for field in dataclasses.fields(cls)}
    if names != set(values):
        raise ConfigError(
            f"{reference} has the fields {sorted(names)}, but the file holds {sorted(values)}: the "
            "class changed after this was written. Use the version that wrote it, or train again."
        )
    module = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(module, name, value)
    return module


def _array(name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if name not in arrays:
        raise CorruptFileError(f"the weights hold no array {name!r}, which the structure needs")
    return arrays[name]


def _device_array(name: str, arrays: Mapping[str, np.ndarray]) -> jax.Array:
    value = _array(name, arrays)
    if jax.dtypes.canonicalize_dtype(value.dtype) != value.dtype:
        raise ConfigError(
            f"array {name!r} is {value.dtype}; set jax.config.update('jax_enable_x64', True) first"
        )
    return jnp.asarray(value)
