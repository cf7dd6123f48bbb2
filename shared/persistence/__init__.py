"""Postgres access: the unit of work with inbox and outbox, partitions, migrations and pipelined SQL."""
