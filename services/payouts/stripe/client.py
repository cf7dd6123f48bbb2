"""The client for Stripe Connect: thin functions with plain parameters that return small typed values.

Stripe's errors become Rejected (final) or Unavailable (try again later).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import stripe
import structlog

from services.payouts.domain.stripe_account import Malformed, StripeAccount, read_account
from shared.errors import Rejected, Unavailable

log = structlog.get_logger()

TIMEOUT_SECONDS = 20.0
"""Timeout of one call; Stripe usually answers in a second or two."""
NETWORK_RETRIES = 2
"""Retries within one call, with the same idempotency key; after that the whole command is retried."""
LOGIN_LINK_MINUTES = 5
"""Stripe does not say how long a dashboard link works; it is to be opened at once."""
CUSTOMER_KEY = "tallystick_customer"
"""Metadata key of a Stripe account: the token of our customer."""
ACCOUNT_ID_KEY = "tallystick_payout_account_id"
"""Metadata key of a Stripe account: the id of ours."""
PAYOUT_ID_KEY = "tallystick_payout_id"
"""Metadata key of a Stripe transfer: the id of our payout."""
NO_ACCESS = "account_invalid"
"""Stripe's code for an account that does not exist or has left the platform."""


@dataclass(frozen=True, slots=True)
class StripePage:
    """A page at Stripe for the seller."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """A transfer to make; the amount is in the currency's minor unit."""

    payout_id: str
    stripe_account_id: str
    amount: int
    currency: str
    description: str


class TransferRefused(Exception):
    """Stripe will not make the transfer: no money has moved, and none will with this idempotency key."""

    def __init__(self, code: str | None, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class StripeConnect:
    """Stripe Connect as this service uses it; without a key it calls nothing and `configured` is False."""

    def __init__(self, secret_key: str | None, api_base: str = "https://api.stripe.com") -> None:
        self.configured = bool(secret_key)
        self._http = stripe.HTTPXClient(timeout=httpx.Timeout(TIMEOUT_SECONDS))
        self._client = stripe.StripeClient(
            secret_key or "not-configured",
            base_addresses={"api": api_base},
            max_network_retries=NETWORK_RETRIES,
            http_client=self._http,
        )

    @property
    def api(self) -> stripe.V1Services:
        """Stripe's API as the SDK provides it; raises Rejected `payments_not_configured` without a key."""
        self.require()
        return self._client.v1

    def require(self) -> None:
        """Raise Rejected `payments_not_configured` unless there is a key."""
        if not self.configured:
            raise Rejected(
                "payments_not_configured",
                "This installation has no STRIPE_SECRET_KEY: nobody can be paid.",
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def open_account(self, params: dict[str, Any], *, key: str) -> StripeAccount:
        """Open a connected account; raises Rejected `invalid_message` for what Stripe refuses."""
        async with calls(), rejections():
            made = await self.api.accounts.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            return read_account(made.to_dict())

    async def find_account(self, stripe_account_id: str) -> StripeAccount | None:
        """Fetch a connected account; None if it does not exist or has left the platform."""
        async with calls():
            try:
                found = await self.api.accounts.retrieve_async(stripe_account_id)
            except (stripe.InvalidRequestError, stripe.PermissionError) as error:
                if _code(error) not in (NO_ACCESS, "resource_missing"):
                    raise
                return None
            return read_account(found.to_dict())

    async def open_onboarding(
        self, stripe_account_id: str, *, return_url: str, refresh_url: str
    ) -> StripePage:
        """Create the link to Stripe's onboarding form, which asks for all that will be needed."""
        async with calls(), rejections():
            link = await self.api.account_links.create_async(
                {
                    "account": stripe_account_id,
                    "type": "account_onboarding",
                    "return_url": return_url,
                    "refresh_url": refresh_url,
                    "collection_options": {"fields": "eventually_due"},
                }
            )
            return StripePage(link.url, datetime.fromtimestamp(link.expires_at, UTC))

    async def transfer(self, order: TransferOrder, *, key: str) -> str:
        """Transfer money to a connected account and return the id of the transfer, the same on every run.

        A transfer that an earlier run made is found by the payout's id, also after Stripe has forgotten the
        idempotency key. Raises TransferRefused.
        """
        async with calls():
            try:
                earlier = await self.api.transfers.list_async({"transfer_group": order.payout_id, "limit": 1})
                if earlier.data:
                    return earlier.data[0].id
                made = await self.api.transfers.create_async(
                    {
                        "amount": order.amount,
                        "currency": order.currency,
                        "destination": order.stripe_account_id,
                        "description": order.description,
                        "transfer_group": order.payout_id,
                        "metadata": {PAYOUT_ID_KEY: order.payout_id},
                    },
                    {"idempotency_key": key},
                )
            except (stripe.InvalidRequestError, stripe.PermissionError) as error:
                code = _code(error)
                if isinstance(error, stripe.PermissionError) and code != NO_ACCESS:
                    raise
                raise TransferRefused(code, error.user_message or str(error)) from error
            return made.id

    async def open_dashboard(self, stripe_account_id: str) -> StripePage:
        """Create a link to the Express dashboard."""
        async with calls(), rejections():
            link = await self.api.accounts.login_links.create_async(stripe_account_id)
            created = datetime.fromtimestamp(link.created, UTC)
            return StripePage(link.url, created + timedelta(minutes=LOGIN_LINK_MINUTES))


def _code(error: stripe.StripeError) -> str | None:
    # The SDK leaves out the code of a permission error.
    return error.code or (error.error.code if error.error else None)


@asynccontextmanager
async def calls() -> AsyncIterator[None]:
    """Convert errors of the enclosed calls to Unavailable, except invalid requests."""
    try:
        yield
    except stripe.InvalidRequestError:
        raise
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # An operator must change the key; the caller's request is not at fault, so it is not rejected.
        log.error("stripe refuses our key", error=str(error))
        raise Unavailable("Stripe refuses this installation's key.") from error
    except stripe.StripeError as error:
        log.warning("stripe cannot be used", error=str(error), kind=type(error).__name__)
        raise Unavailable("Stripe cannot be reached or is overloaded.") from error
    except Malformed as error:
        raise Unavailable(f"Stripe answered something unexpected: {error}") from error


@asynccontextmanager
async def rejections() -> AsyncIterator[None]:
    """Convert Stripe's invalid-request errors to Rejected: a retry would get the same answer."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        details = {"param": error.param, "stripe_code": error.code}
        raise Rejected(
            "invalid_message", f"Stripe refuses it: {error.user_message or error}", details
        ) from error
