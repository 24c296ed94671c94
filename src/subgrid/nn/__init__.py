"""Networks: maps from fields to fields of one sample, knowing neither systems nor units."""

from subgrid.nn.cascade import Cascade, Stacked, build_cascade
from subgrid.nn.catalogue import NETWORKS, build
from subgrid.nn.cnn import ConvNet, flops, parameter_count
from subgrid.nn.convolution import Conv2d
from subgrid.nn.scaling import Scaler

__all__ = [
    "NETWORKS",
    "Cascade",
    "Conv2d",
    "ConvNet",
    "Scaler",
    "Stacked",
    "build",
    "build_cascade",
    "flops",
    "parameter_count",
]
