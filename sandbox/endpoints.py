"""Where everything of one sandbox is: its ports, its URLs, and the `endpoints.json` that tells others."""

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

# Counted from the base port. What people open in a browser comes first.
_WORKERS_OFFSET = 0  # the gateway has the base port itself
_STRIPE_OFFSET = 10
_NATS_OFFSET = 20
_NATS_MONITOR_OFFSET = 21
_POSTGRES_OFFSET = 22
PORTS_USED = 23


@dataclass(frozen=True)
class Settings:
    """What the environment of `./dev up` may say, under the product's own setting names."""

    subject_prefix: str
    webhook_subject: str
    stripe_secret_key: str | None
    stripe_webhook_secret: str | None
    stripe_api_base: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Empty values count as unset."""
        return cls(
            subject_prefix=environment.get("SUBJECT_PREFIX") or DEFAULT_PREFIX,
            webhook_subject=environment.get("WEBHOOK_SUBJECT") or DEFAULT_WEBHOOK_SUBJECT,
            stripe_secret_key=environment.get("STRIPE_SECRET_KEY") or None,
            stripe_webhook_secret=environment.get("STRIPE_WEBHOOK_SECRET") or None,
            stripe_api_base=environment.get("STRIPE_API_BASE") or None,
        )


@dataclass(frozen=True)
class Places:
    """The addresses of one sandbox."""

    base_port: int
    credentials: Credentials
    settings: Settings
    workers: list[str]

    @property
    def uses_stand_in(self) -> bool:
        """Whether the Stripe stand-in answers instead of Stripe."""
        return self.settings.stripe_secret_key is None

    @property
    def stripe_port(self) -> int:
        """The stand-in's port."""
        return self.base_port + _STRIPE_OFFSET

    @property
    def nats_port(self) -> int:
        """NATS, for clients."""
        return self.base_port + _NATS_OFFSET

    @property
    def nats_monitor_port(self) -> int:
        """NATS, for monitoring over HTTP."""
        return self.base_port + _NATS_MONITOR_OFFSET

    @property
    def postgres_port(self) -> int:
        """Postgres."""
        return self.base_port + _POSTGRES_OFFSET

    def worker_port(self, worker: str) -> int:
        """Where a worker answers over HTTP: health and metrics, and its own routes if it has any."""
        return self.base_port + _WORKERS_OFFSET + port_offset(worker)

    def worker_url(self, worker: str) -> str:
        """The root of a worker's HTTP routes."""
        return f"http://{HOST}:{self.worker_port(worker)}"

    @property
    def ports(self) -> dict[str, int]:
        """Every port that must be free before the start, by the name of who wants it."""
        ports = {worker: self.worker_port(worker) for worker in self.workers}
        if self.uses_stand_in:
            ports["stripe"] = self.stripe_port
        return {
            **ports,
            "nats": self.nats_port,
            "nats monitoring": self.nats_monitor_port,
            "postgres": self.postgres_port,
        }

    @property
    def stripe_url(self) -> str:
        """The base of Stripe's API: the stand-in's, or what the settings say."""
        if self.uses_stand_in:
            return f"http://{HOST}:{self.stripe_port}"
        return self.settings.stripe_api_base or STRIPE_API

    @property
    def stripe_secret_key(self) -> str:
        """The key workers call Stripe with."""
        return self.settings.stripe_secret_key or self.credentials.stripe_secret_key

    @property
    def stripe_webhook_secret(self) -> str:
        """What webhooks are signed with."""
        return self.settings.stripe_webhook_secret or self.credentials.stripe_webhook_secret

    @property
    def webhook_url(self) -> str:
        """Where Stripe's webhooks go."""
        return self.worker_url("webhooks") + WEBHOOK_PATH

    def nats_url(self, user: str) -> str:
        """The URL of a NATS user."""
        return f"nats://{user}:{self.credentials.nats_users[user]}@{HOST}:{self.nats_port}"

    @property
    def nats_monitor_url(self) -> str:
        """Where NATS tells how it is."""
        return f"http://{HOST}:{self.nats_monitor_port}"

    @property
    def database_url(self) -> str:
        """The database, as its owner."""
        return self._database_url(OWNER, self.credentials.database_owner)

    def database_role_url(self, service: str) -> str:
        """The database, as a service's own role."""
        return self._database_url(f"tallystick_{service}", self.credentials.database_roles[service])

    def _database_url(self, user: str, password: str) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@{HOST}:{self.postgres_port}/{DATABASE}"


def document(places: Places) -> dict[str, object]:
    """What `endpoints.json` says."""
    content: dict[str, object] = {
        "nats": places.nats_url("client"),
        "nats_users": {user: places.nats_url(user) for user in places.credentials.nats_users},
        "nats_monitor": places.nats_monitor_url,
        "database": places.database_url,
        "database_roles": {
            service: places.database_role_url(service) for service in places.credentials.database_roles
        },
        "webhooks": places.webhook_url,
        "stripe": places.stripe_url,
        "stripe_secret_key": places.stripe_secret_key,
        "stripe_webhook_secret": places.stripe_webhook_secret,
        "workers": {worker: places.worker_url(worker) for worker in places.workers},
    }
    if "gateway" in places.workers:
        content["gateway"] = places.worker_url("gateway")
        content["gateway_jwt_secret"] = places.credentials.gateway_jwt_secret
    return content
