"""Locks: one holder, and a word where the file system has none."""

import errno
import fcntl
import os

import pytest

from subgrid import locks
from subgrid.data.records import locked
from subgrid.experiment.lock import RunLock


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path):
    held = locks.take(tmp_path / "lock")
    assert locks.take(tmp_path / "lock") is None
    held.close()
    locks.take(tmp_path / "lock").close()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_and_works(number, tmp_path, monkeypatch, caplog):
    def absent(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", absent)
    with RunLock(tmp_path / "run"), locked(tmp_path / "records" / "lock", "trajectory 0") as lock:
        lock().close()
    assert [
        (tmp_path / name).name in line
        for name, line in zip(("run", "records"), caplog.messages, strict=True)
    ] == [True, True]
    assert all("nothing keeps another process" in line for line in caplog.messages)
    assert all(os.strerror(number) in line for line in caplog.messages)


def test_another_error_of_a_lock_is_raised(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="input/output"):
        locks.take(tmp_path / "lock")
