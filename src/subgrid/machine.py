"""What this process may use of its machine: processor, cores and memory, limits of a job included.

Uses the standard library only, so that the command line can ask before it imports anything.
"""

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_NO_LIMIT = 2**60  # version 1 of cgroups writes a number of about 2⁶³ where there is none

# what decides how wide and how fused XLA computes, of the many flags of a processor
_VECTORS = ("sse4_2", "avx", "avx2", "fma", "asimd", "sve", "sve2")
_WIDE = ("avx512", "avx10", "amx")


def processor_lines() -> list[str]:
    """Return model and instruction sets of the first processor, as the system tells them."""
    try:
        first = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:  # no such system
        return [platform.machine(), platform.processor()]
    wanted = ("model name", "flags", "Features")
    return [line for line in first.split("\n") if line.startswith(wanted)]


def processor() -> str:
    """Return the processor's model and the instruction sets that XLA may compute with, in words."""
    facts = {}
    for line in processor_lines():
        name, _, value = line.partition(":")
        facts[name.strip()] = value.strip()
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    sets = [flag for flag in flags if flag in _VECTORS or flag.startswith(_WIDE)]
    model = facts.get("model name") or platform.processor() or platform.machine()
    return f"{model} ({' '.join(sorted(set(sets)))})" if sets else model


def usable_cpus() -> int:
    """Return how many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> float:
    """Return the bytes of memory that can still be had, or infinity where nothing tells.

    The least of what the machine has and of what the limits of the job or container leave, of
    cgroups of either version: a process above such a limit is killed without a word.
    """
    return float(min([_free_on_machine(), *(limit - used for limit, used in _limits())]))


def memory() -> float:
    """Return the bytes of memory that this process may use at most: the machine's, or a limit."""
    return float(min([_of_machine(), *(limit for limit, _ in _limits())]))


def _of_machine() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return float("inf")


def _free_on_machine() -> float:
    try:
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * float(line.split()[1])
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")


def _limits() -> list[tuple[int, int]]:
    """Return (limit, used) in bytes of every cgroup around this process that has a limit.

    Those above it count too: a job's limit is often set on a parent of its process's group.
    """
    found = []
    for folder, limit_name, used_name in _memory_groups():
        limit, used = (_number(folder / name) for name in (limit_name, used_name))
        if limit is not None and limit < _NO_LIMIT:
            found.append((limit, max((used or 0) - _reclaimable(folder), 0)))
    return found


def _memory_groups() -> list[tuple[Path, str, str]]:
    """Return the folders of this process's cgroups, with the names of limit and use."""
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    groups = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root = _CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        own = root / path.lstrip("/")
        # in a container the path may be the host's, and only the root be there
        above = [own, *own.parents]
        groups += [(folder, *names) for folder in above if folder.is_relative_to(root)]
    return groups


def _reclaimable(folder: Path) -> int:
    """Return the bytes of files kept in memory that the system gives up when a limit is near."""
    try:
        text = (folder / "memory.stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    counts = dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, or the word "max"
        return None
