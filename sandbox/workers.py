"""Workers of the product: every folder of `services/` with an `app.py`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]

# Order of the workers and their ports, which stays the same in every version.
_PORT_ORDER = (
    "gateway",
    "webhooks",
    "subscriptions",
    "seats",
    "consumables",
    "monitoring",
    "payouts",
    "licenses",
    "notifications",
)


def worker_names(root: Path = ROOT) -> list[str]:
    """Return the workers in port order, unknown ones last."""
    found = {path.parent.name for path in root.glob("services/*/app.py")}
    return [name for name in _PORT_ORDER if name in found] + sorted(found - set(_PORT_ORDER))


def services_with_tables(root: Path = ROOT) -> list[str]:
    """Return the services with tables, which have a schema and a database role."""
    return sorted(path.parent.name for path in root.glob("services/*/migrations"))


def port_offset(worker: str) -> int:
    """Return the offset of a worker's port from the base port."""
    return _PORT_ORDER.index(worker) if worker in _PORT_ORDER else len(_PORT_ORDER)
