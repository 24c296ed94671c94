"""`subgrid doctor`: what subgrid finds on this machine."""

import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path


def command() -> None:
    """Show Python, JAX, devices, threads, memory, disk, extras, and the speed of two kernels."""
    from subgrid import machine
    from subgrid.provenance import commit, versions

    _section("software")
    for name, version in versions().items():
        _row(name, version)
    _row("commit", commit() or "not a git checkout")
    _row("platform", platform.platform())
    import jax

    _section("machine")
    for device in jax.devices():
        _row(f"device {device.id}", f"{device.platform}: {device.device_kind}")
    _row("processor", machine.processor())
    _row("usable CPUs", str(machine.usable_cpus()))
    _row("memory", f"{machine.memory() / 2**30:.1f} GiB, {machine.free_memory() / 2**30:.1f} free")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    _row("disk free here", f"{free:.1f} GiB")
    _row("XLA_FLAGS", os.environ.get("XLA_FLAGS", "not set"))

    _section("extras")
    for extra, module in (("dask", "distributed"), ("dev", "pytest")):
        found = importlib.util.find_spec(module) is not None
        _row(extra, "installed" if found else f"absent: pip install 'subgrid[{extra}]'")

    _section("speed (best of 5)")
    _speed()


def _speed() -> None:
    import jax
    import jax.numpy as jnp

    from subgrid.randomness import random_key

    field = jax.random.normal(random_key(0), (4, 256, 256))
    seconds = _best(jax.jit(lambda x: jnp.fft.irfft2(jnp.fft.rfft2(x))), field)
    _row("FFT", f"{1e3 * seconds:.2f} ms for 4 x 256 x 256, there and back, float32")
    square = jax.random.normal(random_key(0), (1024, 1024))
    seconds = _best(jax.jit(lambda x: x @ x), square)
    _row("matmul", f"{2 * 1024**3 / seconds / 1e9:.0f} GFLOP/s at 1024 x 1024, float32")


def _best(function: Callable, argument: object) -> float:
    function(argument).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(argument).block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times)


def _section(title: str) -> None:
    print(f"\n{title}" if title != "software" else title)


def _row(name: str, value: str) -> None:
    print(f"  {name:<16} {value}", flush=True)
