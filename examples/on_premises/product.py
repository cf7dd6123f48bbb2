"""A product at the customer's: `python product.py LICENSE_KEY` activates it, later starts need no key."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tallystick import licensing  # or a copy of tallystick/licensing.py


class Product:
    """The license of one installation, kept in `home`; `keys` is the key set that the product came with."""

    def __init__(self, home: Path, server: str, keys: dict[str, Any]) -> None:
        self.path, self.server, self.keys = home / "license.json", server, keys
        self.state = json.loads(self.path.read_text()) if self.path.exists() else {"id": uuid.uuid4().hex}

    def activate(self, key: str, now: datetime) -> str:
        """Take a place of the license, and keep the key and the first file."""
        instance = {"instance_id": self.state["id"], "name": os.uname().nodename}
        answer = self._post("activate", license_key=licensing.normalize_key(key), instance=instance)
        return self._take(answer, now, key=key, last_seen=now.isoformat())

    def daily(self, members: int, now: datetime) -> str:
        """Fetch a fresh file and report the members; without a network the old file holds until it ends."""
        here = {"license_key": self.state["key"], "instance_id": self.state["id"]}
        try:
            answer = self._post("refresh", **here, members=members)
            if answer.get("code") == "not_activated" and self.mode(now).startswith("stopped"):
                return self.activate(self.state["key"], now)  # its place was given up in a long silence
            return self._take(answer, now)
        except (OSError, ValueError):  # nobody answers, or a proxy in place of the server
            print("The license server cannot be reached.")
            return self.mode(now)

    def mode(self, now: datetime) -> str:
        """Return what runs: everything, without new members in the time of grace, or nothing."""
        seen = datetime.fromisoformat(self.state.get("last_seen", now.isoformat()))
        try:
            found = licensing.check(self.state.get("file", ""), self.keys, self.state["id"], now, seen)
        except licensing.LicenseError as error:
            return f"stopped: {error.message}"
        self._keep(last_seen=now.isoformat())
        modes = {"valid": "running", "grace": "running, without new members"}
        return modes.get(found, "stopped: it has ended")

    def _post(self, action: str, **body: Any) -> Any:
        url, kind = f"{self.server}/api/v1/licenses/{action}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), kind)
        try:
            return json.load(urllib.request.urlopen(request, timeout=10))
        except urllib.error.HTTPError as refusal:
            return json.load(refusal)

    def _take(self, answer: dict[str, Any], now: datetime, **more: str) -> str:
        if "license_file" in answer:
            self._keep(file=answer["license_file"], **more)
        else:
            print("There is no license file:", answer["code"])
        return self.mode(now)

    def _keep(self, **changes: str) -> None:
        self.state |= changes
        self.path.write_text(json.dumps(self.state))


if __name__ == "__main__":
    home = Path(os.environ.get("PRODUCT_HOME", "."))
    product = Product(home, os.environ["LICENSE_SERVER"], json.loads((home / "keys.json").read_text()))
    if len(sys.argv) > 1:
        print(product.activate(sys.argv[1], datetime.now(UTC)))
    while "key" in product.state:
        print(product.daily(18, datetime.now(UTC)))  # eighteen members
        time.sleep(24 * 60 * 60)
