"""Trained closures in the models of their users."""

from subgrid.deploy.bundle import Bundle as Bundle
from subgrid.deploy.bundle import bundles as bundles
from subgrid.deploy.bundle import copy_bundle as copy_bundle
from subgrid.deploy.bundle import load_bundle as load_bundle
from subgrid.deploy.bundle import pretrained as pretrained
from subgrid.deploy.bundle import validity as validity
from subgrid.deploy.bundle import write_bundle as write_bundle
from subgrid.deploy.pyqg import PyqgParameterization as PyqgParameterization
from subgrid.deploy.pyqg import in_pyqg_jax as in_pyqg_jax
from subgrid.registry import Registry

# name → function(closure, folder, *, metadata, card) that writes what a host needs
EXPORTERS = Registry("exporter", {"bundle": write_bundle})
