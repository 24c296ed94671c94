"""Writes a tree of modules as JSON plus named arrays, and builds the same tree from them.

Modules here are dataclasses, which every `eqx.Module` is: their class and the values of their
fields say all there is to know. Rebuilding sets the fields, without calling `__init__`: derived
arrays come back with their bits and not recomputed. A system is written by its settings instead,
where these build it with the same bits: that is short, and lasts when its inside changes. In JSON
each value is itself (None, booleans, whole numbers, finite floats, strings), a JSON array (a
tuple), or an object with one of the keys below.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from subgrid.errors import ConfigError, CorruptFileError
from subgrid.nn import Fixed
from subgrid.nn.fixed import written_name
from subgrid.registry import import_named, search_current_folder
from subgrid.systems import AbstractSystem
from subgrid.trust import KNOWN_FUNCTIONS, Trust, is_known_class, names_known_class, require_trust

_CLASS, _FIELDS = "class", "fields"
_ARRAY, _HOST_ARRAY = "array", "numpy"
_LIST, _DICT, _FLOAT, _DTYPE, _SCALAR_TYPE = "list", "dict", "float", "dtype", "scalar_type"
_OBJECT = "object"  # a function or a class, used as a value
_FIXED = "fixed"  # what a `Fixed` holds
_SYSTEM, _SETTINGS = "system", "settings"  # a class and the arguments that build it
_DEFAULT = "default_of"  # the function that is the default of an argument, "module:Class:argument"
_LARGEST_SIZE = 2**13  # cells along an axis: more than any coarse grid
# what comes of a list or a number where the structure has an object, or the other way round
_RAISED_BY_OTHER_TYPES = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
# where a function that JAX defines in a private module is found under a lasting name
_PUBLIC_MODULES = ("jax.nn", "jax.numpy", "jax.lax")


def describe(module: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the JSON structure of a module and its arrays by path.

    Raises ConfigError, naming the path, for a value that cannot be written: a lambda, a class
    defined inside a function or in a script run as `__main__`, a random key, an open object.
    """
    arrays: dict[str, np.ndarray] = {}
    return _describe(module, "", arrays), arrays


def rebuild(
    structure: Any, arrays: Mapping[str, np.ndarray], source: str, trust: Trust = False
) -> Any:
    """Return the module that `describe` took apart.

    `source`: the file, for messages. Raises UntrustedCodeError, before anything is imported, if it
    names other code than models are made of and that is not trusted, ConfigError if a class cannot
    be imported or its fields changed, CorruptFileError if an array is missing or the structure is
    none.
    """
    try:
        foreign = _foreign(structure)
        require_trust(source, foreign, trust)
        if foreign:
            search_current_folder()
        return _Builder(arrays, frozenset(foreign)).build(structure)
    except _RAISED_BY_OTHER_TYPES as error:
        if isinstance(error, ConfigError):
            raise
        raise CorruptFileError(
            f"{source} describes no module: {type(error).__name__}: {error}"
        ) from error


def code_named_by(module: Any) -> tuple[str, ...]:
    """Return the "module:Name" of the code that a stored module would name and is not known."""
    return tuple(_foreign(describe(module)[0]))


