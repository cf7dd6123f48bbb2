"""Activation, deactivation and refresh of machines: all or nothing, one place each, files that hold."""

import asyncio
import base64
import itertools
import json
from datetime import timedelta

import pytest

from services.licenses.activation import activate
from tallystick.messages import licenses as m
from tests.support.runtime import NOON
from tests.support.worlds.licenses import ACME, FEATURES, LicenseWorld


async def test_a_license_is_issued_and_activated_on_a_machine(world: LicenseWorld) -> None:
    license, key = await world.issued(seats=25)  # noqa: A001
    result = await world.does(world.activate(key, name="Main server", version="2.4.1"))
    activation = result["activation"]
    assert result["license"]["activations"] == [activation]
    assert (activation["instance_id"], activation["name"]) == ("host-1", "Main server")
    assert (activation["version"], activation["members"]) == ("2.4.1", None)
    assert result["license"] == await world.license(license_key=key)
    assert await world.events() == [("issuedV1", license), ("activatedV1", result["license"])]
    state = await world.checks(result["license_file"])
    assert (state, state.until) == ("valid", NOON + timedelta(days=30))
    claims = state.license
    assert (claims.license_id, claims.customer) == (license["license_id"], ACME.token)
    assert (claims.product, claims.seats, dict(claims.features)) == ("server", 25, FEATURES)
    assert (claims.grace_until, claims.expires_at) == (NOON + timedelta(days=44), None)


async def test_the_same_machine_again_gets_a_fresh_file_and_no_other_place(world: LicenseWorld) -> None:
    _, key = await world.issued()
    first = await world.does(world.activate(key, name="A"))
    world.passes(days=3)
    again = await world.does(world.activate(key))
    assert again["license_file"] != first["license_file"]
    assert (await world.checks(again["license_file"])).license.sequence == 2
    assert (again["activation"]["name"], len(again["license"]["activations"])) == ("A", 1)
    assert await world.names() == ["issuedV1", "activatedV1"]


async def test_a_repeated_command_gives_the_same_file(world: LicenseWorld) -> None:
    _, key = await world.issued()
    command = world.activate(key)
    first = await world.does(command)
    world.passes(days=1)
    assert await world.does(command) == first


async def test_a_second_machine_is_refused_until_the_first_gives_its_place_back(world: LicenseWorld) -> None:
    _, key = await world.issued()
    await world.does(world.activate(key, "host-1"))
    code, details = await world.refuses(world.activate(key, "host-2"))
    assert (code, details) == ("license_in_use", {"instances": ["host-1"], "allowed": 1})
    freed = await world.does(world.deactivate(key, "host-1"))
    assert freed["license"]["activations"] == []
    assert await world.does(world.deactivate(key, "host-1")) == freed
    moved = await world.does(world.activate(key, "host-2"))
    assert await world.checks(moved["license_file"], "host-2") == "valid"
    assert await world.names() == ["issuedV1", "activatedV1", "deactivatedV1", "activatedV1"]


async def test_six_machines_race_for_one_place_and_one_has_it(world: LicenseWorld) -> None:
    _, key = await world.issued()
    commands = [world.activate(key, f"host-{number}") for number in range(6)]
    outcomes = await asyncio.gather(*(world.bound.handle(command, world.now) for command in commands))
    assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 5 + ["succeeded"]
    assert {outcome.error.code for outcome in outcomes if outcome.error} == {"license_in_use"}
    winner = next(outcome.result for outcome in outcomes if outcome.result)
    assert await world.license(license_key=key) == winner["license"]


