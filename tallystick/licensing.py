"""Check of license keys and license files in the licensed product, without a network.

This file needs Python 3.11 and `cryptography`, and nothing else of Tallystick, so that it can be copied into
a product:

    state = check(file, keys, instance_id, now=datetime.now(UTC), last_seen=last_seen)
    if state == "valid": ...

A license file is a compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037). `keys` is the JSON Web Key Set
(RFC 7517) of `/.well-known/tallystick-licenses.json` or of `./dev licenses keys`, shipped with the product.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ALGORITHM = "EdDSA"
TYPE = "tallystick-license+jwt"
FILE_MAX_CHARACTERS = 65_536
"""Larger input is refused before it is read; a file with 200 features has 10,000 characters."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far a machine's clock may be behind the server's that issued the file."""
SIGNATURE_BYTES = 64

ErrorCode = Literal[
    "malformed",
    "too_large",
    "algorithm_refused",
    "type_refused",
    "unknown_signing_key",
    "signing_key_expired",
    "bad_signature",
    "wrong_instance",
    "clock_set_back",
]


class LicenseError(Exception):
    """The license file is not good; `code` says why, for programs."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class LicenseKeyError(ValueError):
    """The license key has a typing error, so there is no need to ask the server."""


@dataclass(frozen=True, slots=True)
class License:
    """The claims of a license file."""

    license_id: str
    customer: str
    """For example `organization_acme`."""
    product: str
    instance_id: str
    seats: int | None
    """None: not limited."""
    features: Mapping[str, int | None]
    """Units by feature code; None: unlimited, or a flag."""
    issued_at: datetime
    not_after: datetime
    grace_until: datetime
    expires_at: datetime | None
    """When the license itself is set to end; None: it goes on."""
    sequence: int
    """Counts the files of a license; a later file has a greater one."""


class LicenseState(str):
    """The result of a check; it equals `"valid"`, `"grace"` or `"expired"`."""

    __slots__ = ("license", "until")
    license: License
    until: datetime
    """The end of this state; for `expired`, when it began."""

    @classmethod
    def of(
        cls, status: Literal["valid", "grace", "expired"], until: datetime, claims: License
    ) -> "LicenseState":
        """Create a state."""
        state = cls(status)
        state.until, state.license = until, claims
        return state

    @property
    def status(self) -> str:
        """`valid`, `grace` or `expired`."""
        return str(self)


def check(
    file: str | bytes,
    keys: Mapping[str, Any],
    instance_id: str,
    now: datetime,
    last_seen: datetime | None = None,
) -> LicenseState:
    """Check a license file; return `valid`, `grace` or `expired`, and raise LicenseError for any other file.

    `keys` is a key set as parsed JSON. `now` is the machine's time, with a time zone. `last_seen` is the
    latest time that an earlier check has seen: store it, so that a clock that is set back is noticed.
    """
    claims = read(file, keys, now)
    if claims.instance_id != instance_id:
        raise LicenseError("wrong_instance", "the file was issued for another machine")
    if now < claims.issued_at - CLOCK_TOLERANCE or (last_seen is not None and now < last_seen):
        raise LicenseError("clock_set_back", "the clock shows an earlier time than was seen before")
    if now < claims.not_after:
        return LicenseState.of("valid", claims.not_after, claims)
    if now < claims.grace_until:
        return LicenseState.of("grace", claims.grace_until, claims)
    return LicenseState.of("expired", claims.grace_until, claims)


def read(file: str | bytes, keys: Mapping[str, Any], now: datetime) -> License:
    """Verify the signature of a license file and return its claims; raise LicenseError."""
    if len(file) > FILE_MAX_CHARACTERS:
        raise LicenseError("too_large", "no license file is that large")
    try:
        signed = file.encode("ascii") if isinstance(file, str) else bytes(file)
        protected, payload, signature = signed.split(b".")
    except (UnicodeEncodeError, ValueError):
        raise _malformed() from None
    header = _json_object(protected)
    if header.get("alg") != ALGORITHM:
        raise LicenseError("algorithm_refused", f"only {ALGORITHM} is accepted")
    if header.get("typ") != TYPE:
        raise LicenseError("type_refused", f"the type must be {TYPE}")
    public = _public_key(keys, header.get("kid"), now)
    try:
        public.verify(_decoded(signature), protected + b"." + payload)
    except InvalidSignature:
        raise LicenseError("bad_signature", "the file was changed, or signed by somebody else") from None
    return _claims(_json_object(payload))


def key_set_key(x: str, *, expires_at: datetime | None = None) -> dict[str, Any]:
    """Build the key set's entry for a public key in base64url, as in a JWK of type OKP."""
    key: dict[str, Any] = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": thumbprint(x)}
    key |= {"alg": ALGORITHM, "use": "sig"}
    return key if expires_at is None else key | {"exp": int(expires_at.timestamp())}


