"""A seller over HTTP and on the page: sets up payouts, earns, is paid; every source says the same."""

from datetime import UTC, datetime, timedelta

import pytest

from tallystick.messages.base import Customer
from tests.support.gateway import ADMIN, READ, GatewaySystem
from tests.support.page_visitor import visiting
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually
from tests.support.worlds.selling import SHARE, account_of, balance_of, offers, onboards

API, PAGE = "/api/v1/billing/payouts", "/billing/payouts"

pytestmark = pytest.mark.timeout(180)


async def test_a_seller_is_paid(gateway: GatewaySystem, shop: Shop) -> None:
    seller = Customer(type="organization", id=fresh_id("seller"))
    await shop.register()
    price = await offers(shop, seller)
    async with visiting(gateway, seller) as visitor, gateway.http(seller) as http:
        assert (await http.get(f"{API}/account")).status_code == 404
        form = await visitor.form(PAGE, f"{PAGE}/connect")
        answer = await visitor.send(f"{PAGE}/connect", {**form, "country": "DE"})
        assert answer.status_code == 303, answer.text
        assert "Stripe needs:" in (await visitor.http.get(PAGE)).text
        await onboards(shop, answer.headers["location"])
        await account_of(shop, seller)
        assert "You can be paid." in (await visitor.http.get(PAGE)).text

        await shop.buys(price)
        await eventually(lambda: earned(shop, seller, (SHARE, 0, 0)))
        held = (await visitor.http.get(PAGE, headers={"accept-language": "de"})).text
        assert "8,50\xa0€" in held and "Zurückgehalten" in held and "zurückgehalten bis" in held
        assert (await http.post(API, json={})).json()["code"] == "insufficient_balance"

        await shop.tick("payouts", "release_held", datetime.now(UTC) + timedelta(days=8))
        await eventually(lambda: earned(shop, seller, (0, SHARE, 0)))
        form = await visitor.form(PAGE, f"{PAGE}/pay-out")
        refused = await visitor.send(f"{PAGE}/pay-out", {**form, "amount": "9"})
        assert (refused.status_code, "Only €8.50 is available." in refused.text) == (400, True)
        form = await visitor.form(PAGE, f"{PAGE}/pay-out")
        paid = await visitor.send(f"{PAGE}/pay-out", form)
        assert paid.headers["location"] == f"{PAGE}?done=paid_out#balance"
        assert await visitor.send(f"{PAGE}/pay-out", form) is not None

        (payout,) = (await http.get(API)).json()["items"]
        assert (payout["status"], payout["amount"]["amount"]) == ("paid", SHARE)
        transfers = shop.stripe.v1.transfers.list({"transfer_group": payout["payout_id"]}).data
        assert [one.amount for one in transfers] == [SHARE]
        (balance,) = (await http.get(f"{API}/balance")).json()["items"]
        assert (balance["pending"], balance["available"], balance["paid_out"]) == (0, 0, SHARE)
        kinds = [entry["kind"] for entry in (await http.get(f"{API}/entries")).json()["items"]]
        assert kinds == ["paid_out", "earned"]
        page = (await visitor.http.get(PAGE)).text
        assert page.count("€8.50") == 4 and "Paid space, 85 %" in page


async def earned(shop: Shop, seller: Customer, wanted: tuple[int, int, int]) -> bool:
    """Whether the seller's balance is this."""
    return await balance_of(shop, seller) == wanted


async def test_schedules_and_corrections(gateway: GatewaySystem, shop: Shop) -> None:
    seller = Customer(type="organization", id=fresh_id("seller"))
    async with (
        visiting(gateway, seller) as visitor,
        gateway.http(seller) as http,
        gateway.http("organization_operations", ADMIN) as operator,
        gateway.http(seller, READ) as reader,
    ):
        schedule = {"every": "week", "minimum": 0}
        assert (await http.put(f"{API}/schedule", json=schedule)).status_code == 404
        opened = await http.post(f"{API}/account", json={"country": "AT"})
        assert opened.status_code == 201, opened.text
        hold = {"customer": seller.model_dump(), "hold_days": 30, "every": "manual", "minimum": 0}
        assert (await operator.put("/api/v1/admin/payouts/schedule", json=hold)).status_code == 200
        form = await visitor.form(PAGE, f"{PAGE}/schedule")
        sent = await visitor.send(f"{PAGE}/schedule", {**form, "every": "month", "minimum": "12.50"})
        assert sent.status_code == 303, sent.text
        # A seller chooses when to be paid, never for how long earnings are held.
        assert (await http.get(f"{API}/account")).json()["account"]["schedule"] == {
            "hold_days": 30,
            "every": "month",
            "minimum": {"amount": 1_250, "currency": "eur"},
        }
        assert (await http.put(f"{API}/schedule", json={**schedule, "hold_days": 0})).status_code == 400
        assert (await reader.put(f"{API}/schedule", json=schedule)).status_code == 403
        assert (await reader.post(API, json={})).status_code == 403

        correction = {
            "customer": seller.model_dump(),
            "amount": {"amount": -500, "currency": "eur"},
            "reason": "an invoice of ours",
        }
        assert (await http.post("/api/v1/admin/payouts/adjustments", json=correction)).status_code == 403
        made = await operator.post("/api/v1/admin/payouts/adjustments", json=correction)
        assert made.json()["entry"]["amount"]["amount"] == -500
        url = f"/api/v1/admin/payouts/sellers/{seller.token}/balance"
        assert (await operator.get(url)).json() == (await http.get(f"{API}/balance")).json()
        page = (await visitor.http.get(PAGE)).text
        assert "an invoice of ours" in page and "-€5.00" in page and "set off" in page


async def test_a_person_does_not_sell(gateway: GatewaySystem) -> None:
    async with visiting(gateway, Customer(type="user", id=fresh_id("person"))) as visitor:
        answer = await visitor.http.get(PAGE)
    assert (answer.status_code, "Only organizations can sell." in answer.text) == (400, True)
