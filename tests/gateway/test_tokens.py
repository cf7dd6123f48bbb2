"""Bearer tokens: accepted and rejected issuers, keys and claims."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from pydantic import ValidationError

from services.gateway.auth.tokens import InvalidToken, KeysUnavailable, TokenVerifier
from services.gateway.settings import GatewaySettings
from tallystick.messages.base import Customer
from tests.support.gateway import JWT_SECRET, SESSION_SECRET, token
from tests.support.standalone_gateway import settings

ACME = Customer(type="organization", id="acme")
SEVEN = Customer(type="user", id="7")
STRANGER = "somebody else's secret, long enough too"
CLAIMS: dict[str, Any] = {"customer": "organization_acme", "scope": "billing:read"}


def in_an_hour() -> int:
    return int(time.time()) + 3600


@pytest.mark.parametrize(
    ("customer", "member", "expected"),
    [
        ("organization_acme", None, (ACME, None)),
        ({"type": "organization", "id": "acme"}, "user_7", (ACME, SEVEN)),
        ("organization_acme", "7", (ACME, SEVEN)),
        (
            "user_7",
            {"type": "user", "id": "7"},
            (SEVEN, SEVEN),
        ),
    ],
)
async def test_customer_and_member_in_every_form(customer: Any, member: Any, expected: Any) -> None:
    made = token(customer, "billing:read", member=member)
    caller = await TokenVerifier(settings()).caller(made)
    assert (caller.customer, caller.member) == expected


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("billing:read", {"billing:read"}),
        ("openid billing:manage", {"billing:read", "billing:manage"}),
        (["billing:admin"], {"billing:read", "billing:manage", "billing:admin"}),
        ("", set()),
    ],
)
async def test_a_scope_includes_the_lesser_ones(scope: Any, allowed: set[str]) -> None:
    caller = await TokenVerifier(settings()).caller(token("organization_acme", scope))
    assert caller.scopes == allowed


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"exp": "tomorrow"},
        {"nbf": 4_000_000_000},
        {"customer": "acme"},
        {"customer": "organization_a.b"},
        {"customer": None},
        {"member": "organization_acme"},
        {"member": "a>b"},
        {"scope": 3},
        {"email": 3},
    ],
    ids=str,
)
async def test_claims_that_are_none_are_refused(claims: dict[str, Any]) -> None:
    body = CLAIMS | {"exp": in_an_hour()} | claims
    made = jwt.encode({"alg": "HS256"}, body, OctKey.import_key(JWT_SECRET))
    with pytest.raises(InvalidToken):
        await TokenVerifier(settings()).caller(made)


async def test_a_token_that_never_expires_is_refused() -> None:
    made = jwt.encode({"alg": "HS256"}, CLAIMS, OctKey.import_key(JWT_SECRET))
    with pytest.raises(InvalidToken):
        await TokenVerifier(settings()).caller(made)


@pytest.mark.parametrize("made", ["", "a.b.c", "é", "x" * 10_000, token(ACME, secret=STRANGER)])
async def test_what_we_did_not_agree_on_is_refused(made: str) -> None:
    with pytest.raises(InvalidToken):
        await TokenVerifier(settings()).caller(made)


async def test_a_changed_token_is_refused_though_the_real_one_is_known() -> None:
    tokens = TokenVerifier(settings())
    made = token(ACME, "billing:read")
    await tokens.caller(made)
    header, _, signature = made.split(".")
    other = token(ACME, "billing:admin").split(".")[1]
    with pytest.raises(InvalidToken):
        await tokens.caller(f"{header}.{other}.{signature}")


async def test_a_token_without_a_signature_is_refused() -> None:
    header, body, _ = token(ACME, "billing:admin").split(".")
    unsigned = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    assert header != unsigned
    with pytest.raises(InvalidToken):
        await TokenVerifier(settings()).caller(f"{unsigned}.{body}.")


async def test_sessions_are_no_bearer_tokens() -> None:
    made = jwt.encode({"alg": "HS256"}, CLAIMS | {"exp": in_an_hour()}, OctKey.import_key(SESSION_SECRET))
    with pytest.raises(InvalidToken):
        await TokenVerifier(settings()).caller(made)


async def test_issuer_and_audience_count_where_they_are_set() -> None:
    tokens = TokenVerifier(settings(gateway_jwt_issuer="https://app", gateway_jwt_audience="billing"))
    caller = await tokens.caller(token(ACME, iss="https://app", aud=["billing", "more"]))
    assert caller.customer == ACME
    for wrong in ({}, {"iss": "https://app"}, {"iss": "https://evil", "aud": "billing"}):
        with pytest.raises(InvalidToken):
            await tokens.caller(token(ACME, **wrong))


def with_keys(path: Path, *keys: Any) -> None:
    path.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))


def signed_by(key: Any, algorithm: str) -> str:
    return jwt.encode({"alg": algorithm, "kid": key.kid}, CLAIMS | {"exp": in_an_hour()}, key)


async def test_keys_of_the_host_application_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsa = RSAKey.generate_key(2048, parameters={"kid": "one"}, auto_kid=True)
    curve = ECKey.generate_key("P-256", parameters={"kid": "two"}, auto_kid=True)
    path = tmp_path / "keys.json"
    with_keys(path, rsa, curve)
    tokens = TokenVerifier(settings(gateway_jwks=str(path), gateway_jwt_secret=None))
    assert (await tokens.caller(signed_by(rsa, "RS256"))).customer == ACME
    assert (await tokens.caller(signed_by(curve, "ES256"))).customer == ACME
    with pytest.raises(InvalidToken, match="HS256"):
        await tokens.caller(token(ACME))

    # A new key is found once the file may be read again; one that is not there never is.
    new = ECKey.generate_key("P-256", parameters={"kid": "three"}, auto_kid=True)
    stranger = ECKey.generate_key("P-256", parameters={"kid": "four"}, auto_kid=True)
    with_keys(path, rsa, new)
    monkeypatch.setattr("services.gateway.auth.tokens.KEYS_RETRY_SECONDS", 0.0)
    assert (await tokens.caller(signed_by(new, "ES256"))).customer == ACME
    with pytest.raises(InvalidToken):
        await tokens.caller(signed_by(stranger, "ES256"))


@contextmanager
def published(*keys: Any) -> Iterator[str]:
    """Keys at a URL."""
    content = json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: tests are quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_keys_at_a_url_count_on_while_it_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    key = ECKey.generate_key("P-256", parameters={"kid": "one"}, auto_kid=True)
    stranger = ECKey.generate_key("P-256", parameters={"kid": "one"}, auto_kid=True)
    monkeypatch.setattr("services.gateway.auth.tokens.CACHE_SECONDS", 0.0)
    monkeypatch.setattr("services.gateway.auth.tokens.KEYS_FRESH_SECONDS", 0.0)
    with published(key) as url:
        tokens = TokenVerifier(settings(gateway_jwks=url))
        assert (await tokens.caller(signed_by(key, "ES256"))).customer == ACME
    assert (await tokens.caller(signed_by(key, "ES256"))).customer == ACME
    with pytest.raises(InvalidToken):
        await tokens.caller(signed_by(stranger, "ES256"))


def part(content: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


async def test_a_public_key_is_no_shared_secret(tmp_path: Path) -> None:
    rsa = RSAKey.generate_key(2048, parameters={"kid": "one"}, auto_kid=True)
    path = tmp_path / "keys.json"
    with_keys(path, rsa)
    content = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(CLAIMS | {'exp': in_an_hour()})}"
    signature = hmac.digest(rsa.as_pem(private=False), content.encode(), "sha256")
    forged = f"{content}.{urlsafe_b64encode(signature).decode().rstrip('=')}"
    with pytest.raises(InvalidToken):
        await TokenVerifier(settings(gateway_jwks=str(path))).caller(forged)


async def test_keys_that_cannot_be_read_are_not_the_callers_fault(tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256", parameters={"kid": "one"}, auto_kid=True)
    tokens = TokenVerifier(settings(gateway_jwks=str(tmp_path / "missing.json")))
    with pytest.raises(KeysUnavailable):
        await tokens.caller(signed_by(key, "ES256"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"gateway_jwt_secret": "short"},
        {"gateway_session_secret": "short"},
        {"gateway_jwt_secret": None},
        {"gateway_public_url": "billing.example.com"},
        {"gateway_public_url": "https://billing.example.com/path"},
    ],
    ids=str,
)
def test_settings_that_would_be_unsafe_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_cookies_are_secure_where_browsers_come_by_https() -> None:
    assert settings().is_secure
    assert not settings(gateway_public_url="http://127.0.0.1:7400").is_secure
    assert isinstance(settings(), GatewaySettings)
