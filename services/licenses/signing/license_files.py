"""License files: the claims of a license for one machine, signed as a compact JWS (RFC 7515, RFC 8037)."""

import base64
from datetime import datetime
from functools import lru_cache

import orjson

from services.licenses.domain.file_times import file_times
from services.licenses.domain.licenses import Activation, License
from services.licenses.signing.signing_keys import SigningKeyPair
from services.licenses.tables import ActivationRow, LicenseRow
from tallystick.licensing import ALGORITHM, TYPE


def issue_file(
    pair: SigningKeyPair, row: LicenseRow | License, activation: ActivationRow | Activation, now: datetime
) -> str:
    """Issue the next file of a license for a machine, and write its number and times into the rows."""
    times = file_times(
        now, offline_days=row.offline_days, grace_days=row.grace_days, expires_at=row.expires_at
    )
    row.file_sequence += 1
    activation.refreshed_at = now
    activation.not_after, activation.grace_until = times.not_after, times.grace_until
    return sign(
        pair,
        {
            "license_id": row.license_id,
            "customer": row.customer,
            "product": row.product,
            "instance_id": activation.instance_id,
            "seats": row.seats,
            "features": row.features,
            "issued_at": now,
            "not_after": times.not_after,
            "grace_until": times.grace_until,
            "expires_at": row.expires_at,
            "sequence": row.file_sequence,
        },
    )


def sign(pair: SigningKeyPair, claims: dict[str, object]) -> str:
    """Sign claims; the same claims give the same file."""
    signed = _protected_header(pair.kid) + b"." + _encoded(orjson.dumps(claims, option=orjson.OPT_UTC_Z))
    return (signed + b"." + _encoded(pair.private.sign(signed))).decode()


@lru_cache(maxsize=16)
def _protected_header(kid: str) -> bytes:
    return _encoded(orjson.dumps({"alg": ALGORITHM, "kid": kid, "typ": TYPE}))


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
