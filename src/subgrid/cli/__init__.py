"""The command line `subgrid`."""

from subgrid.cli.app import main

__all__ = ["main"]
