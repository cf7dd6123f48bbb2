"""Stripe's webhook signatures, checked in constant time.

The header is `t=<Unix time>,v1=<hex>,v1=<hex>`: HMAC-SHA256 over `<time>.<payload>`, one for each secret that
is valid at Stripe while the secret is rolled. Source: https://docs.stripe.com/webhooks#verify-manually
"""

import hmac
from dataclasses import dataclass

TOLERANCE_SECONDS = 300
"""Maximum difference between a signature's time and its arrival; the contract's value and Stripe's default.

An older signature may be from a replayed request. A signature from the future is rejected because it would
stay valid for longer, and could be replayed during that time.
"""
HEADER_MAX_CHARACTERS = 2_048
"""Stripe sends about 160 characters, or 240 with two secrets."""
SCHEME = "v1"


class BadSignature(ValueError):
    """The signature is missing, malformed, too old, from the future, or does not match any secret."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies signatures with one secret, or with several during a rollover."""

    keys: tuple[hmac.HMAC, ...]
    """One HMAC for each secret, initialized with its key; copied for each payload."""

    @classmethod
    def of(cls, setting: str) -> "Verifier":
        """Create from the setting: `whsec_…`, several separated by commas."""
        secrets = [secret.strip() for secret in setting.split(",")]
        return cls(tuple(hmac.new(secret.encode(), digestmod="sha256") for secret in secrets if secret))

    def verify(self, payload: bytes, header: str | None, *, arrived_at: float) -> None:
        """Raise BadSignature unless the header has a valid signature; `arrived_at` is in Unix seconds."""
        signed_at, signatures = _parse(header)
        if not any(_is_signed_with(key, signed_at, payload, signatures) for key in self.keys):
            raise BadSignature("the signature does not fit the payload")
        if signed_at < arrived_at - TOLERANCE_SECONDS:
            raise BadSignature(f"the signature is older than {TOLERANCE_SECONDS} seconds")
        if signed_at > arrived_at + TOLERANCE_SECONDS:
            raise BadSignature(f"the signature is dated more than {TOLERANCE_SECONDS} seconds ahead")


def _is_signed_with(key: hmac.HMAC, signed_at: int, payload: bytes, signatures: list[bytes]) -> bool:
    digest = key.copy()
    digest.update(b"%d." % signed_at)
    digest.update(payload)
    expected = digest.hexdigest().encode()
    return any(hmac.compare_digest(expected, signature) for signature in signatures)


def _parse(header: str | None) -> tuple[int, list[bytes]]:
    if not header:
        raise BadSignature("the header Stripe-Signature is missing")
    if len(header) > HEADER_MAX_CHARACTERS:
        raise BadSignature("the header Stripe-Signature is too long")
    signed_at: int | None = None
    signatures: list[bytes] = []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t" and value.isascii() and value.isdigit():
            signed_at = int(value)
        elif name == SCHEME:
            signatures.append(value.encode(errors="replace"))
    if signed_at is None or not signatures:
        raise BadSignature("the header Stripe-Signature has no time or no v1 signature")
    return signed_at, signatures
