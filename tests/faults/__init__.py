"""Processes that are killed under load, and what must hold after their restart.

Slow: they start first in a run and use the audit to check the data.
A crash that can be simulated within one process belongs in `tests/use_cases`.
"""
