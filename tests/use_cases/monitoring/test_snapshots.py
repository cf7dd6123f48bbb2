"""Snapshots: one a UTC day, replaced on the same day, with everything that is known."""

from datetime import timedelta

from tallystick.messages import monitoring as m
from tests.support.worlds.monitoring import BEGIN, MonitoringWorld

NOTHING = {"capacity": 0, "occupied": 0, "pending": 0, "claimed": 0}


async def test_an_empty_system_has_a_snapshot_of_nothing(monitored: MonitoringWorld) -> None:
    snapshot = await monitored.captures(BEGIN)
    assert snapshot["day"] == "2026-01-01"
    assert (snapshot["customers"], snapshot["subscriptions"], snapshot["products"]) == (0, {}, {})
    assert (snapshot["seats"], snapshot["mrr"], snapshot["resources"]) == (NOTHING, {}, {})


async def test_a_snapshot_counts_what_was_heard(monitored: MonitoringWorld) -> None:
    acme = await monitored.registers("acme")
    await monitored.registers("globex")
    await monitored.opens_team(acme, capacity=6, occupied=2)
    await monitored.hears_all_again()
    snapshot = await monitored.captures(BEGIN)
    assert snapshot["customers"] == 2
    assert snapshot["seats"] == {**NOTHING, "capacity": 6, "occupied": 2}


async def test_the_same_day_is_replaced_and_told_again(monitored: MonitoringWorld) -> None:
    first = await monitored.captures(BEGIN)
    await monitored.registers("acme")
    second = await monitored.captures(BEGIN + timedelta(hours=23, minutes=59))
    assert (first["snapshot_id"], first["version"]) == (second["snapshot_id"], 1)
    assert (second["version"], second["customers"]) == (2, 1)
    await monitored.bound.tick("capture_snapshot", BEGIN + timedelta(days=1))
    listed = (await monitored.asks(m.ListSnapshots()))["items"]
    assert [(one["day"], one["version"]) for one in listed] == [("2026-01-02", 1), ("2026-01-01", 2)]
    feed = await monitored.bound.feed()
    assert {subject for subject, _ in feed} == {"billing.change_feed.snapshot.platform_monitoring.capturedV1"}
    assert [(body["snapshot"]["day"], body["version"]) for _, body in feed] == [
        ("2026-01-01", 1),
        ("2026-01-01", 2),
        ("2026-01-02", 1),
    ]


async def test_snapshots_are_listed_in_pages_and_between_moments(monitored: MonitoringWorld) -> None:
    for day in range(5):
        await monitored.captures(BEGIN + timedelta(days=day))
    page = await monitored.asks(m.ListSnapshots(limit=2))
    assert [one["day"] for one in page["items"]] == ["2026-01-05", "2026-01-04"]
    page = await monitored.asks(m.ListSnapshots(limit=3, cursor=page["next_cursor"]))
    assert [one["day"] for one in page["items"]] == ["2026-01-03", "2026-01-02", "2026-01-01"]
    assert page["next_cursor"] is None
    between = m.ListSnapshots(since=BEGIN + timedelta(days=1), until=BEGIN + timedelta(days=3))
    assert [one["day"] for one in (await monitored.asks(between))["items"]] == ["2026-01-03", "2026-01-02"]


async def test_a_reported_resource_joins_the_snapshots_from_its_day_on(monitored: MonitoringWorld) -> None:
    async def reports(value: float, at_hours: int) -> dict[str, object]:
        command = m.ReportResource(
            command_id=monitored.command_id(),
            resource="storage",
            value=value,
            unit="GB",
            at=BEGIN + timedelta(hours=at_hours),
        )
        found: dict[str, object] = (await monitored.does(command))["resource"]
        return found

    assert (await reports(412.5, 20))["value"] == 412.5
    # An older reading of the same day comes late and changes nothing.
    assert (await reports(400, 3))["value"] == 412.5
    await reports(420, 44)
    assert (await monitored.captures(BEGIN - timedelta(days=1)))["resources"] == {}
    assert (await monitored.captures(BEGIN))["resources"]["storage"]["value"] == 412.5
    assert (await monitored.captures(BEGIN + timedelta(days=9)))["resources"]["storage"]["value"] == 420
