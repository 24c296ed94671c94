"""Networks on periodic grids: convolutions, stacks by name, the multiscale cascade, scaling."""

from subgrid.nn.cascade import Cascade, Stacked, build_cascade, flops
from subgrid.nn.cnn import ConvNet, named_builder
from subgrid.nn.convolution import Conv2d
from subgrid.nn.counting import parameter_count, trainable
from subgrid.nn.fixed import Fixed, fixed_as
from subgrid.nn.line import Conv1d
from subgrid.nn.registry import NETWORKS, build, dims_of
from subgrid.nn.scaling import Scaler
from subgrid.nn.separable import SeparableConv2d
from subgrid.nn.separated import SEPARATED_TASKS, SeparatedNetwork

__all__ = [
    "NETWORKS",
    "SEPARATED_TASKS",
    "Cascade",
    "Conv1d",
    "Conv2d",
    "ConvNet",
    "Fixed",
    "Scaler",
    "SeparableConv2d",
    "SeparatedNetwork",
    "Stacked",
    "build",
    "build_cascade",
    "dims_of",
    "fixed_as",
    "flops",
    "named_builder",
    "parameter_count",
    "trainable",
]
