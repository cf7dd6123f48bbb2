"""Use cases of licenses: issue, activate, refresh, follow a subscription, end.

Pure rules are in `tests/domain/licenses`.
"""
