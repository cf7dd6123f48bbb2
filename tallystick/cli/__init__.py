"""The command line client: everything the messages can do, for people and for scripts."""

from tallystick.cli.app import main

__all__ = ["main"]
