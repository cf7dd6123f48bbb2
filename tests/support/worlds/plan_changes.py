"""A customer whose plan and number of seats change, on a test clock that begins with the year 2026."""

from datetime import UTC, datetime
from typing import Any

from tallystick.messages import subscriptions as m
from tests.support.worlds.subscriptions import ACME, World

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MIDDLE = datetime(2026, 1, 16, 12, tzinfo=UTC)
"""Half of January is left."""
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
STEPS = [
    {"up_to": 5, "unit_amount": 1000},
    {"up_to": 10, "unit_amount": 800},
    {"up_to": None, "unit_amount": 500},
]


def _price(code: str, model: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "model": model, "currency": "eur", "interval": "month", **more}


def _plan(code: str, *prices: dict[str, Any], seats: bool = True) -> dict[str, Any]:
    rule = {"seats": {"strategy": "per_seat", "minimum": 1, "maximum": 100}} if seats else {}
    return {"code": code, "name": code.title(), "kind": "plan", "prices": list(prices), **rule}


CREW_CATALOG: dict[str, Any] = {
    "products": [
        _plan(
            "crew",
            _price("crew_volume", "volume", tiers=STEPS),
            _price("crew_graduated", "graduated", tiers=STEPS),
            _price("crew_yearly", "per_seat", unit_amount=10000) | {"interval": "year"},
            _price("crew_usd", "per_seat", unit_amount=900) | {"currency": "usd"},
        ),
        _plan("solo", _price("solo_monthly", "flat", unit_amount=4900), seats=False),
        _plan("big", _price("big_monthly", "flat", unit_amount=9900), seats=False),
        _plan("yen", _price("yen_monthly", "per_seat", unit_amount=500) | {"currency": "jpy"}),
        _plan("dinar", _price("dinar_monthly", "per_seat", unit_amount=1500) | {"currency": "kwd"}),
        {
            "code": "domain",
            "name": "Domain",
            "kind": "add_on",
            "required_details": ["domain_name"],
            "prices": [
                _price("domain_yearly", "flat", unit_amount=1500) | {"interval": "year"},
                _price("domain_tried", "flat", unit_amount=200, trial_days=10),
                _price("domain_unlisted", "flat", unit_amount=100, listed=False),
                {"code": "domain_free", "model": "free"},
            ],
        },
        _plan("gift", {"code": "gift_free", "model": "free"}, {"code": "gift_more", "model": "free"}),
    ]
}


class Crew:
    """A customer on a test clock, with a subscription from 1 January on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = ""
        self.theirs = ""

    async def begins(self, price: str = "crew_volume", quantity: int = 3, **params: Any) -> dict[str, Any]:
        v1 = self.world.stripe.v1
        self.clock = v1.test_helpers.test_clocks.create({"frozen_time": int(NEW_YEAR.timestamp())}).id
        customer = v1.customers.create({"email": "pay@acme.example", "test_clock": self.clock})
        self.theirs = customer.id
        self.saves("pm_card_visa")
        await self.world.register(stripe_customer_id=customer.id)
        stripe_price = v1.prices.list({"lookup_keys": [price]}).data[0].id
        items = [{"price": stripe_price, "quantity": quantity}]
        wanted: Any = {"customer": customer.id, "items": items, **params}
        v1.subscriptions.create(wanted)
        await self.world.catches_up()
        return await self.world.subscription()

    def saves(self, card: str) -> None:
        v1 = self.world.stripe.v1
        method = v1.payment_methods.attach(card, {"customer": self.theirs})
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        v1.customers.update(self.theirs, settings)

    async def reaches(self, moment: datetime) -> None:
        """Advance Stripe's clock and apply all events."""
        seconds: Any = {"frozen_time": int(moment.timestamp())}
        self.world.stripe.v1.test_helpers.test_clocks.advance(self.clock, seconds)
        await self.world.catches_up()

    async def id(self) -> str:
        found: str = (await self.world.subscription())["subscription_id"]
        return found

    async def quantity(self, quantity: int, **fields: Any) -> m.ChangeQuantity:
        return m.ChangeQuantity(
            command_id=self.world.command_id(), subscription_id=await self.id(), quantity=quantity, **fields
        )

    async def plan(self, price: str, **fields: Any) -> m.ChangePlan:
        return m.ChangePlan(
            command_id=self.world.command_id(), subscription_id=await self.id(), price=price, **fields
        )

    async def preview(self, **fields: Any) -> dict[str, Any]:
        return await self.world.asks(m.PreviewChange(subscription_id=await self.id(), **fields))

    async def newest_invoice(self) -> dict[str, Any]:
        page = await self.world.asks(m.ListInvoices(customer=ACME))
        found: dict[str, Any] = page["items"][0]
        return found


def bought(subscription: dict[str, Any]) -> list[tuple[str, int]]:
    return [(item["price"], item["quantity"]) for item in subscription["items"]]


def amounts(lines: list[dict[str, Any]]) -> list[int]:
    return [line["amount"] for line in lines]


def told_lines(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(line["description"], line["amount"], line["period"]) for line in lines]
