"""License files for tests of the check, signed with keys of their own."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tallystick import licensing

SEED = "22" * 32
ISSUED = datetime(2026, 1, 15, 12, tzinfo=UTC)
NOT_AFTER = ISSUED + timedelta(days=30)
GRACE_UNTIL = NOT_AFTER + timedelta(days=14)
CLAIMS: dict[str, Any] = {
    "license_id": "lic_1",
    "customer": "organization_acme",
    "product": "server",
    "instance_id": "host-1",
    "seats": 25,
    "features": {"audit_log": None, "projects": 100},
    "issued_at": "2026-01-15T12:00:00Z",
    "not_after": "2026-02-14T12:00:00Z",
    "grace_until": "2026-02-28T12:00:00Z",
    "expires_at": None,
    "sequence": 7,
}


def encoded(part: bytes) -> str:
    """Encode in base64url without padding."""
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def private_key(seed: str = SEED) -> Ed25519PrivateKey:
    """The private key of a seed in hexadecimal."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))


def key_set(seed: str = SEED, **options: Any) -> dict[str, Any]:
    """The key set with the public key of a seed."""
    x = encoded(private_key(seed).public_key().public_bytes_raw())
    return {"keys": [licensing.key_set_key(x, **options)]}


def signed_file(claims: dict[str, Any] | bytes = CLAIMS, *, seed: str = SEED, **header: Any) -> str:
    """A file with these claims; `header` overrides fields of its protected header."""
    kid = key_set(seed)["keys"][0]["kid"]
    protected = {"alg": licensing.ALGORITHM, "kid": kid, "typ": licensing.TYPE, **header}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{encoded(json.dumps(protected).encode())}.{encoded(payload)}"
    return f"{signed}.{encoded(private_key(seed).sign(signed.encode()))}"
