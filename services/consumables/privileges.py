"""Restrictions of this service's Postgres role on its own tables, applied by provisioning."""

CHANGEABLE_COLUMNS: dict[str, tuple[str, ...]] = {}
WRITTEN_BY_OWNER = ("closed_entries",)
"""Tables that only the owner's function writes, which drops partitions; the service may read them."""
