"""The client for Stripe's API: thin functions with plain parameters that return small typed values.

Stripe's errors become Rejected (final) or Unavailable (try again later).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import stripe
import structlog

from services.subscriptions.domain.invoice_taxes import TaxRateDetails, read_tax_rate
from services.subscriptions.domain.invoices import LINES_MAX
from services.subscriptions.domain.stripe_objects import (
    CUSTOMER_KEY,
    Json,
    Malformed,
    StripeCustomer,
    StripeSubscription,
    moment,
    read_customer,
    read_subscription,
)
from services.subscriptions.domain.tax_settings import TaxSettings
from services.subscriptions.stripe.tax_rate_names import TaxRateNames
from services.subscriptions.stripe.taxes import is_location_unknown
from shared.errors import Rejected, Unavailable

log = structlog.get_logger()

TIMEOUT_SECONDS = 20.0
"""Timeout of one call; Stripe usually answers in a second or two."""
NETWORK_RETRIES = 2
"""Retries within one call, with the same idempotency key; after that the whole command is retried."""
ADOPTED_SUBSCRIPTIONS_MAX = 100
"""The newest subscriptions of an adopted customer: one page of Stripe's list."""

LINES_PAGE = 100
"""The most lines of an invoice that Stripe lists on a page."""


NO_TAX = TaxSettings()


@dataclass(frozen=True, slots=True)
class CheckoutPage:
    """An open checkout session."""

    stripe_checkout_id: str
    url: str
    expires_at: datetime


