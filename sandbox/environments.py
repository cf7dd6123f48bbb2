"""Environment variables of each program in the sandbox: only what it needs, without the secrets of others."""

from __future__ import annotations

import os

from sandbox.endpoints import Endpoints
from sandbox.ports import HOST
from sandbox.workers import ROOT

# Variables of the user's shell that would misconfigure a program or give it foreign secrets.
# Without bytecode caching, every start of a worker takes seconds longer.
_NOT_INHERITED = (
    "DATABASE_URL",
    "GATEWAY_",
    "LICENSE_",
    "NATS_",
    "NOTIFICATIONS_SECRET",
    "PG",
    "SMTP_",
    "STRIPE_",
    "TALLYSTICK_",
    "PYTHONDONTWRITEBYTECODE",
)
# Services that call Stripe or verify its signatures.
_WITH_STRIPE = ("subscriptions", "webhooks", "payouts")
# Services that derive invitation tokens: the one that makes them and the one that mails them.
_WITH_INVITATIONS = ("seats", "notifications")
_PUBLIC_STRIPE_SETTINGS = ("STRIPE_PUBLISHABLE_KEY", "STRIPE_TRIAL_DAYS")


def shared_by_all(endpoints: Endpoints) -> dict[str, str]:
    """Return the variables that every Python program of the sandbox gets."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "SUBJECT_PREFIX": endpoints.settings.subject_prefix,
        "WEBHOOK_SUBJECT": endpoints.settings.webhook_subject,
    }


def of_provisioning(endpoints: Endpoints) -> dict[str, str]:
    """Return the variables of provisioning: database owner, NATS admin and the roles' passwords."""
    roles = endpoints.credentials.database_roles
    return {
        **shared_by_all(endpoints),
        "DATABASE_URL": endpoints.database_url,
        "NATS_URL": endpoints.nats_url("admin"),
        "NATS_MONITOR_URL": endpoints.nats_monitor_url,
        **{f"TALLYSTICK_{service.upper()}_DATABASE_PASSWORD": secret for service, secret in roles.items()},
    }


def of_client(endpoints: Endpoints) -> dict[str, str]:
    """Return the variables of the command line client, with the NATS user `client`."""
    return {**shared_by_all(endpoints), "NATS_URL": endpoints.nats_url("client")}


def of_worker(endpoints: Endpoints, worker: str) -> dict[str, str]:
    """Return the variables of a worker: its database role and NATS user, and Stripe if it needs it."""
    environment = {
        "LOG_FORMAT": "console",
        **shared_by_all(endpoints),
        "NATS_URL": endpoints.nats_url(worker),
        "HEALTH_HOST": HOST,
        "HEALTH_PORT": str(endpoints.worker_port(worker)),
    }
    if worker in endpoints.credentials.database_roles:
        environment["DATABASE_URL"] = endpoints.database_role_url(worker)
    if worker in _WITH_INVITATIONS:
        environment["INVITATION_SECRET"] = endpoints.credentials.invitation_secret
    if worker == "licenses":
        environment |= {
            "LICENSE_KEY_SECRET": endpoints.credentials.license_key_secret,
            "LICENSE_SIGNING_KEY": endpoints.credentials.license_signing_key,
        }
    if worker == "subscriptions":
        environment["BENEFIT_SECRET"] = endpoints.credentials.benefit_secret
    if worker == "notifications":
        environment |= _of_notifications(endpoints)
    if worker in _WITH_STRIPE:
        environment |= {name: os.environ[name] for name in _PUBLIC_STRIPE_SETTINGS if name in os.environ}
        environment |= {
            "STRIPE_SECRET_KEY": endpoints.stripe_secret_key,
            "STRIPE_WEBHOOK_SECRET": endpoints.stripe_webhook_secret,
            "STRIPE_API_BASE": endpoints.stripe_url,
        }
    if worker == "payouts":
        environment["GATEWAY_PUBLIC_URL"] = endpoints.worker_url("gateway")
    if worker == "gateway":
        environment |= {
            "GATEWAY_JWT_SECRET": endpoints.credentials.gateway_jwt_secret,
            "GATEWAY_SESSION_SECRET": endpoints.credentials.gateway_session_secret,
            "GATEWAY_PUBLIC_URL": endpoints.worker_url(worker),
            "STRIPE_API_BASE": endpoints.stripe_url,
        }
    return environment


def _of_notifications(endpoints: Endpoints) -> dict[str, str]:
    """Return the settings of mails, which always end in the mailbox: a sandbox writes to nobody."""
    return {
        "NOTIFICATIONS_SECRET": endpoints.credentials.notifications_secret,
        "SMTP_URL": endpoints.smtp_url,
        "WEBHOOKS_OUT_ALLOW_PRIVATE": os.environ.get("WEBHOOKS_OUT_ALLOW_PRIVATE") or "true",
        "MAIL_FROM": os.environ.get("MAIL_FROM") or "Tallystick <billing@sandbox.example>",
        "MAIL_OPERATORS": os.environ.get("MAIL_OPERATORS") or "operators@sandbox.example",
        "GATEWAY_PUBLIC_URL": endpoints.worker_url("gateway"),
    }


def of_stripe(endpoints: Endpoints) -> dict[str, str]:
    """Return the variables of the Stripe stand-in: its API key and webhook secret."""
    return {
        **shared_by_all(endpoints),
        "STRIPE_SECRET_KEY": endpoints.stripe_secret_key,
        "STRIPE_WEBHOOK_SECRET": endpoints.stripe_webhook_secret,
    }
