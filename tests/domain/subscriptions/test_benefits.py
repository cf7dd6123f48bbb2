"""The token in a benefit's address: who may open what until when."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey

from services.subscriptions.domain.benefits import BenefitSigner

NOW = datetime(2026, 1, 15, 12, 0, 0, 250_000, tzinfo=UTC)
SECRET = "s" * 32


def opened(url: str) -> tuple[str, str]:
    """Return the address without its token, and the token."""
    address, _ = BenefitSigner(SECRET).open(url, "user_ann", "videos", NOW)
    token = parse_qs(urlsplit(address).query)["benefit_token"][0]
    return address.replace(token, "TOKEN"), token


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://host.example/a", "https://host.example/a?benefit_token=TOKEN"),
        ("https://host.example/a?x=1", "https://host.example/a?x=1&benefit_token=TOKEN"),
        ("https://host.example", "https://host.example?benefit_token=TOKEN"),
    ],
)
def test_the_token_is_added_to_the_query(url: str, address: str) -> None:
    assert opened(url)[0] == address


def test_the_token_says_who_may_open_what_for_five_minutes() -> None:
    _, expires_at = BenefitSigner(SECRET).open("https://host.example", "user_ann", "videos", NOW)
    assert expires_at == NOW.replace(microsecond=0) + timedelta(minutes=5)
    claims = jwt.decode(opened("https://host.example")[1], OctKey.import_key(SECRET)).claims
    assert claims == {
        "sub": "user_ann",
        "feature": "videos",
        "iat": int(NOW.timestamp()),
        "exp": int(expires_at.timestamp()),
    }


def test_another_secret_does_not_open_it() -> None:
    with pytest.raises(BadSignatureError):
        jwt.decode(opened("https://host.example")[1], OctKey.import_key("t" * 32))


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        BenefitSigner("short")
