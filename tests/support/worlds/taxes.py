"""A customer who is taxed, on a test clock that begins with the year 2026."""

from datetime import datetime
from typing import Any

import httpx

from tallystick.messages import subscriptions as m
from tests.support.worlds.plan_changes import NEW_YEAR, Crew
from tests.support.worlds.subscriptions import ACME, GOOD_CARD, World

VAT = {"code": "vat_de", "display_name": "VAT", "percentage": 19, "country": "DE", "default": True}


def _price(code: str, amount: int, **more: Any) -> dict[str, Any]:
    model = "per_seat" if code.startswith("crew") else "flat"
    return {
        "code": code,
        "model": model,
        "currency": "eur",
        "interval": "month",
        "unit_amount": amount,
        **more,
    }


def taxed_catalog(*rates: dict[str, Any], **terms: Any) -> dict[str, Any]:
    """A plan for teams, two others and an add-on, all at these rates and terms."""
    unit_price = {"amount": 1500, "currency": "eur"}
    hours = {"code": "hours", "name": "Hours", "kind": "consumable", "unit_price": unit_price, **terms}
    seats = {"strategy": "per_seat", "minimum": 1, "maximum": 100}
    crew = [_price("crew_monthly", 1000, **terms), _price("crew_yearly", 10000, interval="year", **terms)]
    return {
        "tax_rates": list(rates),
        "features": [hours],
        "products": [
            _product("crew", *crew) | {"seats": seats},
            _product("solo", _price("solo_monthly", 4900, **terms)),
            _product("yen", _price("yen_monthly", 505, **terms) | {"currency": "jpy"}),
            _product("domain", _price("domain_yearly", 1500, interval="year", **terms)) | {"kind": "add_on"},
        ],
    }


def _product(code: str, *prices: dict[str, Any]) -> dict[str, Any]:
    return {"code": code, "name": code.title(), "kind": "plan", "prices": list(prices)}


class Taxpayer(Crew):
    """A customer with a card, and with an address if they live somewhere."""

    async def begins_at(
        self, price: str = "crew_monthly", quantity: int = 3, *, country: str | None = None
    ) -> None:
        """Buy a plan on the saved card."""
        await self.arrives(country)
        await self.world.does(self.creation(price, quantity))
        await self.world.catches_up()

    async def arrives(self, country: str | None = None) -> None:
        """Come to Stripe with a card, and be registered here."""
        v1 = self.world.stripe.v1
        self.clock = v1.test_helpers.test_clocks.create({"frozen_time": int(NEW_YEAR.timestamp())}).id
        self.theirs = v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock}).id
        self.saves("pm_card_visa")
        if country is not None:
            self.moves_to(country)
        await self.world.register(stripe_customer_id=self.theirs)

    def creation(self, price: str, quantity: int = 1) -> m.CreateSubscription:
        return m.CreateSubscription(
            command_id=self.world.command_id(),
            customer=ACME,
            items=[m.ItemToBuy(price=price, quantity=quantity)],
            collection="automatic",
        )

    def moves_to(self, country: str) -> None:
        address: Any = {"address": {"country": country}}
        self.world.stripe.v1.customers.update(self.theirs, address)

    def has_vat_id(self, vat_id: str) -> None:
        self.world.stripe.v1.customers.tax_ids.create(self.theirs, {"type": "eu_vat", "value": vat_id})

    async def invoices(self) -> list[dict[str, Any]]:
        """All invoices, oldest first."""
        page = await self.world.asks(m.ListInvoices(customer=ACME))
        found: list[dict[str, Any]] = page["items"][::-1]
        return found

    async def coming(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.world.asks(m.UpcomingInvoice(customer=ACME)))["invoice"]
        return found

    async def renews(self, moment: datetime) -> tuple[int, int, int]:
        """Reach a renewal; its invoice is the one that was announced."""
        coming = taxed(await self.coming())
        await self.reaches(moment)
        invoice = taxed(await self.newest_invoice())
        assert coming == invoice
        return invoice


def taxed(amounts: dict[str, Any]) -> tuple[int, int, int]:
    """Net amount, tax and total of an invoice or of the totals of a preview, which add up in every way."""
    net, tax, total = amounts["total_excluding_tax"], amounts["tax"], amounts["total"]
    assert net + tax == total
    assert sum(by_rate["amount"] for by_rate in amounts["taxes"]) == tax
    if lines := amounts.get("lines"):
        assert (sum(line["net"] for line in lines), sum(line["tax"] for line in lines)) == (net, tax)
    return net, tax, total


async def fills_in(url: str, **details: str) -> str:
    """Pay on the checkout page after these details; return the page that showed the sum."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        shown = await browser.post(url, data={"apply": "1", **details})
        paid = await browser.post(url, data={"card_number": GOOD_CARD})
    assert paid.status_code == 303, paid.text
    return shown.text


__all__ = ["VAT", "Taxpayer", "World", "fills_in", "taxed", "taxed_catalog"]
