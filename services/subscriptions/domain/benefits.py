"""Tokens that open a benefit: a JWT that says who may open what until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

from joserfc import jwt
from joserfc.jwk import OctKey

SECRET_MIN_CHARACTERS = 32
"""A shorter secret could be guessed by anybody who has received one token."""
TOKEN_PARAMETER = "benefit_token"
"""The query parameter of a benefit's URL with the token."""
VALID_FOR = timedelta(minutes=5)
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class BenefitSigner:
    """Signs the tokens with the setting `BENEFIT_SECRET`, which the host that delivers a benefit has, too."""

    secret: str | None

    def __post_init__(self) -> None:
        """Raise ValueError if the secret is too short."""
        if self.secret is not None and len(self.secret) < SECRET_MIN_CHARACTERS:
            raise ValueError(f"BENEFIT_SECRET must have {SECRET_MIN_CHARACTERS} characters or more")

    def open(self, url: str, member: str, feature: str, now: datetime) -> tuple[str, datetime]:
        """Return the URL with a token, and the end of its validity. Raises ValueError without a secret."""
        if self.secret is None:
            raise ValueError("BENEFIT_SECRET is not set")
        expires_at = now.replace(microsecond=0) + VALID_FOR
        claims = {
            "sub": member,
            "feature": feature,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = jwt.encode({"alg": _ALGORITHM}, claims, OctKey.import_key(self.secret))
        return _with_query(url, f"{TOKEN_PARAMETER}={token}"), expires_at


def _with_query(url: str, added: str) -> str:
    parts = urlsplit(url)
    query = f"{parts.query}&{added}" if parts.query else added
    return urlunsplit(parts._replace(query=query))
