"""The declarative base of this service's rows: its own Postgres schema, with inbox and outbox beside them."""

from shared.tables import row_base

Row = row_base("subscriptions")
