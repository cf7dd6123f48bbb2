"""Licenses follow their subscriptions: issued, grown, suspended and restored, ended, in any order."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.messages import licenses as m
from tallystick.messages.catalog import LicenseRule
from tests.support.worlds.licenses import (
    ACME,
    FEATURES,
    PERIOD_END,
    SUBSCRIPTION,
    LicenseWorld,
    server_item,
)


async def key_of(world: LicenseWorld) -> str:
    """The key of the subscription's license, shown once."""
    license_id = (await world.license())["license_id"]
    shown = m.ShowLicenseKey(command_id=world.command_id(), license_id=license_id)
    return str((await world.does(shown))["license_key"])


async def test_a_subscription_has_a_license_with_its_terms(world: LicenseWorld) -> None:
    license = await world.subscribed(25)  # noqa: A001
    assert (license["version"], license["status"], license["suspended"]) == (1, "active", False)
    assert (license["customer"], license["subscription_id"]) == (ACME.model_dump(), SUBSCRIPTION)
    assert (license["product"], license["seats"], license["features"]) == ("server", 25, FEATURES)
    assert (license["instances"], license["grace_days"], license["offline_days"]) == (1, 14, 30)
    assert (license["expires_at"], license["key_shown"]) == (None, False)
    assert await world.events() == [("issuedV1", license)]


async def test_its_key_is_shown_once(world: LicenseWorld) -> None:
    license = await world.subscribed()  # noqa: A001
    command = m.ShowLicenseKey(command_id=world.command_id(), license_id=license["license_id"])
    shown = await world.does(command)
    assert shown["license"]["key_shown"]
    assert shown["license_key"].replace("-", "").endswith(license["key_hint"])
    assert await world.does(command) == shown, "the same command again"
    again = m.ShowLicenseKey(command_id=world.command_id(), license_id=license["license_id"])
    assert (await world.refuses(again))[0] == "license_key_shown"
    await world.does(world.activate(shown["license_key"]))


async def test_no_license_for_other_products_and_unstarted_subscriptions(world: LicenseWorld) -> None:
    plain = server_item(rule=None)
    others: dict[str, dict[str, Any]] = {
        "sub_other": {"items": [plain]},
        "sub_late": {"status": "incomplete"},
    }
    for name, fields in others.items():
        await _tell(world, name, **fields)
        assert (await world.refuses(m.GetLicense(subscription_id=name)))[0] == "not_found"
    await world.tells("activated", subscription="sub_late", status="trialing")
    assert (await world.license(subscription_id="sub_late"))["status"] == "active"


async def _tell(world: LicenseWorld, subscription: str, **fields: Any) -> None:
    if SUBSCRIPTION not in world.told:
        await world.subscribed()
    told = world.told[SUBSCRIPTION].model_copy(update={"subscription_id": subscription, "version": 1})
    await world.hears(told.model_copy(update=fields), "created")


async def test_seats_features_and_instances_follow(world: LicenseWorld) -> None:
    await world.subscribed(25)
    await world.tells(items=[server_item(30)])
    assert (await world.license())["seats"] == 30
    rule = LicenseRule(instances=3, grace_days=7, offline_days=10)
    await world.tells("renewed", items=[server_item(30, rule, features=[])])
    license = await world.license()  # noqa: A001
    assert (license["instances"], license["grace_days"], license["offline_days"]) == (3, 7, 10)
    assert (license["features"], license["version"]) == ({}, 3)
    await world.tells("renewed", current_period_end=datetime(2026, 3, 1, tzinfo=UTC))
    assert await world.names() == ["issuedV1", "changedV1", "changedV1"], "nothing of a license changed"


@pytest.mark.parametrize(
    ("suspended", "recovered"),
    [
        ({"status": "past_due", "restricted": True}, {"status": "active", "restricted": False}),
        ({"status": "unpaid"}, {"status": "active"}),
        ({"status": "paused"}, {"status": "active"}),
    ],
)
async def test_it_is_suspended_and_restored(
    world: LicenseWorld, suspended: dict[str, Any], recovered: dict[str, Any]
) -> None:
    await world.subscribed()
    key = await key_of(world)
    await world.does(world.activate(key))
    await world.tells("pastDue", status="past_due")
    assert (await world.license())["status"] == "active", "a customer in the grace period keeps it"
    await world.tells("restricted", **suspended)
    license = await world.license()  # noqa: A001
    assert (license["status"], license["suspended"], len(license["activations"])) == ("suspended", True, 1)
    assert (await world.refuses(world.activate(key)))[0] == "license_suspended"
    assert (await world.refuses(world.refresh(key)))[0] == "license_suspended"
    await world.tells("recovered", **recovered)
    assert (await world.license())["suspended"] is False
    await world.does(world.refresh(key))
    assert (await world.names())[-2:] == ["suspendedV1", "restoredV1"]


