"""Where trajectories are simulated: in this process, in several, or on a Dask cluster."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from subgrid.data import dask_map, process_map
from subgrid.errors import ConfigError

Map = Callable[..., Any]


@contextlib.contextmanager
def worker_map(workers: int = 1, dask: str | None = None) -> Iterator[Map]:
    """Give the map that simulates trajectories.

    `workers` = 1: the built-in one; more: that many processes of one thread each; `dask`: the
    address of a dask.distributed scheduler. Raises ConfigError for a number below 1, a missing
    package, or an address that does not answer.
    """
    if workers < 1:
        raise ConfigError(f"--workers {workers}: must be at least 1")
    if dask is not None:
        with _cluster(dask) as mapped:
            yield mapped
    elif workers == 1:
        yield map
    else:
        with process_map(workers) as mapped:
            yield mapped


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Map]:
    try:
        from distributed import Client

        client = Client(address, timeout="20s")
    except ImportError as error:
        raise ConfigError("--dask needs more packages: pip install 'subgrid[dask]'") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"--dask {address}: no scheduler answers there: {error}") from error
    with client, dask_map(client) as mapped:
        yield mapped
