"""A seller in the running system: a product of theirs in the catalog, and a connected account."""

from typing import Any

from tallystick.messages import payouts as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import ApplyCatalog
from tests.support.catalogs import example_catalog
from tests.support.shop import Shop, fresh_id
from tests.support.waiting import eventually

PRICE = 1_000
SHARE = 850
IBAN = "DE89370400440532013000"


async def offers(shop: Shop, seller: Customer, percent: int = 85) -> str:
    """Put a product of the seller's into the catalog; its price."""
    code = seller.id.replace("-", "_")
    product: dict[str, Any] = {
        "code": f"space_{code}",
        "name": "Paid space",
        "kind": "plan",
        "seller": {"customer": seller.model_dump(), "share_percent": percent},
        "prices": [
            {
                "code": f"space_{code}_monthly",
                "model": "flat",
                "currency": "eur",
                "interval": "month",
                "unit_amount": PRICE,
            }
        ],
    }
    example = example_catalog()
    catalog = {**example, "products": [*example["products"], product]}
    await shop.billing.call(ApplyCatalog(command_id=fresh_id("apply"), catalog=catalog))
    return f"space_{code}_monthly"


async def onboards(shop: Shop, url: str) -> None:
    """Fill in Stripe's onboarding form."""
    answer = await shop.browser.post(url, data={"account_number": IBAN})
    assert answer.status_code == 303, answer.text


async def account_of(shop: Shop, seller: Customer) -> m.PayoutAccountSnapshot:
    """The seller's account once it can be paid out to."""

    async def enabled() -> m.PayoutAccountSnapshot | None:
        found = (await shop.billing.ask(m.GetAccount(customer=seller))).account
        return found if found.payouts_enabled else None

    account: m.PayoutAccountSnapshot = await eventually(enabled)
    return account


async def balance_of(shop: Shop, seller: Customer) -> tuple[int, int, int]:
    """What is pending, available and paid out in euros."""
    items = (await shop.billing.ask(m.SellerBalance(customer=seller))).items
    return (items[0].pending, items[0].available, items[0].paid_out) if items else (0, 0, 0)