class StripeGateway:
    """Stripe's API as this service uses it; without a key it calls nothing and `configured` is False."""

    def __init__(
        self,
        secret_key: str | None,
        api_base: str = "https://api.stripe.com",
        *,
        tax: TaxSettings = NO_TAX,
    ) -> None:
        self.tax = tax
        self.tax_rates = TaxRateNames(self._find_tax_rate)
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
        """Stripe's API as the SDK provides it.

        Raises Rejected `payments_not_configured` without a key.
        """
        self.require()
        return self._client.v1

    def require(self) -> None:
        """Raise Rejected `payments_not_configured` unless there is a key."""
        if not self.configured:
            raise Rejected(
                "payments_not_configured",
                "This installation has no STRIPE_SECRET_KEY: nothing can be charged.",
            )

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[None]:
        """Convert errors of the enclosed calls to Unavailable, except invalid requests and card errors."""
        try:
            yield
        except (stripe.InvalidRequestError, stripe.CardError):
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

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def create_customer(self, token: str, *, email: str, name: str | None, key: str) -> StripeCustomer:
        """Create a Stripe customer for our customer `token`."""
        params: dict[str, Any] = {"email": email, "metadata": {CUSTOMER_KEY: token}}
        if name is not None:
            params["name"] = name
        async with self.calls(), stripe_rejections():
            made = await self.api.customers.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            return read_customer(made.to_dict())

    async def update_customer(
        self, stripe_customer_id: str, *, email: str, name: str | None, key: str
    ) -> None:
        """Update a Stripe customer; one that was deleted in Stripe is ignored."""
        params: dict[str, Any] = {"email": email} | ({} if name is None else {"name": name})
        async with self.calls():
            try:
                await self.api.customers.update_async(
                    stripe_customer_id,
                    params,  # type: ignore[arg-type]
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError as error:
                _reject_unless_missing(error)

    async def find_customer(self, stripe_customer_id: str) -> StripeCustomer | None:
        """Fetch a Stripe customer; None if it does not exist or was deleted."""
        async with self.calls():
            try:
                found = await self.api.customers.retrieve_async(stripe_customer_id)
            except stripe.InvalidRequestError as error:
                _reject_unless_missing(error)
                return None
            customer = read_customer(found.to_dict())
            return None if customer.is_deleted else customer

    async def find_subscription(self, stripe_subscription_id: str) -> StripeSubscription | None:
        """Fetch a subscription and its schedule, ended ones included; None if it does not exist."""
        async with self.calls():
            try:
                found = await self.api.subscriptions.retrieve_async(
                    stripe_subscription_id, {"expand": ["schedule.phases.items.price"]}
                )
            except stripe.InvalidRequestError as error:
                _reject_unless_missing(error)
                return None
            return read_subscription(found.to_dict())

    async def list_subscriptions(self, stripe_customer_id: str) -> list[StripeSubscription]:
        """List a customer's subscriptions that have not ended."""
        async with self.calls():
            page = await self.api.subscriptions.list_async(
                {"customer": stripe_customer_id, "limit": ADOPTED_SUBSCRIPTIONS_MAX}
            )
            return [read_subscription(found.to_dict()) for found in page.data]

    async def find_invoice(self, stripe_invoice_id: str) -> Json | None:
        """Fetch an invoice; None if it does not exist."""
        async with self.calls():
            try:
                found = await self.api.invoices.retrieve_async(stripe_invoice_id)
            except stripe.InvalidRequestError as error:
                _reject_unless_missing(error)
                return None
            return found.to_dict()

    async def list_invoice_lines(self, stripe_invoice_id: str) -> list[Json] | None:
        """List an invoice's lines, up to `LINES_MAX`; None if the invoice does not exist."""
        listed: list[Json] = []
        async with self.calls():
            try:
                page = await self.api.invoices.line_items.list_async(stripe_invoice_id, {"limit": LINES_PAGE})
                async for line in page.auto_paging_iter():
                    listed.append(line.to_dict())
                    if len(listed) == LINES_MAX:
                        break
            except stripe.InvalidRequestError as error:
                _reject_unless_missing(error)
                return None
        return listed

    async def _find_tax_rate(self, rate_id: str) -> TaxRateDetails | None:
        async with self.calls():
            try:
                return read_tax_rate((await self.api.tax_rates.retrieve_async(rate_id)).to_dict())
            except stripe.PermissionError:
                # A restricted key from before there was tax: invoices matter more than the names in them.
                log.warning("stripe's key may not read tax rates", tax_rate=rate_id)
                return None
            except stripe.InvalidRequestError as error:
                _reject_unless_missing(error)
                return None

    async def find_promotion_code(self, code: str) -> str | None:
        """Return Stripe's id of an active promotion code; None if there is none."""
        async with self.calls():
            page = await self.api.promotion_codes.list_async({"code": code, "active": True, "limit": 1})
            return page.data[0].id if page.data else None

    async def create_checkout(self, params: dict[str, Any], *, key: str) -> CheckoutPage:
        """Create a checkout session."""
        async with self.calls(), stripe_rejections():
            session = await self.api.checkout.sessions.create_async(
                params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            expires_at = moment(session.expires_at)
            if session.url is None or expires_at is None:
                raise Malformed("a checkout session without a page")
            return CheckoutPage(session.id, session.url, expires_at)

    async def update_subscription(
        self, stripe_subscription_id: str, change: dict[str, Any], *, key: str
    ) -> StripeSubscription:
        """Update a subscription and return it."""
        async with self.calls(), stripe_rejections():
            updated = await self.api.subscriptions.update_async(
                stripe_subscription_id,
                change,  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            return read_subscription(updated.to_dict())

    async def resume_subscription(self, stripe_subscription_id: str, *, key: str) -> StripeSubscription:
        """Resume a subscription that is paused in Stripe: a new period begins and is charged."""
        async with self.calls(), stripe_rejections():
            resumed = await self.api.subscriptions.resume_async(
                stripe_subscription_id, {}, {"idempotency_key": key}
            )
            return read_subscription(resumed.to_dict())

    async def cancel_at_period_end(
        self, stripe_subscription_id: str, *, reason: str | None, key: str
    ) -> StripeSubscription:
        """Set a subscription to cancel at the end of its period, and return it."""
        change = {"cancel_at_period_end": True, **_cancellation(reason)}
        return await self.update_subscription(stripe_subscription_id, change, key=key)

    async def cancel_now(
        self, stripe_subscription_id: str, *, reason: str | None, key: str, credit: bool = False
    ) -> StripeSubscription:
        """Cancel a subscription at once, and return it; with `credit`, a last invoice credits unused time."""
        credited = {"prorate": True, "invoice_now": True} if credit else {}
        async with self.calls(), stripe_rejections():
            ended = await self.api.subscriptions.cancel_async(
                stripe_subscription_id,
                {**_cancellation(reason), **credited},  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
            return read_subscription(ended.to_dict())


def _cancellation(reason: str | None) -> dict[str, Any]:
    return {"cancellation_details": {"comment": reason}} if reason else {}


def _reject_unless_missing(error: stripe.InvalidRequestError) -> None:
    if error.code != "resource_missing":
        raise Rejected("invalid_message", f"Stripe refuses it: {error.user_message or error}") from error


@asynccontextmanager
async def stripe_rejections() -> AsyncIterator[None]:
    """Convert Stripe's invalid-request errors to Rejected: a retry would get the same answer."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        details = {"param": error.param, "stripe_code": error.code}
        if is_location_unknown(error):
            raise Rejected(
                "tax_location_required",
                "Stripe cannot compute the tax: the customer's address does not tell the country.",
                details,
            ) from error
        code = "not_found" if error.code == "resource_missing" else "invalid_message"
        raise Rejected(code, f"Stripe refuses it: {error.user_message or error}", details) from error
