"""Restrictions of this service's Postgres role on its own tables; read by provisioning."""

CHANGEABLE_COLUMNS = {"stripe_events": ("status", "attempts", "last_error")}
"""The only columns that may change; rows are never deleted, as they are the record of what Stripe sent."""
WRITTEN_BY_OWNER: tuple[str, ...] = ()
