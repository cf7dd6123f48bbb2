"""Command line client for operators and scripts."""

from tallystick.cli.app import main

__all__ = ["main"]
