"""Networks on periodic grids: convolutions, stacks by name, the multiscale cascade, scaling."""

from subgrid.nn.cascade import Cascade as Cascade
from subgrid.nn.cascade import Stacked as Stacked
from subgrid.nn.cascade import build_cascade as build_cascade
from subgrid.nn.cascade import flops as flops
from subgrid.nn.convolution import Conv1d as Conv1d
from subgrid.nn.convolution import Conv2d as Conv2d
from subgrid.nn.convolution import SeparableConv2d as SeparableConv2d
from subgrid.nn.fixed import Fixed as Fixed
from subgrid.nn.fixed import fixed_as as fixed_as
from subgrid.nn.fixed import parameter_count as parameter_count
from subgrid.nn.fixed import trainable as trainable
from subgrid.nn.networks import NETWORKS as NETWORKS
from subgrid.nn.networks import ConvNet as ConvNet
from subgrid.nn.networks import build as build
from subgrid.nn.networks import dims_of as dims_of
from subgrid.nn.networks import named_builder as named_builder
from subgrid.nn.scaling import Scaler as Scaler
from subgrid.nn.separated import SEPARATED_TASKS as SEPARATED_TASKS
from subgrid.nn.separated import SeparatedNetwork as SeparatedNetwork