async def test_an_activation_that_fails_at_the_last_step_leaves_nothing_behind(
    world: LicenseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    license, key = await world.issued()  # noqa: A001

    def break_down(*_: object) -> str:
        raise RuntimeError("the signing device is unplugged")

    monkeypatch.setattr(activate, "issue_file", break_down)
    command = world.activate(key)
    assert (await world.bound.handle(command, world.now)).status == "failed"
    assert await world.license(license_key=key) == license
    monkeypatch.undo()
    assert (await world.does(command))["activation"]["instance_id"] == "host-1"


@pytest.mark.parametrize("wrong", ["TSL-00000000-00000000-00000000-00000000-0", "TSL-1", "", "x" * 200])
async def test_a_wrong_key_is_refused_everywhere(world: LicenseWorld, wrong: str) -> None:
    await world.issued()
    reason = "unknown" if wrong.endswith("-0") else "mistyped"
    for message in (
        world.activate(wrong),
        world.deactivate(wrong),
        world.refresh(wrong),
        m.GetLicense(license_key=wrong),
        m.ValidateLicense(license_key=wrong, instance_id="host-1"),
    ):
        assert await world.refuses(message) == ("license_key_invalid", {"reason": reason})


async def test_a_key_may_be_typed_carelessly(world: LicenseWorld) -> None:
    _, key = await world.issued()
    await world.does(world.activate(key.lower().replace("-", " ")))


async def test_a_refresh_gives_a_fresh_file_and_counts_members(world: LicenseWorld) -> None:
    _, key = await world.issued(seats=25)
    await world.does(world.activate(key))
    world.passes(days=20)
    result = await world.does(world.refresh(key, members=18))
    state = await world.checks(result["license_file"])
    assert (state, state.until) == ("valid", world.now + timedelta(days=30))
    (activation,) = result["license"]["activations"]
    assert (activation["members"], activation["refreshed_at"]) == (18, "2026-02-04T12:00:00Z")
    assert result["license"] == await world.license(license_key=key)
    assert (await world.events())[-1] == ("changedV1", result["license"])
    await world.does(world.refresh(key, members=18))
    await world.does(world.refresh(key))
    assert (await world.license(license_key=key))["activations"][0]["members"] == 18
    assert await world.names() == ["issuedV1", "activatedV1", "changedV1"], "nothing to tell"


async def test_a_machine_that_is_not_activated_is_not_refreshed(world: LicenseWorld) -> None:
    _, key = await world.issued()
    assert await world.refuses(world.refresh(key)) == ("not_activated", {"instance_id": "host-1"})
    await world.does(world.activate(key))
    await world.does(world.deactivate(key))
    assert (await world.refuses(world.refresh(key)))[0] == "not_activated"


async def test_many_machines_refresh_together_and_each_gets_its_own_file(world: LicenseWorld) -> None:
    _, key = await world.issued(instances=30)
    _, other = await world.issued(instances=1)
    for number in range(20):
        await world.does(world.activate(key, f"host-{number}"))
    await world.does(world.activate(other, "host-0"))
    commands = [world.refresh(key, f"host-{number}", members=number) for number in range(25)]
    commands += [world.refresh(other, "host-0"), world.refresh("TSL-1", "host-0")]
    outcomes = await asyncio.gather(*(world.bound.handle(command, world.now) for command in commands))
    files = [outcome.result["license_file"] for outcome in outcomes if outcome.result]
    codes = [outcome.error.code for outcome in outcomes if outcome.error]
    assert (len(set(files)), codes) == (21, ["not_activated"] * 5 + ["license_key_invalid"])
    for number, outcome in enumerate(outcomes[:20]):
        assert outcome.result is not None
        assert await world.checks(str(outcome.result["license_file"]), f"host-{number}") == "valid"
    known = (await world.license(license_key=key))["activations"]
    assert sorted(one["members"] for one in known) == list(range(20))


async def test_a_thousand_machines_refresh_at_once(world: LicenseWorld) -> None:
    # Twenty licenses with fifty machines each.
    keys = [(await world.issued(instances=50))[1] for _ in range(20)]
    await world.does(world.activate(keys[0], "first"))
    await world.does(world.deactivate(keys[0], "first"))
    await world.bound.rows(
        """INSERT INTO licenses.activations
            (license_id, instance_id, activated_at, refreshed_at, not_after, grace_until)
            SELECT license_id, 'host-' || n, %s, %s, %s, %s
            FROM licenses.licenses, generate_series(0, 49) AS n RETURNING 1""",
        *[NOON, NOON, NOON + timedelta(days=30), NOON + timedelta(days=44)],
    )
    world.passes(days=1)
    commands = [world.refresh(key, f"host-{number}", members=1) for number in range(50) for key in keys]
    outcomes = await asyncio.gather(*(world.bound.handle(command, world.now) for command in commands))
    files = {str(outcome.result["license_file"]) for outcome in outcomes if outcome.result}
    assert len(files) == 1_000
    read = [(await world.checks(file, _instance_of(file))).license for file in itertools.islice(files, 25)]
    assert {one.not_after for one in read} == {world.now + timedelta(days=30)}
    rows = await world.bound.rows("SELECT license_id, file_sequence AS files FROM licenses.licenses")
    assert sorted(row["files"] for row in rows) == [50] * 19 + [51]
    versions: dict[str, list[int]] = {}
    for _, snapshot in await world.events():
        versions.setdefault(snapshot["license_id"], []).append(snapshot["version"])
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    last = (await world.license(license_key=keys[7]))["activations"]
    assert [one["members"] for one in last] == [1] * 50


def _instance_of(file: str) -> str:
    payload = file.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["instance_id"])


