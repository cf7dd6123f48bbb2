"""What this service's Postgres role may not do to its own tables; provisioning reads this."""

CHANGEABLE_COLUMNS = {"stripe_events": ("status", "attempts", "last_error")}
"""Rows of these tables are never deleted, and only these columns change: what Stripe sent is evidence."""
WRITTEN_BY_OWNER: tuple[str, ...] = ()
