"""Where a file came from: hashes, versions, and writing so that a file is whole or absent."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from subgrid.errors import CorruptFileError
from subgrid.files import regular
from subgrid.machine import memory, usable_cpus

_PACKAGES = ("subgrid", "jax", "jaxlib", "equinox", "optax", "numpy", "xarray", "zarr")


def config_hash(mapping: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a mapping written as JSON with sorted keys."""
    text = json.dumps(mapping, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def structure_text(tree: Any) -> str:
    """Return the classes and static fields of a PyTree as text, the same in every process.

    Functions stand by their names: what they print of their addresses is left out.
    """
    import jax

    return re.sub(r" at 0x[0-9a-f]+", "", str(jax.tree.structure(tree)))


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes; raises CorruptFileError for no regular file."""
    with open(path, "rb", opener=regular) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_fits_memory(path: str | Path) -> None:
    """Raise CorruptFileError for a file that no memory here holds, or that is no regular one.

    A file with holes may claim any size and take no space on the disk.
    """
    with open(path, "rb", opener=regular) as stream:
        size = os.fstat(stream.fileno()).st_size
    if size > memory():
        raise CorruptFileError(
            f"{path} has {size} bytes, more than the {memory():.0f} of memory on this machine"
        )


def versions() -> dict[str, str]:
    """Return the installed versions of subgrid and of the packages that decide its numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def maker() -> dict[str, str]:
    """Return what decides the bits of a truth made here: versions, device, processor, flags.

    Not the threads, of which a worker has one: steps do not depend on them.
    """
    from subgrid import computing  # imports JAX

    return {**versions(), **computing.rounding()}


@functools.cache
def commit() -> str | None:
    """Return the git commit of the source tree, with "-dirty" if it was changed, else None.

    Read once per process, since the code that runs is the one imported, not what a later commit in
    the tree holds.
    """
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        inside = git("ls-files", "--error-unmatch", __file__)
        if not inside:
            return None
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def environment() -> dict[str, Any]:
    """Return versions, commit, device and settings: what a manifest records of the machine."""
    import jax

    from subgrid import computing  # imports JAX

    rounding = computing.rounding()
    return {
        "versions": versions(),
        "commit": commit(),
        "platform": platform.platform(),
        "cpu_count": usable_cpus(),
        "device": rounding["device"],
        "device_count": jax.device_count(),
        "settings": computing.settings(),
        "rounding": {**rounding, "threads": str(computing.threads())},
    }


def aside_of(path: Path) -> Path:
    """Return where to write a file or folder before it is renamed: a name that only we make."""
    return path.with_name(f".{path.name}.subgrid-{secrets.token_hex(4)}")


def write_atomic(path: str | Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the whole new one, even after a kill.

    Written aside in the same folder, flushed to disk, then renamed; its permissions are those that
    the umask leaves. Raises OSError (for example ENOSPC) with the old file untouched.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = aside_of(path)
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays and texts to a safetensors file, atomically, with a checksum of both."""
    from safetensors.numpy import save

    plain = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    notes = dict(metadata or {})
    notes["sha256"] = _payload_hash(plain, notes)
    write_atomic(path, _with_sorted_header(save(plain, metadata=notes)))


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and metadata that `save_arrays` wrote.

    Raises CorruptFileError, naming the file, if it is truncated or its bytes were altered, and
    FileNotFoundError if it is absent. The checksum of a file of an earlier version does not cover
    its metadata.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        require_fits_memory(path)  # raises for what the library would wait for, too
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {path}") from None
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = dict(stream.metadata() or {})
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    # the last three are of types that NumPy does not have
    except (SafetensorError, ValueError, OSError, TypeError, LookupError, AttributeError) as error:
        raise CorruptFileError(f"{path} is truncated or no safetensors file: {error}") from error
    wanted = metadata.pop("sha256", None)
    if wanted not in (_payload_hash(arrays, metadata), _payload_hash(arrays, {})):
        raise CorruptFileError(
            f"{path} was altered after it was written (its checksum differs). Restore it or remove "
            "it and run the stage again."
        )
    return arrays, metadata


def _with_sorted_header(data: bytes) -> bytes:
    """Return a safetensors file with its header in sorted order: equal content, equal bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format asks for arrays that start on 8 bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _payload_hash(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    if metadata:
        digest.update(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        value = np.asarray(arrays[name], order="C")
        digest.update(f"{name}|{value.dtype.str}|{value.shape}|".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