async def test_a_silent_machine_gives_its_place_to_another(world: LicenseWorld) -> None:
    _, key = await world.issued()
    await world.does(world.activate(key, "host-1"))
    world.passes(days=44, seconds=-1)
    assert (await world.refuses(world.activate(key, "host-2")))[0] == "license_in_use"
    world.passes(seconds=1)
    moved = await world.does(world.activate(key, "host-2"))
    assert [one["instance_id"] for one in moved["license"]["activations"]] == ["host-2"]
    assert await world.names() == ["issuedV1", "activatedV1", "deactivatedV1", "activatedV1"]


async def test_a_job_forgets_silent_machines(world: LicenseWorld) -> None:
    _, key = await world.issued(instances=2)
    await world.does(world.activate(key, "host-1"))
    world.passes(days=10)
    await world.does(world.activate(key, "host-2"))
    world.passes(days=34, seconds=-1)
    await world.bound.tick("forget_silent_instances", world.now)
    assert len((await world.license(license_key=key))["activations"]) == 2
    world.passes(seconds=1)
    for _ in range(2):
        await world.bound.tick("forget_silent_instances", world.now)
    left = (await world.license(license_key=key))["activations"]
    assert [one["instance_id"] for one in left] == ["host-2"]
    assert (await world.names()).count("deactivatedV1") == 1


async def test_a_license_by_hand_has_its_own_terms(world: LicenseWorld) -> None:
    license, _ = await world.issued(seats=5, features={"projects": 7}, instances=3)  # noqa: A001
    assert (license["seats"], license["features"], license["instances"]) == (5, {"projects": 7}, 3)
    plain, _ = await world.issued()
    assert (plain["seats"], plain["features"], plain["instances"]) == (None, FEATURES, 1)
    code, details = await world.refuses(world.issue(product="nothing"))
    assert (code, details) == ("unknown_product", {"product": "nothing"})
    past = world.issue(expires_at=NOON - timedelta(seconds=1))
    assert (await world.refuses(past))[0] == "invalid_message"


async def test_a_license_id_may_stand_for_the_key(world: LicenseWorld) -> None:
    license, _ = await world.issued()  # noqa: A001
    by_id = {"license_id": license["license_id"]}
    instance = m.Instance(instance_id="host-1")
    await world.does(m.ActivateLicense(command_id="a", instance=instance, **by_id))
    await world.does(m.RefreshLicense(command_id="b", instance_id="host-1", **by_id))
    await world.does(m.DeactivateLicense(command_id="c", instance_id="host-1", **by_id))
    unknown = m.RefreshLicense(command_id="d", instance_id="host-1", license_id="lic_0")
    assert (await world.refuses(unknown))[0] == "not_found"
    with pytest.raises(ValueError, match="either license_key or license_id"):
        m.ActivateLicense(command_id="e", instance=instance)
