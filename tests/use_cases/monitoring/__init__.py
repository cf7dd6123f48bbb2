"""Use cases of monitoring on a real database, hearing made-up events of the other services."""