def system_of(build: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """Return the system that settings from a file build.

    Raises ValueError for a grid that no coarse system has: it would fill the memory.
    """
    for name in ("nx", "ny"):
        size = settings.get(name, 1)
        if size is not None and (type(size) is not int or not 0 < size <= _LARGEST_SIZE):
            raise ValueError(f"{name} = {size!r} must be a whole number from 1 to {_LARGEST_SIZE}")
    return build(**settings)


def _foreign(structure: Any) -> dict[str, str]:
    """Return the names in a structure that are not known, each under itself."""
    classes, functions = {}, {}

    def look(part: Any) -> None:
        for item in part if isinstance(part, list) else ():
            look(item)
        if not isinstance(part, dict):
            return
        if _CLASS in part:
            classes[_text(part[_CLASS])] = None
            look(list(part[_FIELDS].values()))
            return
        (kind, content), *_ = part.items()
        if kind == _SYSTEM:
            classes[_text(content)] = None
        elif kind == _DEFAULT:  # of an argument of a class
            classes[_text(content).rpartition(":")[0]] = None
        elif kind == _OBJECT:
            functions[_text(content)] = None
        elif kind in (_LIST, _FIXED):
            look(content)
        elif kind == _DICT:
            look(list(content.values()))

    look(structure)
    strange = [name for name in classes if not names_known_class(name)]
    strange += [name for name in functions if name not in KNOWN_FUNCTIONS]
    return {name: name for name in strange}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Builds a structure with its arrays; `foreign`: the names that are trusted, but not known."""

    arrays: Mapping[str, np.ndarray]
    foreign: frozenset[str]

    def build(self, structure: Any) -> Any:
        """Return what a part of the structure describes."""
        if isinstance(structure, list):
            return tuple(map(self.build, structure))
        if not isinstance(structure, dict):
            return structure
        if _CLASS in structure:
            return self._module(structure)
        (kind, content), *_ = structure.items()
        match kind:
            case "system":
                return system_of(self._class(content), self.build({_DICT: structure[_SETTINGS]}))
            case "list":
                return [self.build(item) for item in content]
            case "dict":
                return {name: self.build(item) for name, item in content.items()}
            case "fixed":
                return Fixed(self.build(content))
            case "object":
                return _import(content)
            case "default_of":
                reference, _, argument = content.rpartition(":")
                return _default_functions(self._class(reference))[argument]
            case "array" | "numpy":
                return self._array(content, on_device=kind == _ARRAY)
            case "float":
                return float(_text(content))
            case "dtype":
                return jnp.dtype(_text(content))
            case "scalar_type" if hasattr(found := getattr(jnp, _text(content)), "dtype"):
                return found  # as `jnp.float32`; other functions are no types
        raise ConfigError(f"unknown entry {kind!r}: {content!r} in a closure's structure")

    def _class(self, reference: str) -> type:
        cls = _import(reference)
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise ConfigError(f"{reference!r} is no module class (a dataclass such as eqx.Module)")
        if reference not in self.foreign and not is_known_class(cls):
            raise ConfigError(f"{reference!r} is defined in {cls.__module__!r}, not in a model")
        return cls

    def _module(self, structure: Mapping[str, Any]) -> Any:
        reference = structure[_CLASS]
        cls = self._class(reference)
        values = {name: self.build(item) for name, item in structure[_FIELDS].items()}
        fields = dataclasses.fields(cls)
        for field in fields:
            if (name := written_name(field)) is not None and name in values:
                values[field.name] = Fixed(values.pop(name))
            if field.default is not dataclasses.MISSING:
                values.setdefault(field.name, field.default)
        if (names := {field.name for field in fields}) != set(values):
            raise ConfigError(
                f"{reference} has the fields {sorted(names)}, but the file holds {sorted(values)}: "
                "the class changed after this was written. Use the version that wrote it, or train "
                "again."
            )
        module = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(module, name, value)
        return module

    def _array(self, name: str, on_device: bool) -> Any:
        if name not in self.arrays:
            raise CorruptFileError(f"the weights hold no array {name!r}, which the structure needs")
        value = self.arrays[name]
        if not on_device:
            return value
        if jax.dtypes.canonicalize_dtype(value.dtype) != value.dtype:
            raise ConfigError(
                f"array {name!r} is {value.dtype}; set jax.config.update('jax_enable_x64', True) "
                "first"
            )
        return jnp.asarray(value)


def _describe(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON; `path`: where it is in the module, ".network.layers.0"."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {_FLOAT: repr(value)}
        case jax.Array() if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            raise ConfigError(
                f"{path or 'the closure'} is a random key; pass keys to `init` instead"
            )
        case jax.Array() | np.ndarray():
            name = path.lstrip(".") or "value"
            arrays[name] = np.asarray(value)
            return {_ARRAY if isinstance(value, jax.Array) else _HOST_ARRAY: name}
        case Fixed():
            return {_FIXED: _describe(value.value, path, arrays)}
        case AbstractSystem() if (settings := _settings_of(value)) is not None:
            content = {name: _describe(item, "", {}) for name, item in settings.items()}
            return {_SYSTEM: _reference(type(value), path), _SETTINGS: content}
        case np.dtype():
            return {_DTYPE: value.name}
        case np.generic():
            return _describe(value.item(), path, arrays)
    if type(value) in (list, tuple):
        items = [_describe(item, f"{path}.{i}", arrays) for i, item in enumerate(value)]
        return items if isinstance(value, tuple) else {_LIST: items}
    if type(value) is dict and all(isinstance(name, str) for name in value):
        return {_DICT: {n: _describe(item, f"{path}.{n}", arrays) for n, item in value.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _describe_module(value, path, arrays)
    name = getattr(value, "__name__", None)
    if name is not None and getattr(jnp, name, None) is value and hasattr(value, "dtype"):
        return {_SCALAR_TYPE: name}
    if name is not None and callable(value):
        return {_OBJECT: _reference(value, path)}
    raise ConfigError(
        f"{path.lstrip('.') or 'the closure'} is a {type(value).__name__}, which cannot be "
        "written. Fields of a stored module are numbers, strings, arrays, lists, tuples, "
        "dictionaries by name, other modules, and functions that can be imported."
    )


def _describe_module(module: Any, path: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    reference = _reference(type(module), path)
    defaults = _default_functions(type(module))
    fields = {}
    for field in dataclasses.fields(module):
        name = written_name(field) or field.name
        value = getattr(module, name)  # of a fixed field what it holds
        # a lambda that is the default of an argument has no name, but can be found there
        argument = next((n for n, default in defaults.items() if value is default), None)
        if argument is not None:
            fields[name] = {_DEFAULT: f"{reference}:{argument}"}
        else:
            fields[name] = _describe(value, f"{path}.{name}", arrays)
    return {_CLASS: reference, _FIELDS: fields}


def _settings_of(system: AbstractSystem) -> Mapping[str, Any] | None:
    """Return the settings that build a system with the same bits, None if it has none such."""
    try:
        settings = system.settings()  # type: ignore[attr-defined]
        again = type(system)(**settings)
    except (AttributeError, TypeError, ValueError):
        return None
    plain = all(isinstance(value, bool | int | float | str | None) for value in settings.values())
    ours, theirs = jax.tree.flatten(system), jax.tree.flatten(again)
    if not plain or ours[1] != theirs[1]:
        return None
    same = all(np.array_equal(*both) for both in zip(ours[0], theirs[0], strict=True))
    return settings if same else None


def _default_functions(cls: type) -> dict[str, Any]:
    """Return the functions that are defaults of a constructor's arguments, by argument."""
    parameters = inspect.signature(cls).parameters
    return {n: p.default for n, p in parameters.items() if inspect.isfunction(p.default)}


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
    return import_named(reference, "class or function")
