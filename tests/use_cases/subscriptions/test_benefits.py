"""Benefits of a member: what their features deliver, while they have them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.subscriptions.domain.benefits import BenefitSigner
from tallystick.messages import catalog
from tallystick.messages import subscriptions as m
from tallystick.messages.base import Customer
from tests.support.catalogs import team_catalog
from tests.support.worlds.subscriptions import ACME, OpenShop, World

ANN = Customer(type="user", id="ann")
VIDEOS = {"label": "Course videos", "url": "https://videos.example/course"}
GROUP = {"label": "Study group", "text": "Every Tuesday at 18:00"}


def document(**delivers: Any) -> dict[str, Any]:
    """The catalog of the tests, with what some flags deliver."""
    changed = team_catalog()
    changed["features"][0]["delivers"] = VIDEOS
    changed["features"].append({"code": "group", "name": "Group", "kind": "flag", "delivers": GROUP})
    changed["products"][0]["features"].append({"feature": "group"})
    for feature in changed["features"]:
        if feature["code"] in delivers:
            feature["delivers"] = delivers[feature["code"]]
    return changed


@pytest.fixture
async def shop(open_shop: OpenShop) -> World:
    """A shop whose two flags deliver something, and a customer on the free plan, which has both."""
    world = await open_shop(document(), key=None, benefits=BenefitSigner("s" * 32))
    await world.register()
    items = [m.ItemToBuy(price="solo_free")]
    await world.does(m.CreateSubscription(command_id="subscribe", customer=ACME, items=items))
    return world


async def benefits(shop: World, member: Customer = ACME) -> list[str]:
    """The labels of a member's benefits."""
    listed = (await shop.asks(m.ListBenefits(member=member)))["benefits"]
    return [benefit["label"] for benefit in listed]


async def test_a_member_sees_what_their_plan_delivers(shop: World) -> None:
    listed = (await shop.asks(m.ListBenefits(member=ACME)))["benefits"]
    assert listed == [
        {"feature": "group", "label": "Study group", "text": GROUP["text"], "expires_at": None},
        {"feature": "transcription", "label": "Course videos", "text": None, "expires_at": None},
    ]
    assert await benefits(shop, ANN) == []


async def test_it_is_opened_with_a_token_and_by_nobody_else(shop: World) -> None:
    opened = await shop.asks(m.OpenBenefit(member=ACME, feature="transcription"))
    assert opened["url"].startswith("https://videos.example/course?benefit_token=")
    for member, feature in ((ANN, "transcription"), (ACME, "group"), (ACME, "members"), (ACME, "unknown")):
        refused = await shop.refuses(m.OpenBenefit(member=member, feature=feature))
        assert refused == ("not_entitled", {"feature": feature})


async def test_an_override_gives_it_until_its_end_without_any_job(shop: World) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    override = m.OverrideFeature(
        command_id="gift", customer=ANN, feature="transcription", allowed=True, until=until, reason="A gift"
    )
    await shop.register(ANN)
    await shop.does(override)
    assert await benefits(shop, ANN) == ["Course videos"]
    later = await shop.bound.handle(m.ListBenefits(member=ANN), until)
    assert later.result == {"benefits": []}
    refused = await shop.bound.handle(m.OpenBenefit(member=ANN, feature="transcription"), until)
    assert refused.error is not None
    assert refused.error.code == "not_entitled"


async def test_it_is_gone_with_the_subscription(shop: World) -> None:
    subscription = (await shop.asks(m.GetSubscription(customer=ACME)))["subscription"]
    command = m.CancelSubscription(
        command_id="cancel", subscription_id=subscription["subscription_id"], at="now"
    )
    await shop.does(command)
    assert await benefits(shop) == []
    assert (await shop.refuses(m.OpenBenefit(member=ACME, feature="transcription")))[0] == "not_entitled"


async def test_another_address_counts_from_now_on(shop: World) -> None:
    moved = document(transcription=VIDEOS | {"url": "https://videos.example/new?course=1"})
    applied = await shop.does(catalog.ApplyCatalog(command_id="moved", catalog=moved))
    assert applied["changes"]["features"]["updated"] == ["transcription"]
    opened = await shop.asks(m.OpenBenefit(member=ACME, feature="transcription"))
    assert opened["url"].startswith("https://videos.example/new?course=1&benefit_token=")
    name, body = (await shop.told("feature"))[-1]
    assert name == "updatedV1"
    assert body["feature"]["delivers"]["url"] == "https://videos.example/new?course=1"


async def test_without_a_secret_none_is_opened(open_shop: OpenShop) -> None:
    shop = await open_shop(document(), key=None)
    await shop.register()
    items = [m.ItemToBuy(price="solo_free")]
    await shop.does(m.CreateSubscription(command_id="subscribe", customer=ACME, items=items))
    refused = await shop.refuses(m.OpenBenefit(member=ACME, feature="transcription"))
    assert refused[0] == "benefits_not_configured"


@pytest.mark.parametrize(
    ("code", "delivers", "problem"),
    [
        ("members", VIDEOS, "only flags deliver a benefit: a customer has them or not"),
        ("group", {"label": "Both", **VIDEOS, **GROUP}, "must have either a `url` or a `text`"),
        ("group", {"label": "Neither"}, "must have either a `url` or a `text`"),
    ],
)
async def test_what_cannot_be_delivered_is_refused(
    shop: World, code: str, delivers: dict[str, str], problem: str
) -> None:
    command = catalog.ApplyCatalog(command_id="bad", catalog=document(**{code: delivers}))
    refused, details = await shop.refuses(command)
    assert refused == "invalid_catalog"
    assert [entry["problem"] for entry in details] == [problem]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://host.example/a", "https://host.example/a#b"])
async def test_an_address_that_no_token_can_be_added_to_is_refused(shop: World, url: str) -> None:
    changed = document(transcription={"label": "Videos", "url": url})
    refused, details = await shop.refuses(catalog.ApplyCatalog(command_id="bad", catalog=changed))
    assert refused == "invalid_catalog"
    assert details[0]["path"] == "features[0].delivers.url"
