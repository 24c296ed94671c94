"""Errors that subgrid raises on purpose. Each says what was wrong, what it got and how to go on."""


class SubgridError(Exception):
    """Base of every error that subgrid raises on purpose."""


class ConfigError(SubgridError, ValueError):
    """A setting has a wrong name, type or value."""


class KindError(ConfigError, TypeError):
    """A setting is of the wrong kind: text or a boolean for a number, a float for a count."""


class UnknownNameError(ConfigError):
    """A name is not known where it is looked up; lists the known ones and the nearest."""


class UntrustedCodeError(ConfigError):
    """A file names code that is not subgrid's, and the caller did not say that it may run."""


class ShapeError(SubgridError, ValueError):
    """An array or a state has another shape than the code that takes it can use."""


class UnstableRunError(SubgridError, RuntimeError):
    """A time step is above the stability limit, or every member of a run blew up."""


class NothingLearnedError(SubgridError, RuntimeError):
    """A training ended with the weights it began with."""


class CorruptFileError(SubgridError, OSError):
    """A file is truncated or does not hold what its checksum says."""


class RunFolderError(SubgridError, RuntimeError):
    """A folder was made by another config or version and must not be mixed with this one."""


class RunLockedError(RunFolderError):
    """Another process is working on the same folder."""
