"""Machines: activate, deactivate, refresh, and forget those that are silent."""
