"""`./dev token`: signs tokens as a host application would, for trying the gateway by hand.

The secret comes from the environment, or from the `endpoints.json` that `./dev up` writes.
"""

import argparse
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from services.gateway.auth.principal import customer_of, member_of

ENDPOINTS = Path(".tallystick/endpoints.json")
DEFAULT_MINUTES = 60
LINK_TIMEOUT_SECONDS = 10


def main() -> None:
    """Print a bearer token, or with `--link` a link that opens a page."""
    parser = argparse.ArgumentParser(prog="./dev token", description=__doc__)
    parser.add_argument("customer", help="whose billing it is: organization_acme")
    parser.add_argument("--member", help="which person: user_7")
    parser.add_argument("--scope", default="billing:manage", help="words separated by spaces")
    parser.add_argument("--minutes", type=int, default=DEFAULT_MINUTES)
    parser.add_argument(
        "--link", choices=["billing", "my", "admin"], help="print a link to this page instead"
    )
    parser.add_argument("--endpoints", type=Path, default=ENDPOINTS)
    try:
        sys.stdout.write(_create(parser.parse_args()) + "\n")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{error}")


def _create(options: argparse.Namespace) -> str:
    """Create the token or link. Raises OSError, KeyError and ValueError."""
    secret, url = _secret_and_url(options.endpoints)
    customer_of(options.customer)
    member_of(options.member)
    claims = {"customer": options.customer, "scope": options.scope, "exp": _expiry(options.minutes)}
    if options.member:
        claims["member"] = options.member
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))
    return _link(url, token, options.link) if options.link else token


def _expiry(minutes: int) -> int:
    return int(time.time()) + minutes * 60


def _secret_and_url(endpoints: Path) -> tuple[str, str]:
    """Return the secret that signs tokens, and the gateway's URL."""
    if secret := os.environ.get("GATEWAY_JWT_SECRET"):
        return secret, os.environ.get("GATEWAY_PUBLIC_URL", "http://127.0.0.1:7400")
    if not endpoints.exists():
        raise ValueError(f"There is no {endpoints}: start `./dev up`, or set GATEWAY_JWT_SECRET.")
    found: dict[str, Any] = json.loads(endpoints.read_text())
    return str(found["gateway_jwt_secret"]), str(found["gateway"])


def _link(url: str, token: str, page: str) -> str:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"page": page}).encode()
    # The address is that of the developer's own gateway.
    request = urllib.request.Request(f"{url}/api/v1/billing/page-link", body, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=LINK_TIMEOUT_SECONDS) as answer:  # noqa: S310
        return str(json.loads(answer.read())["url"])


if __name__ == "__main__":
    main()
