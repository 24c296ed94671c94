"""Datasets of coarse states and subgrid forcings: made from a truth, stored, described, read."""

from subgrid.data.decoding import check_decoded_size
from subgrid.data.generation import (
    GenerationSummary,
    Split,
    generate,
    generate_all,
    recorded_files,
)
from subgrid.data.loader import Samples, describe_left_out, fits_in_memory
from subgrid.data.mapping import dask_map, process_map
from subgrid.data.memory import MemorySamples
from subgrid.data.metadata import consolidate
from subgrid.data.observing import Observer
from subgrid.data.records import Progress, TrajectoryResult
from subgrid.data.starts import Following, Starts, choose_starts
from subgrid.data.statistics import VariableStatistics, statistics
from subgrid.data.store import open_dataset, scales
from subgrid.data.trajectory import TrajectoryJob, Truth, run_trajectory, trajectory_key
from subgrid.data.windows import START_TIME, Windows

__all__ = [
    "START_TIME",
    "Following",
    "GenerationSummary",
    "MemorySamples",
    "Observer",
    "Progress",
    "Samples",
    "Split",
    "Starts",
    "TrajectoryJob",
    "TrajectoryResult",
    "Truth",
    "VariableStatistics",
    "Windows",
    "check_decoded_size",
    "choose_starts",
    "consolidate",
    "dask_map",
    "describe_left_out",
    "fits_in_memory",
    "generate",
    "generate_all",
    "open_dataset",
    "process_map",
    "recorded_files",
    "run_trajectory",
    "scales",
    "statistics",
    "trajectory_key",
]
