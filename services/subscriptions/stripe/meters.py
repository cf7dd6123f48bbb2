"""Usage readings added to Stripe's meters.

Each reading has an identifier that Stripe accepts once, so that a repetition is harmless.
"""

import asyncio
from collections.abc import Callable

import sqlalchemy as sa
import stripe
from pydantic import BaseModel, ConfigDict

from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway
from services.subscriptions.tables.subscriptions import CustomerRow
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m

CALLS_AT_ONCE = 8
"""Concurrent calls: far below Stripe's rate limit, and a hundred readings still take a few seconds."""
ALREADY_THERE = "already exists with identifier"
"""Stripe's message for a reading that it has already; there is no error code for it."""

Keys = Callable[[str], str]
"""Returns the idempotency key of a step."""


class MeteringIntent(BaseModel):
    """The Stripe customers of the readings, by our tokens."""

    model_config = ConfigDict(frozen=True)

    stripe_customers: dict[str, str]


@service.external_command(m.RecordUsage)
async def record_usage(
    steps: ExternalCommandSteps, command: m.RecordUsage, stripe: StripeGateway
) -> m.UsageRecorded:
    """Find the Stripe customers, add the readings, and return which were recorded."""
    stripe.require()
    intent = await steps.intend(lambda work: plan_readings(work, command), MeteringIntent)
    return await add_readings(stripe, command, intent, steps.key)


async def plan_readings(work: UnitOfWork, command: m.RecordUsage) -> MeteringIntent:
    """Find the Stripe customers; the usage of a customer without one cannot be metered."""
    tokens = {reading.customer.token for reading in command.readings}
    query = sa.select(CustomerRow.customer, CustomerRow.stripe_customer_id).where(
        CustomerRow.customer.in_(tokens), CustomerRow.stripe_customer_id.is_not(None)
    )
    found = (await work.session.execute(query)).all()
    return MeteringIntent(stripe_customers={customer: str(stripe_id) for customer, stripe_id in found})


async def add_readings(
    gateway: StripeGateway, command: m.RecordUsage, intent: MeteringIntent, keys: Keys
) -> m.UsageRecorded:
    """Add all readings. Raises Unavailable if Stripe fails; then all may be added again."""
    metered = [each for each in command.readings if each.customer.token in intent.stripe_customers]
    for meter in sorted({reading.meter for reading in metered}):
        await _ensure_meter(gateway, meter, keys)
    limit = asyncio.Semaphore(CALLS_AT_ONCE)

    async def add(reading: m.Reading) -> str | None:
        async with limit:
            return await _add(gateway, reading, intent.stripe_customers[reading.customer.token])

    problems = dict(zip(metered, await asyncio.gather(*map(add, metered)), strict=True))
    skipped = [
        m.ReadingSkipped(identifier=each.identifier, reason=problems.get(each, "no_stripe_customer") or "")
        for each in command.readings
        if problems.get(each, "no_stripe_customer") is not None
    ]
    recorded = [each.identifier for each in metered if problems[each] is None]
    return m.UsageRecorded(recorded=recorded, skipped=skipped)


async def _ensure_meter(gateway: StripeGateway, name: str, keys: Keys) -> None:
    async with gateway.calls():
        meters = gateway.api.billing.meters
        known = await meters.list_async({"status": "active", "limit": 100})
        async for meter in known.auto_paging_iter():
            if meter.event_name == name:
                return
        await meters.create_async(
            {
                "display_name": name,
                "event_name": name,
                "default_aggregation": {"formula": "sum"},
                "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
                "value_settings": {"event_payload_key": "value"},
            },
            {"idempotency_key": keys(f"meter:{name}")},
        )


async def _add(gateway: StripeGateway, reading: m.Reading, stripe_customer_id: str) -> str | None:
    """Add a reading; return why Stripe rejects it for good, or None."""
    async with gateway.calls():
        try:
            await gateway.api.billing.meter_events.create_async(
                {
                    "event_name": reading.meter,
                    "identifier": reading.identifier,
                    "timestamp": int(reading.at.timestamp()),
                    "payload": {"stripe_customer_id": stripe_customer_id, "value": str(reading.quantity)},
                },
                {"idempotency_key": reading.identifier},
            )
        except stripe.InvalidRequestError as error:
            if error.param == "identifier" or ALREADY_THERE in str(error):
                # An earlier run has added this reading.
                return None
            return error.code or error.user_message or str(error)
    return None
