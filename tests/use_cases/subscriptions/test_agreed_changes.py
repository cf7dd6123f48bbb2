"""A change is made at the sum of its preview, or not at all."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tallystick.messages.base import Money
from tests.support.worlds.plan_changes import MIDDLE, Crew

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def agreed(preview: dict[str, Any], **other: Any) -> dict[str, Any]:
    moment = preview["proration_date"]
    known: dict[str, Any] = {
        "due_now": Money.model_validate(preview["due_now"]),
        "proration_date": datetime.fromisoformat(moment) if moment is not None else None,
    }
    return known | other


async def charged(crew: Crew) -> list[int]:
    charges = crew.world.stripe.v1.charges.list({"customer": crew.theirs, "limit": 100}).data
    return [charge.amount for charge in charges if charge.status == "succeeded"]


async def test_some_minutes_later_the_sum_of_the_preview_is_charged(crew: Crew) -> None:
    # Half of January is left: 99.00 - 49.00, halved, is 25.00. Fifty minutes later it would be less.
    await crew.begins("solo_monthly", 1)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(price="big_monthly", when="now", proration="invoice")
    assert (preview["due_now"]["amount"], preview["proration_date"]) == (2500, "2026-01-16T12:00:00Z")
    await crew.reaches(MIDDLE + timedelta(minutes=50))
    later = await crew.preview(price="big_monthly", when="now", proration="invoice")
    assert later["due_now"]["amount"] < 2500

    terms = agreed(preview, when="now", proration="invoice")
    command = await crew.plan("big_monthly", **terms)
    await crew.world.does(command)
    assert (await charged(crew))[0] == 2500
    # The result was lost: the change is found as made, and not refused for its sum.
    lost = "UPDATE subscriptions.inbox SET outcome = NULL WHERE command_id = %s RETURNING command_id"
    await crew.world.bound.rows(lost, command.command_id)
    await crew.world.does(command)
    assert await charged(crew) == [2500, 4900]


async def test_a_sum_that_is_too_old_is_not_charged(crew: Crew) -> None:
    await crew.begins("solo_monthly", 1)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(price="big_monthly", when="now", proration="invoice")
    await crew.reaches(MIDDLE + timedelta(days=1))

    refused = await crew.plan("big_monthly", **agreed(preview, when="now", proration="invoice"))
    code, details = await crew.world.refuses(refused)

    # 14.5 of 31 days are left: 49.00 and 99.00 become 22.92 and 46.31.
    assert (code, details) == ("amount_changed", {"due_now": {"amount": 2339, "currency": "eur"}})
    assert await charged(crew) == [4900]
    # Neither is a moment that is still to come, nor another sum.
    fresh = await crew.preview(price="big_monthly", when="now", proration="invoice")
    cheap = agreed(fresh, due_now=Money(amount=100, currency="eur"), when="now", proration="invoice")
    assert (await crew.world.refuses(await crew.plan("big_monthly", **cheap)))[0] == "amount_changed"
    await crew.world.does(await crew.plan("big_monthly", **agreed(fresh, when="now", proration="invoice")))
    assert await charged(crew) == [2339, 4900]


async def test_what_costs_nothing_now_is_agreed_to_as_nothing(crew: Crew) -> None:
    await crew.begins("big_monthly", 1)
    later = await crew.preview(price="solo_monthly", when="period_end")
    assert (later["due_now"]["amount"], later["proration_date"]) == (0, None)
    some = Money(amount=1, currency="eur")
    refused = await crew.plan("solo_monthly", **agreed(later, due_now=some, when="period_end"))
    assert (await crew.world.refuses(refused))[0] == "amount_changed"
    await crew.world.does(await crew.plan("solo_monthly", **agreed(later, when="period_end")))


async def test_a_new_period_is_charged_as_previewed(crew: Crew) -> None:
    # A month of 3 seats at 10.00, half of it left, is credited; a year of 3 at 100.00 begins.
    await crew.begins("crew_volume", 3)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(price="crew_yearly", when="now", proration="invoice")
    assert preview["due_now"]["amount"] == 30_000 - 1_500
    await crew.reaches(MIDDLE + timedelta(minutes=30))
    await crew.world.does(await crew.plan("crew_yearly", **agreed(preview, when="now", proration="invoice")))
    assert await charged(crew) == [28_500, 3_000]
