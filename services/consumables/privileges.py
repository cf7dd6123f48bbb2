"""What this service's Postgres role may not do to its own tables; provisioning reads this."""

CHANGEABLE_COLUMNS: dict[str, tuple[str, ...]] = {}
WRITTEN_BY_OWNER = ("closed_entries",)
"""The sums of dropped partitions, written by the owner's function that drops them; the service reads them."""
