"""Trained closures in the models of their users."""

from subgrid.deploy.bundle import (
    Bundle,
    bundles,
    copy_bundle,
    load_bundle,
    pretrained,
    validity,
    write_bundle,
)
from subgrid.deploy.pyqg import PyqgParameterization, in_pyqg_jax
from subgrid.registry import Registry

# name → function(closure, folder, *, metadata, card) that writes what a host needs
EXPORTERS = Registry("exporter", {"bundle": write_bundle})

__all__ = [
    "EXPORTERS",
    "Bundle",
    "PyqgParameterization",
    "bundles",
    "copy_bundle",
    "in_pyqg_jax",
    "load_bundle",
    "pretrained",
    "validity",
    "write_bundle",
]
