"""Checks of `doctor`, one module per layer."""
