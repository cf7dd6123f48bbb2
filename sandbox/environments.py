"""The environment each program of the sandbox is started with: only what it needs, nobody else's secrets."""

from __future__ import annotations

import os

from sandbox.endpoints import Places
from sandbox.ports import HOST
from sandbox.workers import ROOT

# Settings of the person's own shell that would lead a program elsewhere, or tell it what it must not know.
# Without compiled modules every start of a worker takes seconds longer.
_NOT_PASSED_ON = (
    "DATABASE_URL",
    "GATEWAY_",
    "NATS_",
    "PG",
    "STRIPE_",
    "TALLYSTICK_",
    "PYTHONDONTWRITEBYTECODE",
)
# The services that talk to Stripe, or check what it has signed.
_WITH_STRIPE = ("subscriptions", "webhooks")
_PUBLIC_STRIPE_SETTINGS = ("STRIPE_PUBLISHABLE_KEY", "STRIPE_TRIAL_DAYS")


def shared_by_all(places: Places) -> dict[str, str]:
    """What every Python program of the sandbox gets."""
    passed_on = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return {
        **passed_on,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "SUBJECT_PREFIX": places.settings.subject_prefix,
        "WEBHOOK_SUBJECT": places.settings.webhook_subject,
    }


def of_provisioning(places: Places) -> dict[str, str]:
    """The owner of the database, the admin of NATS, and the passwords of the roles to be made."""
    roles = places.credentials.database_roles
    return {
        **shared_by_all(places),
        "DATABASE_URL": places.database_url,
        "NATS_URL": places.nats_url("admin"),
        "NATS_MONITOR_URL": places.nats_monitor_url,
        **{f"TALLYSTICK_{service.upper()}_DATABASE_PASSWORD": secret for service, secret in roles.items()},
    }


def of_client(places: Places) -> dict[str, str]:
    """The command line client, as the NATS user `client`."""
    return {**shared_by_all(places), "NATS_URL": places.nats_url("client")}


def of_invitations(places: Places) -> dict[str, str]:
    """The command line client that shows invitations, with the secret their tokens are made from."""
    return {**of_client(places), "INVITATION_SECRET": places.credentials.invitation_secret}


def of_worker(places: Places, worker: str) -> dict[str, str]:
    """A worker: its own database role and NATS user, and Stripe where it needs it."""
    environment = {
        "LOG_FORMAT": "console",
        **shared_by_all(places),
        "NATS_URL": places.nats_url(worker),
        "HEALTH_HOST": HOST,
        "HEALTH_PORT": str(places.worker_port(worker)),
    }
    if worker in places.credentials.database_roles:
        environment["DATABASE_URL"] = places.database_role_url(worker)
    if worker == "seats":
        environment["INVITATION_SECRET"] = places.credentials.invitation_secret
    if worker in _WITH_STRIPE:
        environment |= {name: os.environ[name] for name in _PUBLIC_STRIPE_SETTINGS if name in os.environ}
        environment |= {
            "STRIPE_SECRET_KEY": places.stripe_secret_key,
            "STRIPE_WEBHOOK_SECRET": places.stripe_webhook_secret,
            "STRIPE_API_BASE": places.stripe_url,
        }
    if worker == "gateway":
        environment |= {
            "GATEWAY_JWT_SECRET": places.credentials.gateway_jwt_secret,
            "GATEWAY_SESSION_SECRET": places.credentials.gateway_session_secret,
            "GATEWAY_PUBLIC_URL": places.worker_url(worker),
            "STRIPE_API_BASE": places.stripe_url,
        }
    return environment


def of_stripe(places: Places) -> dict[str, str]:
    """The stand-in: the key it accepts and the secret it signs with."""
    return {
        **shared_by_all(places),
        "STRIPE_SECRET_KEY": places.stripe_secret_key,
        "STRIPE_WEBHOOK_SECRET": places.stripe_webhook_secret,
    }
