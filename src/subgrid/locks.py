"""Lock files that the operating system releases when their holder ends, however it ends."""

import errno
import logging
import time
from pathlib import Path
from typing import IO

from subgrid.files import regular

_LOG = logging.getLogger(__name__)
_UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}


def take(path: Path, patience: float = 0.0) -> IO[str] | None:
    """Return the open lock file, which holds the lock until it is closed; None if it is taken.

    Waits `patience` seconds for another holder to end. Where the file system has no such locks, as
    some of clusters, nothing can keep another process out: the log says so, and the file is
    returned, for a run that cannot be made at all helps nobody.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = open(path, "a+", encoding="utf-8", opener=regular)  # noqa: SIM115 - stays open
    deadline = time.monotonic() + patience
    try:
        while not _locked(stream, path):
            if time.monotonic() >= deadline:
                stream.close()
                return None
            time.sleep(0.05)
    except BaseException:
        stream.close()
        raise
    return stream


def _locked(stream: IO[str], path: Path) -> bool:
    """Return whether the lock is now ours, or cannot be anybody's."""
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise
        _LOG.warning(
            "%s: there are no file locks here (%s), so nothing keeps another process from working "
            "in the same folder. Start no second one there until this one has ended.",
            path.parent,
            getattr(error, "strerror", None) or error,
        )
    return True
