"""Which workers there are, found by looking: every folder of `services/` that has an `app.py` is one."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]

# The order in which they appear and get their ports, so that a port means the same worker in every version.
_PORT_ORDER = ("gateway", "webhooks", "subscriptions", "seats", "consumables")


def worker_names(root: Path = ROOT) -> list[str]:
    """The workers that exist, in port order, unknown ones last."""
    found = {path.parent.name for path in root.glob("services/*/app.py")}
    return [name for name in _PORT_ORDER if name in found] + sorted(found - set(_PORT_ORDER))


def services_with_tables(root: Path = ROOT) -> list[str]:
    """The services that keep tables, and so have a schema and a database role."""
    return sorted(path.parent.name for path in root.glob("services/*/migrations"))


def port_offset(worker: str) -> int:
    """How far a worker's port lies above that of the first one."""
    return _PORT_ORDER.index(worker) if worker in _PORT_ORDER else len(_PORT_ORDER)
