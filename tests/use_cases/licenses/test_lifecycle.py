"""What becomes of a license: key replaced, suspended, revoked, reminded of, ended; what is stored of it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.licenses.app import service
from services.licenses.issuing.license_keys import LicenseKeys
from tallystick.messages import licenses as m
from tests.support.runtime import NOON, Bound
from tests.support.worlds.licenses import ACME, SUBSCRIPTION, LicenseWorld, provided

CHANGES = (m.RotateLicenseKey, m.SuspendLicense, m.RestoreLicense, m.RevokeLicense)


async def test_a_replaced_key_is_invalid_at_once(world: LicenseWorld) -> None:
    license, old = await world.issued()  # noqa: A001
    await world.does(world.activate(old))
    command = m.RotateLicenseKey(command_id="rotate", license_id=license["license_id"], reason="Leaked.")
    result = await world.does(command)
    new = result["license_key"]
    assert await world.does(command) == result
    assert (new != old, result["license"]["key_number"], result["license"]["reason"]) == (True, 2, "Leaked.")
    assert (await world.refuses(world.refresh(old)))[0] == "license_key_invalid"
    await world.does(world.refresh(new))
    assert (await world.names())[-1] == "changedV1"


async def test_a_repeated_issue_shows_the_same_key(world: LicenseWorld) -> None:
    command = world.issue()
    first = await world.does(command)
    assert await world.does(command) == first
    other = await world.does(world.issue())
    assert other["license_key"] != first["license_key"]


async def test_no_key_and_no_private_key_is_stored_anywhere(world: LicenseWorld) -> None:
    license, first = await world.issued()  # noqa: A001
    license_id = license["license_id"]
    second = (await world.does(m.RotateLicenseKey(command_id="rotate", license_id=license_id)))["license_key"]
    await world.subscribed()
    own = (await world.license())["license_id"]
    third = (await world.does(m.ShowLicenseKey(command_id="show", license_id=own)))["license_key"]
    await world.does(world.activate(second))
    await world.does(world.refresh(second, members=3))
    await world.does(world.deactivate(second))
    await world.refuses(world.activate(first))
    stored = await world.everything_stored()
    for key in (first, second, third):
        for part in key.split("-")[1:-1]:
            assert part not in stored
    assert "11" * 32 not in stored
    assert license["key_hint"] in stored, "the search finds what is stored"


@pytest.mark.parametrize("ended", ["revoked", "expired"])
async def test_an_ended_license_does_not_change(world: LicenseWorld, ended: str) -> None:
    license, key = await world.issued(expires_at=NOON + timedelta(days=5))  # noqa: A001
    license_id = license["license_id"]
    if ended == "revoked":
        await world.does(m.RevokeLicense(command_id="revoke", license_id=license_id))
    else:
        world.passes(days=5)
        await world.bound.tick("expire_licenses", world.now)
    for change in CHANGES:
        command = change(command_id=world.command_id(), license_id=license_id)
        if (change, ended) == (m.RevokeLicense, "revoked"):
            assert (await world.does(command))["license"]["status"] == "revoked", "again: the same"
        else:
            code, details = await world.refuses(command)
            assert (code, details) == ("license_ended", {"license_id": license_id, "status": ended})
    assert (await world.refuses(world.activate(key)))[0] == f"license_{ended}"
    assert (await world.refuses(world.refresh(key)))[0] == f"license_{ended}"


async def test_suspending_and_restoring_twice_tells_once(world: LicenseWorld) -> None:
    license_id = (await world.issued())[0]["license_id"]
    for change in (m.SuspendLicense, m.SuspendLicense, m.RestoreLicense, m.RestoreLicense):
        await world.does(change(command_id=world.command_id(), license_id=license_id, reason="Why."))
    assert await world.names() == ["issuedV1", "suspendedV1", "restoredV1"]
    unknown = m.SuspendLicense(command_id="x", license_id="lic_0")
    assert (await world.refuses(unknown))[0] == "not_found"


async def test_a_license_is_reminded_of_and_ends(world: LicenseWorld) -> None:
    end = NOON + timedelta(days=20)
    _, key = await world.issued(expires_at=end)
    told: list[tuple[str, timedelta]] = []
    for hour in range(0, 24 * 21, 6):
        at = NOON + timedelta(hours=hour)
        await world.bound.tick("remind_licenses", at)
        await world.bound.tick("expire_licenses", at)
        for name in (await world.names())[1 + len(told) :]:
            told.append((name, end - at))
    assert told == [
        ("expiringV1", timedelta(days=14)),
        ("expiringV1", timedelta(days=7)),
        ("expiringV1", timedelta(days=1)),
        ("expiredV1", timedelta()),
    ]
    assert (await world.license(license_key=key))["status"] == "expired"


async def test_reminders_that_are_late_are_one(world: LicenseWorld) -> None:
    await world.issued(expires_at=NOON + timedelta(days=3))
    for _ in range(3):
        await world.bound.tick("remind_licenses", NOON)
    assert await world.names() == ["issuedV1", "expiringV1"]


async def test_requests_end_at_the_time_without_the_job(world: LicenseWorld) -> None:
    _, key = await world.issued(expires_at=NOON + timedelta(days=5))
    await world.does(world.activate(key))
    world.passes(days=5)
    assert (await world.refuses(world.refresh(key)))[0] == "license_expired"


async def test_validity_online(world: LicenseWorld) -> None:
    license, key = await world.issued(seats=5, expires_at=NOON + timedelta(days=40))  # noqa: A001
    question = m.ValidateLicense(license_key=key, instance_id="host-1")

    async def validity() -> tuple[str, str | None]:
        answer = await world.asks(question)
        assert (answer["seats"], answer["features"]) == (5, license["features"])
        return answer["status"], answer["until"]

    assert await validity() == ("not_activated", None)
    await world.does(world.activate(key))
    assert await validity() == ("valid", "2026-02-14T12:00:00Z")
    await world.does(m.SuspendLicense(command_id="s", license_id=license["license_id"]))
    assert await validity() == ("suspended", None)
    await world.does(m.RestoreLicense(command_id="r", license_id=license["license_id"]))
    world.passes(days=40)
    assert await validity() == ("grace", "2026-03-10T12:00:00Z")
    await world.bound.tick("expire_licenses", world.now)
    assert await validity() == ("grace", "2026-03-10T12:00:00Z")
    world.passes(days=14)
    assert await validity() == ("expired", "2026-03-10T12:00:00Z")
    other, other_key = await world.issued()
    await world.does(m.RevokeLicense(command_id="v", license_id=other["license_id"]))
    revoked = await world.asks(m.ValidateLicense(license_key=other_key, instance_id="host-1"))
    assert revoked["status"] == "revoked"


async def test_lists_and_searches(world: LicenseWorld) -> None:
    licenses = [(await world.issued(seats=seats))[0] for seats in (1, 2, 3)]
    _, key = await world.issued(customer=ACME.model_copy(update={"id": "other"}))
    last = await world.license(license_key=key)
    await world.does(world.activate(key, "host-9"))
    await world.does(m.SuspendLicense(command_id="s", license_id=licenses[0]["license_id"]))
    own = await world.subscribed()

    async def found(**wanted: object) -> list[str]:
        page = await world.asks(m.ListLicenses.model_validate(wanted))
        return [item["license_id"] for item in page["items"]]

    first, second, third = (one["license_id"] for one in licenses)
    assert await found() == [own["license_id"], last["license_id"], third, second, first]
    assert await found(customer=ACME.model_dump()) == [own["license_id"], third, second, first]
    assert await found(status="suspended") == [first]
    assert await found(search="other") == [last["license_id"]]
    assert await found(search="host-9") == [last["license_id"]]
    assert await found(search=SUBSCRIPTION) == [own["license_id"]]
    assert await found(search=second) == [second]
    assert await found(search=licenses[1]["key_hint"].lower()) == [second]
    assert await found(search="nobody") == []
    page = await world.asks(m.ListLicenses(limit=2))
    rest = await world.asks(m.ListLicenses(limit=3, cursor=page["next_cursor"]))
    assert len(page["items"] + rest["items"]) == 5
    assert rest["next_cursor"] is None


async def test_seats_by_hand_change_unless_machines_use_more(world: LicenseWorld) -> None:
    license, key = await world.issued(seats=20, instances=2)  # noqa: A001
    for host, members in (("host-1", 8), ("host-2", 4)):
        await world.does(world.activate(key, host))
        await world.does(world.refresh(key, host, members=members))

    def seats(number: int) -> m.ChangeLicenseSeats:
        return m.ChangeLicenseSeats(
            command_id=world.command_id(), license_id=license["license_id"], seats=number
        )

    assert await world.refuses(seats(11)) == (
        "seats_in_use",
        {"occupied": 12, "members_reported": 12, "quantity": 11},
    )
    changed = (await world.does(seats(12)))["license"]
    assert (changed["seats"], (await world.events())[-1]) == (12, ("changedV1", changed))
    await world.does(world.refresh(key, "host-1", members=30))
    assert (await world.does(seats(13)))["license"]["seats"] == 13, "more seats are always allowed"
    events = len(await world.names())
    await world.does(seats(13))
    assert len(await world.names()) == events


async def test_another_secret_leaves_issued_keys_valid(
    world: LicenseWorld, bind: Callable[..., Bound]
) -> None:
    command = world.issue()
    issued = await world.does(command)
    await world.subscribed()
    license_id = (await world.license())["license_id"]
    _, *others = provided()
    later = LicenseWorld(
        bind(service, LicenseKeys.of("another-secret-of-the-same-length"), *others), _commands=50
    )
    await later.does(later.activate(issued["license_key"]))
    assert (await later.does(command))["license_key"] == "withheld"
    shown = await later.does(m.ShowLicenseKey(command_id="show", license_id=license_id))
    assert (await later.license(license_key=shown["license_key"]))["license_id"] == license_id
