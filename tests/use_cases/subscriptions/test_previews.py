"""Previews of changes and of the upcoming invoice, compared with what is then charged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import FEBRUARY, MIDDLE, Crew, amounts, told_lines
from tests.support.worlds.subscriptions import ACME

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.mark.parametrize(
    ("price", "half_credit", "half_charge", "next_total"),
    [
        # 3 × ¥500 = 1500, 8 × ¥500 = 4000; half: -750 + 2000, and 4000 for February.
        ("yen_monthly", -750, 2000, 5250),
        # 3 × 1.500 KWD = 4500 fils, 8 × 1.500 = 12000; half: -2250 + 6000, and 12000.
        ("dinar_monthly", -2250, 6000, 15750),
    ],
)
async def test_currencies_without_cents_and_with_thousandths(
    crew: Crew, price: str, half_credit: int, half_charge: int, next_total: int
) -> None:
    await crew.begins(price, 3)
    await crew.reaches(MIDDLE)
    preview = await crew.preview(quantity=8)
    assert sorted(line["amount"] for line in preview["lines"] if line["proration"]) == [
        half_credit,
        half_charge,
    ]
    await crew.world.does(await crew.quantity(8))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    assert (await crew.newest_invoice())["total"] == next_total


async def test_the_upcoming_invoice_is_what_then_comes(crew: Crew) -> None:
    await crew.begins()
    await crew.reaches(MIDDLE)
    await crew.world.does(await crew.quantity(8))
    coming = (await crew.world.asks(m.UpcomingInvoice(customer=ACME)))["invoice"]
    assert (coming["total"], coming["amount_due"], coming["currency"]) == (8100, 8100, "eur")
    assert coming["subscription_id"] == await crew.id()
    assert coming["due_at"] == "2026-02-01T00:00:00Z"
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    invoice = await crew.newest_invoice()
    assert sorted(amounts(invoice["lines"])) == sorted(amounts(coming["lines"]))


async def test_nothing_is_upcoming_for_who_pays_nothing(crew: Crew) -> None:
    world = crew.world
    await world.register()
    outcome = await world.bound.handle(m.UpcomingInvoice(customer=ACME))
    assert outcome.error is not None
    assert outcome.error.code == "not_found"


async def test_a_preview_sees_past_what_is_scheduled(crew: Crew) -> None:
    # One seat is scheduled. Eight seats now: -15.00 + 32.00 and 64.00; two with the period: 20.00.
    await crew.begins()
    await crew.reaches(MIDDLE)
    await crew.world.does(await crew.quantity(1))
    now = await crew.preview(quantity=8)
    assert sorted(amounts(now["lines"])) == [-1500, 3200, 6400]
    assert (now["due_now"]["amount"], now["next_invoice"]["amount"]) == (0, 8100)
    assert now["lines"][-1]["period"] == {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
    at_once = await crew.preview(quantity=8, proration="invoice")
    assert (at_once["due_now"]["amount"], at_once["next_invoice"]["amount"]) == (1700, 6400)
    later = await crew.preview(quantity=2)
    assert (later["due_now"]["amount"], later["next_invoice"]["amount"]) == (0, 2000)
    back = await crew.preview(quantity=3)
    assert (back["due_now"]["amount"], back["next_invoice"]["amount"]) == (0, 3000)
    assert [one["when"] for one in (now, at_once, later, back)] == ["now", "now", "period_end", None]

    await crew.world.does(await crew.quantity(8))
    await crew.reaches(FEBRUARY + timedelta(hours=2))
    invoice = await crew.newest_invoice()
    assert sorted(map(str, told_lines(invoice["lines"]))) == sorted(map(str, told_lines(now["lines"])))


@pytest.mark.parametrize(("begins", "next_due"), [(20, "2026-01-20T00:00:00Z"), (5, "2026-02-01T00:00:00Z")])
async def test_of_what_stripe_and_others_collect_the_first_comes_next(
    crew: Crew, begins: int, next_due: str
) -> None:
    # Stripe's month ends with January; that of what is paid outside on its 20th, or in February.
    mine = await crew.begins()
    start = datetime(2025, 12, begins, tzinfo=UTC) if begins == 20 else datetime(2026, 1, begins, tzinfo=UTC)
    outside = m.CreateSubscription(
        command_id=crew.world.command_id(),
        customer=ACME,
        items=[m.ItemToBuy(price="solo_monthly")],
        collection="none",
        period_start=start,
    )
    made = (await crew.world.does(outside))["subscription"]

    coming = (await crew.world.asks(m.UpcomingInvoice(customer=ACME)))["invoice"]

    first = made if begins == 20 else mine
    assert (coming["subscription_id"], coming["due_at"]) == (first["subscription_id"], next_due)


async def test_a_preview_of_an_add_on_is_its_first_invoice(crew: Crew) -> None:
    await crew.begins()
    preview = await crew.preview(add_price="domain_yearly")
    assert (preview["due_now"]["amount"], preview["next_invoice"]["amount"]) == (1500, 1500)
    assert preview["lines"][0]["period"] == {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    for not_sold in ("solo_monthly", "domain_unlisted", "nowhere"):
        assert await _refused(crew, add_price=not_sold) == "unknown_price"


async def test_a_preview_of_an_add_on_knows_its_trial_and_what_is_free(crew: Crew) -> None:
    await crew.begins()
    tried = await crew.preview(add_price="domain_tried")
    assert (tried["due_now"]["amount"], tried["next_invoice"]["amount"]) == (0, 200)
    assert [(line["amount"], line["period"]) for line in tried["lines"]] == [
        (200, {"start": "2026-01-11T00:00:00Z", "end": "2026-02-11T00:00:00Z"})
    ]
    free = await crew.preview(add_price="domain_free")
    assert (free["due_now"]["amount"], free["next_invoice"]["amount"], free["lines"]) == (0, 0, [])


async def test_nobody_buys_beside_a_plan_that_has_ended(crew: Crew) -> None:
    mine = await crew.begins()
    ends = m.CancelSubscription(
        command_id=crew.world.command_id(), subscription_id=mine["subscription_id"], at="now"
    )
    await crew.world.does(ends)
    assert await _refused(crew, add_price="domain_yearly") == "subscription_not_active"


async def _refused(crew: Crew, **wish: Any) -> str:
    outcome = await crew.world.bound.handle(m.PreviewChange(subscription_id=await crew.id(), **wish))
    assert outcome.error is not None
    return outcome.error.code
