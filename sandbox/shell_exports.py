"""Shell exports of the running sandbox: `eval "$(python -m sandbox.shell_exports)"`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

_ENDPOINTS = Path(".tallystick") / "endpoints.json"


def main() -> None:
    """Print the settings of the database owner and the NATS admin."""
    try:
        endpoints = json.loads(_ENDPOINTS.read_text())
    except FileNotFoundError:
        sys.exit(f"There is no {_ENDPOINTS}: start `./dev up` first, or set DATABASE_URL and NATS_URL.")
    settings = {
        "DATABASE_URL": endpoints["database"],
        "NATS_URL": endpoints["nats_users"]["admin"],
        "NATS_MONITOR_URL": endpoints["nats_monitor"],
    }
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
