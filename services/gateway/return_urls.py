"""Where Stripe's pages may lead back to: to this gateway, and to the origins that the settings name."""

from urllib.parse import urlsplit

from pydantic import JsonValue

from services.gateway.auth.principal import Caller
from services.gateway.problem_details import ProblemError
from services.gateway.settings import GatewaySettings


def check_return_urls(settings: GatewaySettings, caller: Caller, **urls: str) -> None:
    """Refuse URLs, by the names of their fields, of an origin that is not allowed. Raises ProblemError.

    Without `GATEWAY_RETURN_ORIGINS` the host application's bearer tokens may name any; a session of ours,
    which a page of somebody else's could try to use, only this gateway.
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
    """A URL's scheme, host and port; empty where it has none or hides another host behind a user's name."""
    parts = urlsplit(url)
    if "@" in parts.netloc or "\\" in url:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()
