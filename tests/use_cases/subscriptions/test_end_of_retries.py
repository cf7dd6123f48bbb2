"""The end of retries: canceled or unpaid as configured, whatever Stripe's dashboard says."""

import pytest

from tests.support.worlds.failing_payments import DAY, FEBRUARY, HOUR, JANUARY, LAST_ATTEMPT, begin
from tests.support.worlds.subscriptions import OpenShop

# Raised by how the Stripe SDK calls httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.mark.parametrize(
    ("dashboard", "end_state", "ours", "theirs"),
    [
        ("cancel", None, "canceled", "canceled"),
        ("cancel", "unpaid", "canceled", "canceled"),
        ("unpaid", None, "unpaid", "unpaid"),
        ("unpaid", "canceled", "canceled", "canceled"),
        ("past_due", None, "past_due", "past_due"),
        ("past_due", "canceled", "canceled", "canceled"),
        ("past_due", "unpaid", "unpaid", "past_due"),
    ],
)
async def test_the_end_is_what_is_configured(
    open_shop: OpenShop, dashboard: str, end_state: str | None, ours: str, theirs: str
) -> None:
    debtor = await begin(open_shop, end_state, dashboard)

    for late in (FEBRUARY + 2 * HOUR, LAST_ATTEMPT - DAY):
        await debtor.reaches(late)
        assert (await debtor.status(), debtor.status_in_stripe()) == ("past_due", "past_due")
    await debtor.reaches(LAST_ATTEMPT + HOUR)

    assert (await debtor.status(), debtor.status_in_stripe()) == (ours, theirs)
    # 4900 in January; nothing that failed was collected in the end.
    charges = debtor.stripe.v1.charges.list({"customer": debtor.customer_id}).data
    assert [charge.amount for charge in charges if charge.status == "succeeded"] == [4900]
    told = len(await debtor.world.told("subscription"))
    await debtor.world.bound.tick("sync_stripe", LAST_ATTEMPT + DAY)
    assert len(await debtor.world.told("subscription")) == told


@pytest.mark.parametrize("dashboard", ["unpaid", "past_due"])
async def test_who_is_unpaid_has_nothing_until_they_pay(open_shop: OpenShop, dashboard: str) -> None:
    debtor = await begin(open_shop, "unpaid", dashboard)
    world = debtor.world
    await debtor.reaches(FEBRUARY + 2 * HOUR)
    assert (await world.allowed("hours"))["quantity"] == 5
    await debtor.reaches(LAST_ATTEMPT + HOUR)
    assert (await world.allowed("hours"))["allowed"] is False

    debtor.saves("pm_card_visa")
    [owed] = debtor.stripe.v1.invoices.list({"customer": debtor.customer_id, "status": "open"}).data
    debtor.stripe.v1.invoices.pay(owed.id)
    await world.catches_up()

    assert (await debtor.status(), debtor.status_in_stripe()) == ("active", "active")
    assert (await world.allowed("hours"))["quantity"] == 5
    assert (await world.names("subscription"))[-1] == "recoveredV1"


async def test_a_sent_invoice_is_given_up_thirty_days_after_it_was_due(open_shop: OpenShop) -> None:
    # Finalized an hour after 1 January, due 30 days later, given up 30 days after that: on 2 March.
    debtor = await begin(open_shop, "canceled", "past_due", collection="invoice")
    due = JANUARY + HOUR + 30 * DAY

    await debtor.reaches(due + HOUR)
    assert await debtor.status() == "past_due"
    await debtor.world.bound.tick("sync_stripe", due + 30 * DAY - HOUR)
    assert await debtor.status() == "past_due"
    await debtor.world.bound.tick("sync_stripe", due + 30 * DAY)

    assert (await debtor.status(), debtor.status_in_stripe()) == ("canceled", "canceled")
