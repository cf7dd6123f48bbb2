"""The whole feed of all tests before, read from the beginning by a new consumer."""

from tests.support.shop import Shop, TolerantModel

TELLERS = {
    "billing_team": "seats",
    "seat": "seats",
    "consumable": "consumables",
    "recharge": "consumables",
    "snapshot": "monitoring",
    "alarm": "monitoring",
    "payout_account": "payouts",
    "payout": "payouts",
    "seller_balance": "payouts",
    "license": "licenses",
    "notification": "notifications",
    "endpoint": "notifications",
}
"""The services that tell of entities; of all others it is subscriptions."""


async def test_every_entity_is_told_without_a_gap(shop: Shop) -> None:
    # Also alone: registering and the example catalog's products, prices and features are on the feed.
    await shop.register()
    told = TolerantModel()
    async with shop.billing.events(start="all", repeated="yield", on_gap="raise") as feed:
        async for event in feed:
            told.events.append(event)
            if event.customer == shop.acme.token:
                break
    told.check()
    assert {"customer", "feature", "product", "price"} <= {event.entity for event in told.events}
    assert len({event.headers["ce-id"] for event in told.events}) == len(told.events)
    for event in told.events:
        assert event.headers["ce-type"] == f"billing.{event.entity}.{event.event}V1"
        assert event.headers["ce-source"] == f"/billing/{TELLERS.get(event.entity, 'subscriptions')}"
        assert event.headers["ce-subject"] == event.customer
