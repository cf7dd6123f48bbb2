"""Passwords and keys of one sandbox: generated once and stored in a file readable by the owner only."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_OWNER_ONLY = 0o600
_PASSWORD_BYTES = 18
_SIGNING_KEY_BYTES = 32


@dataclass(frozen=True)
class Credentials:
    """All secrets of a sandbox."""

    database_owner: str
    database_roles: Mapping[str, str]
    nats_users: Mapping[str, str]
    stripe_secret_key: str
    stripe_webhook_secret: str
    invitation_secret: str
    license_key_secret: str
    license_signing_key: str
    """An Ed25519 private key in hexadecimal."""
    benefit_secret: str
    notifications_secret: str
    gateway_jwt_secret: str
    """Signs the bearer tokens of callers of the gateway, in place of the host application."""
    gateway_session_secret: str


def load_or_create(path: Path, services: list[str], nats_users: list[str]) -> Credentials:
    """Load the stored credentials, and add those of new services and users."""
    stored = json.loads(path.read_text()) if path.exists() else {}
    roles = stored.get("database_roles", {})
    users = stored.get("nats_users", {})
    credentials = Credentials(
        database_owner=stored.get("database_owner") or _password(),
        database_roles={service: roles.get(service) or _password() for service in services},
        nats_users={user: users.get(user) or _password() for user in nats_users},
        stripe_secret_key=stored.get("stripe_secret_key") or f"sk_test_{_password()}",
        stripe_webhook_secret=stored.get("stripe_webhook_secret") or f"whsec_{_password()}",
        invitation_secret=stored.get("invitation_secret") or _password(),
        license_key_secret=stored.get("license_key_secret") or _password(),
        license_signing_key=stored.get("license_signing_key") or secrets.token_hex(_SIGNING_KEY_BYTES),
        benefit_secret=stored.get("benefit_secret") or _password(),
        notifications_secret=stored.get("notifications_secret") or _password(),
        gateway_jwt_secret=stored.get("gateway_jwt_secret") or _password(),
        gateway_session_secret=stored.get("gateway_session_secret") or _password(),
    )
    if asdict(credentials) != stored:
        write_private(path, asdict(credentials))
    return credentials


def write_private(path: Path, content: object) -> None:
    """Write JSON atomically to a file that only its owner can read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=_OWNER_ONLY)
    temporary.chmod(_OWNER_ONLY)
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)


def _password() -> str:
    """Return a random password of letters and digits that begins with a letter, as nats-server requires."""
    return "p" + secrets.token_hex(_PASSWORD_BYTES)
