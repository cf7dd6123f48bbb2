"""Entry point of `python -m sandbox.stripe`, which starts the stand-in."""

from __future__ import annotations

import argparse
import os

import uvicorn

from sandbox.stripe.server import make_account, make_app


def main() -> None:
    """Parse the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="sandbox.stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--public-url", help="base URL for browsers; default: http://HOST:PORT")
    parser.add_argument("--secret-key", default=os.environ.get("STRIPE_SECRET_KEY"), help="sk_test_…")
    parser.add_argument("--webhook-url", help="an endpoint that gets every event")
    parser.add_argument("--webhook-secret", default=os.environ.get("STRIPE_WEBHOOK_SECRET"), help="whsec_…")
    parser.add_argument("--state", help="SQLite file with the state; default: in memory")
    options = parser.parse_args()
    if not options.secret_key:
        parser.error("--secret-key or STRIPE_SECRET_KEY is needed")
    if options.webhook_url and not options.webhook_secret:
        parser.error("--webhook-url needs --webhook-secret or STRIPE_WEBHOOK_SECRET")
    webhook = (options.webhook_url, options.webhook_secret) if options.webhook_url else None
    public_url = options.public_url or f"http://{options.host}:{options.port}"
    account = make_account(options.state, public_url, webhook)
    app = make_app(account, [options.secret_key])
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)
    # Exit without waiting for a hanging delivery: the state file is already complete.
    os._exit(0)


if __name__ == "__main__":
    main()