def thumbprint(x: str) -> str:
    """Compute the id of a public key: its JWK thumbprint (RFC 7638)."""
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).decode().rstrip("=")


def _public_key(keys: Mapping[str, Any], kid: object, now: datetime) -> Ed25519PublicKey:
    for key in keys["keys"]:
        if key.get("kid") == kid and key.get("kty") == "OKP" and key.get("crv") == "Ed25519":
            if "exp" in key and now.timestamp() >= key["exp"]:
                raise LicenseError("signing_key_expired", "every file of this signing key has ended")
            return Ed25519PublicKey.from_public_bytes(_decoded(key["x"].encode()))
    raise LicenseError("unknown_signing_key", "the key set has no key with this id; it may be too old")


def _decoded(part: bytes) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _malformed() from None
    # Python ignores foreign characters and left-over bits, which would make changed files equal.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise _malformed()
    return decoded


def _json_object(part: bytes) -> dict[str, Any]:
    try:
        found = json.loads(_decoded(part))
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(found, dict):
        raise _malformed()
    return found


def _claims(payload: dict[str, Any]) -> License:
    try:
        return License(
            license_id=payload["license_id"],
            customer=payload["customer"],
            product=payload["product"],
            instance_id=payload["instance_id"],
            seats=payload["seats"],
            features=payload["features"],
            issued_at=_moment(payload["issued_at"]),
            not_after=_moment(payload["not_after"]),
            grace_until=_moment(payload["grace_until"]),
            expires_at=_moment(payload["expires_at"]) if payload["expires_at"] else None,
            sequence=payload["sequence"],
        )
    except (KeyError, TypeError, ValueError):
        raise _malformed() from None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _malformed() -> LicenseError:
    return LicenseError("malformed", "this is not a license file")


# License keys: 160 bits in Crockford's base 32, which has no I, L, O and U, and a check character.

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KEY_PREFIX = "TSL"
KEY_BYTES = 20
KEY_GROUP_CHARACTERS = 8
_DATA_CHARACTERS = KEY_BYTES * 8 // 5
_READ_AS = str.maketrans("ILO", "110")
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_FIELD_POLYNOMIAL = 0b100101
_TIMES_GENERATOR = [value << 1 if value < 16 else value << 1 ^ _FIELD_POLYNOMIAL for value in range(32)]


def format_key(secret: bytes) -> str:
    """Write 20 bytes as a license key, such as `TSL-7XQ2M4RK-…-…-…-C`."""
    number = int.from_bytes(secret)
    data = "".join(ALPHABET[number >> shift & 31] for shift in range(KEY_BYTES * 8 - 5, -1, -5))
    return _grouped(data, ALPHABET[_check_digit(data)])


def _grouped(data: str, check_character: str) -> str:
    groups = [
        data[start : start + KEY_GROUP_CHARACTERS] for start in range(0, len(data), KEY_GROUP_CHARACTERS)
    ]
    return "-".join([KEY_PREFIX, *groups, check_character])


def normalize_key(entered: str) -> str:
    """Return a license key as issued, from what somebody typed; raise LicenseKeyError for a typing error.

    Case, spaces and hyphens do not matter, and I and L are read as 1, O as 0. One wrong character, or two
    neighbours in the wrong order, are always found.
    """
    plain = "".join(entered.split()).replace("-", "").upper()
    data = plain.removeprefix(KEY_PREFIX).translate(_READ_AS)
    if len(data) != _DATA_CHARACTERS + 1 or not _VALUES.keys() >= set(data):
        raise LicenseKeyError("a license key has the form TSL-XXXXXXXX-XXXXXXXX-XXXXXXXX-XXXXXXXX-X")
    if ALPHABET[_check_digit(data[:-1])] != data[-1]:
        raise LicenseKeyError("the license key has a typing error")
    return _grouped(data[:-1], data[-1])


def _check_digit(data: str) -> int:
    """Sum the digits in GF(32), each times another power of the generator.

    No two neighbours have the same weight and none has weight 0, so that a wrong digit and swapped neighbours
    change the sum.
    """
    total = 0
    for character in data:
        total = _TIMES_GENERATOR[total ^ _VALUES[character]]
    return total
