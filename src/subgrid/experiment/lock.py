"""One process at a time in a run folder."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from subgrid.errors import RunLockedError
from subgrid.files import regular


class RunLock:
    """Holds a run folder for this process: `with RunLock(folder): ...`.

    The operating system drops the lock when its holder ends, however it ends, so a lock left by a
    killed process never blocks the next run. The file names its holder for the message. Raises
    RunLockedError if another process has the folder.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / ".lock"
        self._stream: Any = None

    def __enter__(self) -> "RunLock":
        stream = open(self.path, "a+", encoding="utf-8", opener=regular)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = _describe(stream.read())
            stream.close()
            raise RunLockedError(
                f"{self.path.parent} is in use by {holder}. Wait for it, stop it, or choose "
                "another folder with --out."
            ) from None
        stream.seek(0)
        stream.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}, stream)
        stream.flush()
        self._stream = stream
        return self

    def __exit__(self, *_: object) -> None:
        # the file stays: removing it would let two processes lock two files of the same name
        self._stream.close()
        self._stream = None


def _describe(text: str) -> str:
    try:
        holder = json.loads(text)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['pid']} on {holder['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "another process"
