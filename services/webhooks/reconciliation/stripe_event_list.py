"""Stripe's list of events, through its SDK."""

from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import orjson
import stripe
import structlog

from shared.errors import Rejected, Unavailable

log = structlog.get_logger()

TIMEOUT_SECONDS = 20.0
"""Stripe answers a page in a second or two."""
NETWORK_RETRIES = 2
"""For one page; after that the whole reconciliation is retried."""
PAGE_EVENTS = 100
"""The maximum that Stripe allows."""


class StripeEventList:
    """Lists Stripe's events. Without a key `configured` is False and Stripe is not called."""

    def __init__(self, secret_key: str | None, api_base: str) -> None:
        self.configured = bool(secret_key)
        self._http = stripe.HTTPXClient(timeout=httpx.Timeout(TIMEOUT_SECONDS))
        self._client = stripe.StripeClient(
            secret_key or "not-configured",
            base_addresses={"api": api_base},
            max_network_retries=NETWORK_RETRIES,
            http_client=self._http,
        )

    def require_configured(self) -> None:
        """Raise Rejected `payments_not_configured` if there is no key."""
        if not self.configured:
            raise Rejected(
                "payments_not_configured",
                "This installation has no STRIPE_SECRET_KEY: Stripe's events cannot be listed.",
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def pages(self, since: datetime) -> AsyncIterator[list[bytes]]:
        """Yield pages with the payloads of all events that Stripe lists since a time, newest first.

        Raises Unavailable if Stripe cannot be reached or rejects the key.
        """
        try:
            page = await self._client.v1.events.list_async(
                {"created": {"gte": int(since.timestamp())}, "limit": PAGE_EVENTS}
            )
            while not page.is_empty:
                yield [orjson.dumps(event.to_dict(for_json=True)) for event in page.data]
                page = await page.next_page_async()
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            # An operator has to change the key; the caller did nothing wrong, so this is not a rejection.
            log.error("stripe refuses our key", error=str(error))
            raise Unavailable("Stripe refuses this installation's key.") from error
        except stripe.StripeError as error:
            raise Unavailable("Stripe cannot be reached or is overloaded.") from error
