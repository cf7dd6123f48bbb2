"""Ports and URLs of one sandbox, and the `endpoints.json` with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from sandbox.credentials import Credentials
from sandbox.nats import DEFAULT_PREFIX, DEFAULT_WEBHOOK_SUBJECT
from sandbox.ports import HOST
from sandbox.postgres import OWNER
from sandbox.workers import port_offset

DATABASE = "tallystick"
STRIPE_API = "https://api.stripe.com"
WEBHOOK_PATH = "/api/v1/webhooks/stripe"

# Offsets from the base port. Services with web pages come first.
_WORKERS_OFFSET = 0  # the gateway listens on the base port
_STRIPE_OFFSET = 10
_MAILBOX_OFFSET = 11
_SMTP_OFFSET = 12
_NATS_OFFSET = 20
_NATS_MONITOR_OFFSET = 21
_POSTGRES_OFFSET = 22
PORTS_USED = 23


@dataclass(frozen=True)
class Settings:
    """Settings from the environment of `./dev up`, with the product's setting names."""

    subject_prefix: str
    webhook_subject: str
    stripe_secret_key: str | None
    stripe_webhook_secret: str | None
    stripe_api_base: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; empty values count as unset."""
        return cls(
            subject_prefix=environment.get("SUBJECT_PREFIX") or DEFAULT_PREFIX,
            webhook_subject=environment.get("WEBHOOK_SUBJECT") or DEFAULT_WEBHOOK_SUBJECT,
            stripe_secret_key=environment.get("STRIPE_SECRET_KEY") or None,
            stripe_webhook_secret=environment.get("STRIPE_WEBHOOK_SECRET") or None,
            stripe_api_base=environment.get("STRIPE_API_BASE") or None,
        )


@dataclass(frozen=True)
class Endpoints:
    """Ports and URLs of one sandbox."""

    base_port: int
    credentials: Credentials
    settings: Settings
    workers: list[str]

    @property
    def uses_stand_in(self) -> bool:
        """Whether the sandbox runs the Stripe stand-in."""
        return self.settings.stripe_secret_key is None

    @property
    def stripe_port(self) -> int:
        """Port of the Stripe stand-in."""
        return self.base_port + _STRIPE_OFFSET

    @property
    def mailbox_port(self) -> int:
        """Port of the mail catcher's page and JSON API."""
        return self.base_port + _MAILBOX_OFFSET

    @property
    def smtp_port(self) -> int:
        """Port of the mail catcher's SMTP server."""
        return self.base_port + _SMTP_OFFSET

    @property
    def mailbox_url(self) -> str:
        """Base URL of the mail catcher's page and JSON API."""
        return f"http://{HOST}:{self.mailbox_port}"

    @property
    def smtp_url(self) -> str:
        """URL of the mail catcher's SMTP server."""
        return f"smtp://{HOST}:{self.smtp_port}"

    @property
    def nats_port(self) -> int:
        """Client port of NATS."""
        return self.base_port + _NATS_OFFSET

    @property
    def nats_monitor_port(self) -> int:
        """HTTP monitoring port of NATS."""
        return self.base_port + _NATS_MONITOR_OFFSET

    @property
    def postgres_port(self) -> int:
        """Port of Postgres."""
        return self.base_port + _POSTGRES_OFFSET

    def worker_port(self, worker: str) -> int:
        """Return the HTTP port of a worker: health, metrics and its own routes."""
        return self.base_port + _WORKERS_OFFSET + port_offset(worker)

    def worker_url(self, worker: str) -> str:
        """Return the base URL of a worker."""
        return f"http://{HOST}:{self.worker_port(worker)}"

    @property
    def ports(self) -> dict[str, int]:
        """All ports that must be free at the start, by program."""
        ports = {worker: self.worker_port(worker) for worker in self.workers}
        if self.uses_stand_in:
            ports["stripe"] = self.stripe_port
        return {
            **ports,
            "mailbox": self.mailbox_port,
            "smtp": self.smtp_port,
            "nats": self.nats_port,
            "nats monitoring": self.nats_monitor_port,
            "postgres": self.postgres_port,
        }

    @property
    def stripe_url(self) -> str:
        """Base URL of Stripe's API: the stand-in's, or the configured one."""
        if self.uses_stand_in:
            return f"http://{HOST}:{self.stripe_port}"
        return self.settings.stripe_api_base or STRIPE_API

    @property
    def stripe_secret_key(self) -> str:
        """API key with which workers call Stripe."""
        return self.settings.stripe_secret_key or self.credentials.stripe_secret_key

    @property
    def stripe_webhook_secret(self) -> str:
        """Secret with which webhooks are signed."""
        return self.settings.stripe_webhook_secret or self.credentials.stripe_webhook_secret

    @property
    def webhook_url(self) -> str:
        """URL to which Stripe's webhooks are sent."""
        return self.worker_url("webhooks") + WEBHOOK_PATH

    def nats_url(self, user: str) -> str:
        """Return the URL of a NATS user."""
        return f"nats://{user}:{self.credentials.nats_users[user]}@{HOST}:{self.nats_port}"

    @property
    def nats_monitor_url(self) -> str:
        """Monitoring URL of NATS."""
        return f"http://{HOST}:{self.nats_monitor_port}"

    @property
    def database_url(self) -> str:
        """Database URL of its owner."""
        return self._database_url(OWNER, self.credentials.database_owner)

    def database_role_url(self, service: str) -> str:
        """Return the database URL of a service's role."""
        return self._database_url(f"tallystick_{service}", self.credentials.database_roles[service])

    def _database_url(self, user: str, password: str) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@{HOST}:{self.postgres_port}/{DATABASE}"


def document(endpoints: Endpoints) -> dict[str, object]:
    """Return the contents of `endpoints.json`."""
    content: dict[str, object] = {
        "nats": endpoints.nats_url("client"),
        "nats_users": {user: endpoints.nats_url(user) for user in endpoints.credentials.nats_users},
        "nats_monitor": endpoints.nats_monitor_url,
        "database": endpoints.database_url,
        "database_roles": {
            service: endpoints.database_role_url(service) for service in endpoints.credentials.database_roles
        },
        "webhooks": endpoints.webhook_url,
        "stripe": endpoints.stripe_url,
        "mailbox": endpoints.mailbox_url,
        "stripe_secret_key": endpoints.stripe_secret_key,
        "stripe_webhook_secret": endpoints.stripe_webhook_secret,
        "workers": {worker: endpoints.worker_url(worker) for worker in endpoints.workers},
    }
    if "gateway" in endpoints.workers:
        content["gateway"] = endpoints.worker_url("gateway")
        content["gateway_jwt_secret"] = endpoints.credentials.gateway_jwt_secret
    return content