@pytest.mark.parametrize("status", ["canceled", "expired"])
async def test_it_ends_with_its_subscription(world: LicenseWorld, status: str) -> None:
    await world.subscribed()
    key = await key_of(world)
    file = (await world.does(world.activate(key)))["license_file"]
    world.passes(days=3)
    await world.tells(status, status=status, ended_at=world.now)
    license = await world.license()  # noqa: A001
    assert (license["status"], license["ended_at"]) == ("expired", "2026-01-18T12:00:00Z")
    for command in (world.activate(key, "host-2"), world.refresh(key)):
        assert (await world.refuses(command))[0] == "license_expired"
    assert await world.checks(file) == "valid", "what was issued holds until its end"
    await world.does(world.deactivate(key))
    assert (await world.names())[-2:] == ["expiredV1", "deactivatedV1"]


async def test_a_decided_end_bounds_the_files(world: LicenseWorld) -> None:
    await world.subscribed()
    key = await key_of(world)
    await world.tells("cancelScheduled", cancel_at_period_end=True, cancel_at=PERIOD_END)
    state = await world.checks((await world.does(world.activate(key)))["license_file"])
    assert (state.license.not_after, state.license.expires_at) == (PERIOD_END, PERIOD_END)
    assert state.license.grace_until == PERIOD_END + timedelta(days=14)
    await world.tells("reactivated", cancel_at_period_end=False, cancel_at=None)
    state = await world.checks((await world.does(world.refresh(key)))["license_file"])
    assert (state.license.not_after, state.license.expires_at) == (world.now + timedelta(days=30), None)


async def test_a_plan_without_a_license_ends_it_and_a_return_gives_a_new_one(world: LicenseWorld) -> None:
    first = await world.subscribed()
    await world.tells(items=[server_item(rule=None, product="cloud")])
    assert (await world.license(license_id=first["license_id"]))["status"] == "expired"
    await world.tells(items=[server_item()])
    second = await world.license()
    assert (second["status"], second["license_id"] != first["license_id"]) == ("active", True)


async def test_a_revoked_license_does_not_come_back(world: LicenseWorld) -> None:
    license_id = (await world.subscribed())["license_id"]
    await world.does(m.RevokeLicense(command_id="revoke", license_id=license_id, reason="Fraud."))
    for fields in ({"items": [server_item(30)]}, {"status": "paused"}, {"status": "active"}):
        await world.tells(**fields)
    license = await world.license()  # noqa: A001
    assert (license["license_id"], license["status"], license["seats"]) == (license_id, "revoked", 25)
    assert await world.names() == ["issuedV1", "revokedV1"]


async def test_an_operators_suspension_outlasts_the_subscriptions(world: LicenseWorld) -> None:
    license_id = (await world.subscribed())["license_id"]
    await world.does(m.SuspendLicense(command_id="suspend", license_id=license_id, reason="Chargeback."))
    await world.tells("paused", status="paused")
    await world.tells("resumed", status="active")
    assert (await world.license())["status"] == "suspended"
    await world.tells("paused", status="paused")
    await world.does(m.RestoreLicense(command_id="restore", license_id=license_id))
    assert (await world.license())["status"] == "suspended"
    await world.tells("resumed", status="active")
    assert (await world.license())["status"] == "active"


async def test_events_in_any_order_and_twice_give_the_same(world: LicenseWorld) -> None:
    await world.subscribed(25)
    story: list[dict[str, Any]] = [
        {"items": [server_item(30)]},
        {"status": "paused"},
        {"status": "active", "items": [server_item(28)]},
    ]
    before = world.told[SUBSCRIPTION]
    told = []
    for fields in story:
        before = before.model_copy(update={"version": before.version + 1, **fields})
        told.append(before)
    shuffled = told * 2
    random.Random(7).shuffle(shuffled)
    for one in shuffled:
        await world.hears(one)
    license = await world.license()  # noqa: A001
    assert (license["status"], license["seats"]) == ("active", 28)
    versions = [snapshot["version"] for _, snapshot in await world.events()]
    assert versions == list(range(1, len(versions) + 1))
