"""The passwords and keys of one sandbox: made up once, kept in its directory, readable by its owner alone."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_OWNER_ONLY = 0o600
_PASSWORD_BYTES = 18


@dataclass(frozen=True)
class Credentials:
    """Everything secret in a sandbox."""

    database_owner: str
    database_roles: Mapping[str, str]
    nats_users: Mapping[str, str]
    stripe_secret_key: str
    stripe_webhook_secret: str
    invitation_secret: str
    gateway_jwt_secret: str
    """Signs the bearer tokens of whoever calls the gateway, in the host application's place."""
    gateway_session_secret: str


def load_or_create(path: Path, services: list[str], nats_users: list[str]) -> Credentials:
    """The kept credentials, completed for services and users that are new since."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    roles = kept.get("database_roles", {})
    users = kept.get("nats_users", {})
    credentials = Credentials(
        database_owner=kept.get("database_owner") or _password(),
        database_roles={service: roles.get(service) or _password() for service in services},
        nats_users={user: users.get(user) or _password() for user in nats_users},
        stripe_secret_key=kept.get("stripe_secret_key") or f"sk_test_{_password()}",
        stripe_webhook_secret=kept.get("stripe_webhook_secret") or f"whsec_{_password()}",
        invitation_secret=kept.get("invitation_secret") or _password(),
        gateway_jwt_secret=kept.get("gateway_jwt_secret") or _password(),
        gateway_session_secret=kept.get("gateway_session_secret") or _password(),
    )
    if asdict(credentials) != kept:
        write_private(path, asdict(credentials))
    return credentials


def write_private(path: Path, content: object) -> None:
    """Write JSON that only its owner can read, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.touch(mode=_OWNER_ONLY)
    unfinished.chmod(_OWNER_ONLY)
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


def _password() -> str:
    """Letters and digits, a letter first: nats-server reads passwords as configuration values."""
    return "p" + secrets.token_hex(_PASSWORD_BYTES)
