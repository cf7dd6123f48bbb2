"""Entitlements as other services see them: in the bucket, in a local mirror, and on the feed."""

from functools import partial

from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.shop import Shop, TolerantModel, fresh_id
from tests.support.shop_steps import subscribe_for_free
from tests.support.waiting import eventually

FRESH_WITHIN_SECONDS = 1.0
"""From a command's answer to its effect in every mirror."""


async def test_a_mirror_is_fresh_within_a_second(shop: Shop) -> None:
    # Starter: 10 products. Another customer's entitlements are none of this mirror's business.
    neighbour = Customer(type="user", id=fresh_id("u"))
    await shop.register()
    await shop.register(neighbour)
    async with shop.mirror() as ours, shop.billing.entitlements() as everybody:
        assert not ours.check(shop.acme, "products")
        begun = (await shop.billing.call(subscribe_for_free(shop))).subscription
        await eventually(lambda: ours.check(shop.acme, "products"), within_seconds=FRESH_WITHIN_SECONDS)
        held = ours.get(shop.acme, "products")
        assert held is not None
        assert (held.quantity, held.expires_at) == (10, None)
        assert set(ours.of(shop.acme)) == {"products", "orders", "team_members"}
        await shop.billing.call(subscribe_for_free(shop, customer=neighbour))
        await eventually(lambda: everybody.check(neighbour, "products"), within_seconds=FRESH_WITHIN_SECONDS)
        assert not ours.check(neighbour, "products")

        await shop.cancel(begun.subscription_id)
        await eventually(lambda: not ours.check(shop.acme, "products"), within_seconds=FRESH_WITHIN_SECONDS)
        assert await eventually(lambda: len(ours) == 0)
        assert everybody.check(neighbour, "products")
        assert ours.age_seconds < 10


async def test_bucket_mirror_question_and_feed_agree(shop: Shop) -> None:
    # The version in the bucket is that of the entitlement's last event on the feed.
    async with shop.feed() as told, shop.mirror() as mirror:
        await shop.register()
        free = (await shop.billing.call(subscribe_for_free(shop))).subscription
        paid = await shop.buys("business_monthly")
        await shop.cancel(free.subscription_id)
        page = await shop.billing.ask(m.ListEntitlements(customer=shop.acme))
        listed = {entitlement.feature: entitlement for entitlement in page.items}
        assert sorted(listed) == [
            "analytics",
            "api_access",
            "basic_support",
            "orders",
            "priority_support",
            "products",
            "team_members",
        ]
        assert {feature: listed[feature].quantity for feature in ("orders", "products", "team_members")} == {
            "orders": 2000,
            "products": None,
            "team_members": 10,
        }

        async def all_here() -> bool:
            return all(
                (held := mirror.get(shop.acme, feature)) is not None and held.version == each.version
                for feature, each in listed.items()
            )

        await eventually(all_here)
        for feature, each in listed.items():
            entry = await shop.bucket(feature)
            asked = await shop.allowed(feature)
            assert entry is not None
            assert m.BucketEntry(version=each.version, **dict(asked)).model_dump(mode="json") == entry
            await eventually(partial(_is_told, told, feature, each.model_dump(mode="json")))
            sources = [source.subscription_id for source in each.sources]
            assert sources == [paid.subscription_id]


def _is_told(told: TolerantModel, feature: str, snapshot: dict[str, object]) -> bool:
    of_feature = [event.snapshot for event in told.of("entitlement") if event.snapshot["feature"] == feature]
    return of_feature[-1] == snapshot


async def test_what_nobody_sold_is_not_allowed(shop: Shop) -> None:
    stranger = Customer(type="user", id=fresh_id("u"))
    for feature in ("products", "no_such_feature"):
        found = await shop.billing.ask(m.CheckEntitlement(customer=stranger, feature=feature))
        assert (found.allowed, found.quantity, found.sources) == (False, 0, [])
    page = await shop.billing.ask(m.ListEntitlements(customer=stranger))
    assert (page.items, page.next_cursor) == ([], None)
