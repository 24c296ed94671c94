"""What every section of a config is: settings that know what fits them and what they build."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from subgrid.errors import ConfigError, CorruptFileError, SubgridError

if TYPE_CHECKING:
    from subgrid.config.learned import LearnedConfig
    from subgrid.config.settings import Config
    from subgrid.systems import AbstractSystem

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]


def check(method: Callable[..., Iterable[str]]) -> Callable[..., Iterable[str]]:
    """Mark a method of a section that takes config and key, and yields what does not fit."""
    method.is_check = True  # type: ignore[attr-defined]
    return method


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no silent conversion of types.

    `named`: fields that hold names of code, and the kind of their registry; `cited`: what to cite;
    `renamed`: keys of older configs, and what to write instead. `key`, in all methods, is where the
    section stands in the config, for messages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    named: ClassVar[Mapping[str, str]] = {}
    cited: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_keys(cls, values: Any) -> Any:
        for key in cls.renamed if isinstance(values, Mapping) else ():
            if key in values:
                raise ValueError(f"{key} is of an older version; write {cls.renamed[key]} instead")
        return values

    def checks(self, config: "Config", key: str) -> Iterator[Iterable[str]]:
        """Return, per `check`, what does not fit: lines with key, value and what is allowed.

        A check is left out where it asks for a section that could not be read.
        """
        for base in reversed(type(self).__mro__):
            for member in vars(base).values():
                if getattr(member, "is_check", False):
                    yield member(self, config, key)

    def code(self, key: str) -> list[tuple[str, str, str]]:
        """Return the names that stand for code: key, kind of the registry, name."""
        return [
            (f"{key}.{field}", kind, name)
            for field, kind in self.named.items()
            for name in _each(getattr(self, field))
        ]

    def trainings(self, key: str) -> Sequence[tuple[str, Any]]:
        """Return the sections, this or inner ones, for which networks are trained, with keys."""
        return ()

    def more_models(self, config: "Config") -> tuple["LearnedConfig", ...]:
        """Return models that are trained and tested for this section, besides those of the run."""
        return ()

    def trained(self, config: "Config") -> Iterable[tuple[str, int]]:
        """Return the name in the run folder and the number of seeds of all that it trains."""
        return [(model.name, model.seeds) for model in self.more_models(config)]

    def build(self, parts: "Parts", key: str) -> None:
        """Build what the section names; raises ConfigError for a setting that does not fit."""

    def trace(self, parts: "Parts", key: str) -> None:
        """Trace what was built, once every setting fits; raises what a user's class raises."""

    def citations(self, config: "Config", copies: Mapping[str, Path]) -> Iterable[str]:
        """Return what to cite; `copies`: the bundles that a run took over."""
        return self.cited

    def facts(self, config: "Config") -> dict[str, str]:
        """Return what the report says of this section: a name and a sentence each."""
        return {}


def _each(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


@dataclass(frozen=True)
class Parts:
    """The systems of a config, which its sections are built on: `coarse`, the finest first, and
    `system`, the truth, where it is needed.

    `copies`: the bundles that a run took over, by the name of the model; `trust`: whether bundles
    and networks may name code of packages that the config does not.
    """

    config: "Config"
    coarse: "tuple[AbstractSystem, ...]"
    system: Any = None
    copies: Mapping[str, Path] = field(default_factory=dict)
    trust: bool = False

    @property
    def shipped(self) -> bool:
        """Whether the systems are of a class of subgrid's, which is known to fit."""
        return type(self.system).__module__.partition(".")[0] == "subgrid"


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Put the key of the config before an error; one of a value becomes ConfigError.

    A damaged file is no wrong setting: CorruptFileError, which names it, passes, and so does
    whatever is a ConfigError already, UntrustedCodeError among them.
    """
    try:
        with keyed(key):
            yield
    except (CorruptFileError, ConfigError):
        raise
    except (TypeError, ValueError, SubgridError) as error:
        raise ConfigError(str(error)) from error


@contextmanager
def keyed(key: str) -> Iterator[None]:
    """Put the key of the config before the message of an error, which stays of its kind.

    For what a class of the user's does wrong, rather than a setting.
    """
    try:
        yield
    except CorruptFileError:
        raise
    except Exception as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (f"{key}: {error.args[0]}", *error.args[1:])
        raise
