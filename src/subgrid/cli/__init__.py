"""The command line `subgrid`."""

from subgrid.cli.app import main as main
