"""Prints what a run would take."""

import math
import shutil
from pathlib import Path

from subgrid.config import Config, check_names
from subgrid.machine import free_memory


def print_plan(
    config: Config, out: Path, workers: int, data_from: Path | None = None, trust: bool = False
) -> None:
    """Print steps, operations, memory, disk and time of each stage; nothing is written.

    Raises what a run would before it begins: see `check_run`.
    """
    check_names(config)  # first, since what follows imports JAX
    from subgrid.experiment.folder import RunFolder
    from subgrid.experiment.progress import duration
    from subgrid.experiment.run import check_run
    from subgrid.recipes.plan import plan_run
    from subgrid.recipes.pretrained import copies
    from subgrid.recipes.stability import step_limits

    check_run(config, out, data_from=data_from, trust=trust)
    print(
        f"{config.label} in {out}; timing a few steps and updates on this machine ...", flush=True
    )
    begun = RunFolder.existing(out, config, trust)
    plans = plan_run(config, workers, {} if begun is None else copies(begun), trust)
    print(f"\n{'stage':<10} {'GFLOP':>10} {'memory':>10} {'disk':>10} {'time':>12}  work")
    for plan in plans:
        print(
            f"{plan.stage:<10} {_gflop(plan.total.operations):>10} {_bytes(plan.total.memory):>10} "
            f"{_bytes(plan.total.disk):>10} {duration(plan.total.seconds):>12}  {plan.work}"
        )
    total = sum(plan.total.seconds for plan in plans)
    disk = sum(plan.total.disk for plan in plans)
    print(
        f"\nabout {duration(total)} and {_bytes(disk)} of disk, besides compiling (some ten "
        "seconds) and the figures"
    )
    needed, available = max((plan.total.memory for plan in plans), default=0), free_memory()
    if needed > available:
        print(
            f"the memory has only {_bytes(available)} free, limits of a job or container included: "
            "use fewer workers, or a smaller batch or training.chunk"
        )
    for line in step_limits(config):
        print(line)
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if disk > free:
        print(f"the disk has only {_bytes(free)} free")


def _gflop(operations: float) -> str:
    """Return a count for the table; a network that does not say its own makes it unknown."""
    return f"{operations / 1e9:.3g}" if math.isfinite(operations) else "unknown"


def _bytes(count: float | int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
