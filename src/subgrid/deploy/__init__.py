"""Trained closures in the models of their users."""

from subgrid.deploy.pyqg import PyqgParameterization, in_pyqg_jax

__all__ = ["PyqgParameterization", "in_pyqg_jax"]
