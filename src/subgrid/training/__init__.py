"""Training: a resumable loop, optimisers, schedules, trackers; offline and online, cascades."""

from subgrid.training.cascade import train_cascade
from subgrid.training.checkpoint import remove_checkpoints
from subgrid.training.loop import fit, load_best
from subgrid.training.offline import OfflineResult, train_offline
from subgrid.training.online import OnlineResult, train_online
from subgrid.training.optimisers import OPTIMISERS, Adam, AdamW, Optimiser
from subgrid.training.plan import Noise, Plan
from subgrid.training.remarks import training_remarks
from subgrid.training.run import FitResult
from subgrid.training.scaling import channels
from subgrid.training.schedules import SCHEDULES, Constant, Schedule, WarmupCosine
from subgrid.training.separated import train_separated
from subgrid.training.tasks import forward_gflop
from subgrid.training.trackers import TIMINGS, Callback, Event, JsonLines, read_records

__all__ = [
    "OPTIMISERS",
    "SCHEDULES",
    "TIMINGS",
    "Adam",
    "AdamW",
    "Callback",
    "Constant",
    "Event",
    "FitResult",
    "JsonLines",
    "Noise",
    "OfflineResult",
    "OnlineResult",
    "Optimiser",
    "Plan",
    "Schedule",
    "WarmupCosine",
    "channels",
    "fit",
    "forward_gflop",
    "load_best",
    "read_records",
    "remove_checkpoints",
    "train_cascade",
    "train_offline",
    "train_online",
    "train_separated",
    "training_remarks",
]
