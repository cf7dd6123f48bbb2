"""Validates return URLs: Stripe's pages may lead back to this gateway and to the configured origins."""

from urllib.parse import urlsplit

from pydantic import JsonValue

from services.gateway.auth.principal import Caller
from services.gateway.problem_details import ProblemError
from services.gateway.settings import GatewaySettings


def check_return_urls(settings: GatewaySettings, caller: Caller, **urls: str) -> None:
    """Reject URLs, given by field name, whose origin is not allowed. Raises ProblemError.

    Without `GATEWAY_RETURN_ORIGINS` a request with a bearer token may name any origin. A request with a
    session cookie, which another site could try to use, may then name only this gateway.
    """
    if caller.csrf is None and not settings.return_origins:
        return
    allowed = {settings.gateway_public_url, *settings.return_origins}
    wrong: list[JsonValue] = [
        {"field": field, "problem": "its origin is not one of GATEWAY_RETURN_ORIGINS"}
        for field, url in urls.items()
        if origin_of(url) not in allowed
    ]
    if wrong:
        raise ProblemError("invalid_message", "The page to come back to is not allowed.", {"fields": wrong})


def origin_of(url: str) -> str:
    """Return a URL's scheme, host and port; empty if it has none or contains user info or a backslash."""
    parts = urlsplit(url)
    if "@" in parts.netloc or "\\" in url:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()
