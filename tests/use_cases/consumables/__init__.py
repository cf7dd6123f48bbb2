"""Use cases of consumables: consumption, grants, ceilings, recharges and usage.

State machines compare any order of commands with a model.
Pure rules are in `tests/domain/consumables`.
"""
