"""Fixtures for tests of the plumbing: the toy service on an empty database."""

from tests.support.toy.fixtures import connection, counters, outside, start

__all__ = ["connection", "counters", "outside", "start"]
