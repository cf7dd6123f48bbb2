"""Attacks: forged messages, reply subjects, database roles, limits and TLS.

Each test tries what an outsider or a compromised service could try.
Ordinary permissions of users are in `tests/deploy`, scopes of routes in `tests/gateway`.
"""
