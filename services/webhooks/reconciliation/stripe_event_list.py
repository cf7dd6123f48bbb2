"""Stripe's own list of events, through its SDK: what reconciliation compares ours with."""

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
"""Of one page; after that the whole comparison is tried again."""
PAGE_EVENTS = 100
"""The most that Stripe lists at a time."""


class StripeEventList:
    """Lists Stripe's events. Without a key nothing is called and `configured` is False."""

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
        """Raise Rejected `payments_not_configured` unless Stripe can be asked."""
        if not self.configured:
            raise Rejected(
                "payments_not_configured",
                "This installation has no STRIPE_SECRET_KEY: Stripe's events cannot be listed.",
            )

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def pages(self, since: datetime) -> AsyncIterator[list[bytes]]:
        """The payloads of all events that Stripe lists since a moment, newest first, a page at a time.

        Raises Unavailable when Stripe cannot be asked now.
        """
        try:
            page = await self._client.v1.events.list_async(
                {"created": {"gte": int(since.timestamp())}, "limit": PAGE_EVENTS}
            )
            while not page.is_empty:
                yield [orjson.dumps(event.to_dict(for_json=True)) for event in page.data]
                page = await page.next_page_async()
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            # Wrong until an operator changes the key: nothing that a caller did, so nothing final.
            log.error("stripe refuses our key", error=str(error))
            raise Unavailable("Stripe refuses this installation's key.") from error
        except stripe.StripeError as error:
            raise Unavailable("Stripe cannot be reached or is overloaded.") from error
