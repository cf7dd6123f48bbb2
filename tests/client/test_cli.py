"""The command line client, run in this process against a real NATS."""

import asyncio
import contextlib
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsClient

import tallystick
from shared.operations.jetstream_layout import load_layout
from shared.operations.provision import LAYOUT_PATH
from tallystick.cli import main
from tallystick.cli.checks import jetstream
from tests.support.client import answer, emit, subscription_event
from tests.support.servers import NatsServer

DEAD_LETTER = {
    "Billing-Origin-Subject": "billing.commands.webhooks.replay",
    "Billing-Origin-Stream": "BILLING_COMMANDS",
    "Billing-Service": "webhooks",
    "Billing-Handler": "replay",
    "Billing-Attempts": "10",
    "Billing-Error": "it would not do",
    "Billing-Failed-At": "2026-02-01T00:00:00+00:00",
    "traceparent": "00-1",
}


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_here(*arguments: str) -> Run:
    """Run the client with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    before = sys.argv
    sys.argv = ["tallystick", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return Run(code, out.getvalue(), " ".join(err.getvalue().split()))


Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A directory without endpoints, and an environment that says nothing."""
    for name in ("NATS_URL", "DATABASE_URL", "NATS_MONITOR_URL", "SUBJECT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(provisioned: NatsServer, tmp_path: Path) -> Command:
    """Run the client concurrently with the test, with an endpoints file as `./dev up` writes it."""
    endpoints = tmp_path / "endpoints.json"
    document = {
        "nats": provisioned.users["client"],
        "nats_users": provisioned.users,
        "nats_monitor": provisioned.monitor_url,
    }
    endpoints.write_text(json.dumps(document))

    async def run(*arguments: str) -> Run:
        return await asyncio.to_thread(run_here, *arguments, "--endpoints", str(endpoints))

    return run


async def test_a_request_prints_its_outcome_as_json(run: Command, admin: NatsClient) -> None:
    result: dict[str, Any] = {"allowed": True, "quantity": None, "sources": [], "expires_at": None}
    asked = await answer(
        admin, "billing.requests.subscriptions.check_entitlement", {"status": "succeeded", "result": result}
    )
    done = await run(
        "request", "subscriptions.check_entitlement", "customer=organization_acme", "feature=exports"
    )
    assert (done.code, done.json) == (0, {"status": "succeeded", "result": result})
    assert asked == [{"customer": {"type": "organization", "id": "acme"}, "feature": "exports"}]


async def test_a_command_gets_an_id_and_takes_json(run: Command, admin: NatsClient) -> None:
    asked = await answer(
        admin, "billing.requests.webhooks.replay", {"status": "succeeded", "result": {"replayed": 2}}
    )
    done = await run("request", "webhooks", "replay", '{"event_ids": ["evt_1", "evt_2"]}')
    assert done.code == 0
    assert asked[0].pop("command_id").startswith("cli-")
    assert asked == [{"event_ids": ["evt_1", "evt_2"]}]


async def test_lists_and_chosen_ids_are_understood(run: Command, admin: NatsClient) -> None:
    asked = await answer(
        admin, "billing.requests.webhooks.replay", {"status": "succeeded", "result": {"replayed": 2}}
    )
    await run("request", "webhooks.replay", "event_ids=evt_1,evt_2", "--id", "mine")
    assert asked == [{"command_id": "mine", "event_ids": ["evt_1", "evt_2"]}]


async def test_fields_come_from_a_file(run: Command, admin: NatsClient, tmp_path: Path) -> None:
    asked = await answer(
        admin,
        "billing.requests.webhooks.reconcile",
        {"status": "succeeded", "result": {"listed": 0, "ingested": 0}},
    )
    (tmp_path / "reconcile.yaml").write_text("command_id: r-1\nsince: 2026-02-01T00:00:00Z\n")
    assert (await run("request", "webhooks.reconcile", f"@{tmp_path}/reconcile.yaml")).code == 0
    assert asked == [{"command_id": "r-1", "since": "2026-02-01T00:00:00Z"}]


async def test_wrong_fields_are_named_and_nothing_is_sent(run: Command, admin: NatsClient) -> None:
    asked = await answer(admin, "billing.requests.subscriptions.check_entitlement", b"{}")
    done = await run(
        "request", "subscriptions.check_entitlement", "customer=acme", "feature=no good", "featur=1"
    )
    assert done.code == 2
    assert "no customer; write user_7 or organization_acme" in done.err
    assert "did you mean feature?" in done.err
    assert "String should match pattern" in done.err
    assert asked == []


async def test_an_unknown_message_gets_a_suggestion(run: Command) -> None:
    done = await run("request", "subscriptions.get_catalogue")
    assert done.code == 2
    assert "Did you mean subscriptions.get_catalog" in done.err


async def test_a_rejection_is_printed_and_is_a_failure(run: Command, admin: NatsClient) -> None:
    error = {"code": "not_found", "message": "There is no event evt_1.", "details": {}}
    await answer(admin, "billing.requests.webhooks.get_event", {"status": "rejected", "error": error})
    done = await run("request", "webhooks.get_event", "event_id=evt_1")
    assert (done.code, done.json["error"]["code"]) == (1, "not_found")
    assert done.err == "✗ rejected: not_found: There is no event evt_1."


async def test_nobody_there_is_another_exit_code(run: Command) -> None:
    done = await run("request", "webhooks.get_event", "event_id=evt_1", "--deadline", "0.2")
    assert done.code == 3
    assert "nobody listens there" in done.err


async def test_send_queues_a_command_once(run: Command, admin: NatsClient) -> None:
    arguments = ("send", "webhooks.replay", "event_ids=evt_1", "--id", "r-1")
    assert (await run(*arguments)).json == {"command_id": "r-1", "sequence": 1, "duplicate": False}
    assert (await run(*arguments)).json == {"command_id": "r-1", "sequence": 1, "duplicate": True}
    assert (await admin.jetstream().stream_info("BILLING_COMMANDS")).state.messages == 1


async def test_a_question_cannot_be_queued(run: Command) -> None:
    done = await run("send", "webhooks.get_event", "event_id=evt_1")
    assert done.code == 2
    assert "questions cannot be queued" in done.err


async def test_watch_shows_one_line_an_event(run: Command, admin: NatsClient) -> None:
    await emit(admin, subscription_event(1), event="createdV1")
    await emit(admin, subscription_event(1, "sub_2"), event="createdV1", customer="user_7")
    await emit(admin, subscription_event(2), event="canceledV1")
    done = await run("watch", "--since", "all", "--customer", "organization_acme", "--limit", "2")
    first, second = done.out.splitlines()
    assert "subscription.created" in first
    assert "organization_acme" in first
    assert "active · no items · sub_1" in first
    assert "subscription.canceled" in second
    assert "v2" in second


async def test_watch_prints_json_for_programs(run: Command, admin: NatsClient) -> None:
    await emit(admin, subscription_event(1), event="createdV1")
    done = await run("watch", "--since", "1h", "--json", "--limit", "1")
    assert done.json["subject"] == "billing.change_feed.subscription.organization_acme.createdV1"
    assert done.json["body"] == subscription_event(1)


async def test_a_dead_letter_is_listed_shown_and_sent_back(run: Command, admin: NatsClient) -> None:
    jetstream = admin.jetstream()
    await jetstream.publish("billing.dead_letters.webhooks.replay", b'{"a": 1}', headers=dict(DEAD_LETTER))
    await jetstream.publish(
        "billing.dead_letters.seats.assign_seat", b"x", headers={**DEAD_LETTER, "Billing-Service": "seats"}
    )
    listed = await run("dead-letters", "list", "--service", "webhooks")
    assert [json.loads(line)["number"] for line in listed.out.splitlines()] == [1]
    assert (await run("dead-letters", "show", "1")).json == {
        "number": 1,
        "headers": {**DEAD_LETTER},
        "body": {"a": 1},
    }
    done = await run("dead-letters", "retry", "1")
    assert (done.code, done.out) == (0, "✓ 1 sent back\n")
    back = await jetstream.get_msg("BILLING_COMMANDS", seq=1)
    assert (back.subject, back.data) == ("billing.commands.webhooks.replay", b'{"a": 1}')
    assert back.headers is not None
    assert back.headers["traceparent"] == "00-1"
    assert not any(name.startswith("Billing-") for name in back.headers)
    left = await run("dead-letters", "list")
    assert [json.loads(line)["number"] for line in left.out.splitlines()] == [2]
    assert (await run("dead-letters", "show", "1")).code == 2


async def test_no_dead_letters_are_no_lines(run: Command) -> None:
    assert (await run("dead-letters", "list")).out == ""
    assert (await run("dead-letters", "retry", "--all")).out == "✓ 0 sent back\n"


async def test_dead_letters_are_retried_by_number_or_by_handler(run: Command, admin: NatsClient) -> None:
    for handler in ("replay", "reconcile", "replay"):
        headers = {**DEAD_LETTER, "Billing-Handler": handler}
        await admin.jetstream().publish(f"billing.dead_letters.webhooks.{handler}", b"{}", headers=headers)
    assert (await run("dead-letters", "retry", "1", "--handler", "reconcile")).code == 2
    done = await run("dead-letters", "retry", "--all", "--service", "webhooks", "--handler", "replay")
    assert (done.code, done.out) == (0, "✓ 2 sent back\n")
    left = await run("dead-letters", "list")
    assert [json.loads(line)["number"] for line in left.out.splitlines()] == [2]


async def test_replay_names_events_or_a_span(run: Command, admin: NatsClient) -> None:
    asked = await answer(
        admin, "billing.requests.webhooks.replay", {"status": "succeeded", "result": {"replayed": 1}}
    )
    done = await run("replay", "--stripe-events", "--event", "evt_1")
    assert done.out == "✓ 1 Stripe events are published again\n"
    assert asked[0]["event_ids"] == ["evt_1"]
    await run(
        "replay", "--stripe-events", "--since", "2026-02-01T00:00:00Z", "--until", "2026-02-02T00:00:00Z"
    )
    assert (asked[1]["since"], asked[1]["until"]) == ("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z")
    await run(
        "replay", "--stripe-events", "--since", "7d", "--type", "invoice.paid", "--type", "invoice.voided"
    )
    assert asked[2]["types"] == ["invoice.paid", "invoice.voided"]
    assert (await run("replay", "--stripe-events")).code == 2
    for span in (("--until", "1h"), ("--type", "invoice.paid")):
        assert (await run("replay", "--stripe-events", "--event", "evt_1", *span)).code == 2
    assert len(asked) == 3
    assert (await run("replay")).code == 2


async def test_a_catalog_is_applied_and_its_problems_are_named(
    run: Command, admin: NatsClient, tmp_path: Path
) -> None:
    changes = {"products": {"created": ["pro"], "updated": [], "archived": []}}
    problem = {"path": "products[0].code", "problem": "is used twice"}
    asked = await answer(
        admin,
        "billing.requests.subscriptions.apply_catalog",
        {"status": "succeeded", "result": {"changes": changes}},
        {"status": "rejected", "error": {"code": "invalid_catalog", "message": "", "details": [problem]}},
    )
    file = tmp_path / "catalog.yaml"
    file.write_text("products: [{code: pro, name: Pro, kind: plan}]\n")
    done = await run("catalog", "apply", str(file))
    assert (done.code, done.json["changes"]["products"]["created"]) == (0, ["pro"])
    refused = await run("catalog", "apply", str(file))
    assert refused.code == 1
    assert "invalid_catalog" in refused.err
    assert "products[0].code is used twice" in refused.err
    first, second = (body["command_id"] for body in asked)
    # The same content is recognisable, and still takes effect each time.
    assert first != second
    assert first[: len("catalog-") + 16] == second[: len("catalog-") + 16]


async def test_the_doctor_finds_what_is_not_running(run: Command) -> None:
    done = await run("doctor")
    found = {each["what"].strip(): each for each in done.json}
    assert done.code == 1
    assert found["NATS"]["level"] == "good"
    assert found["JetStream writes to disk"]["level"] == "good"
    assert found["BILLING_CHANGE_FEED"]["level"] == "good"
    assert found["Postgres"]["level"] == "unknown"
    assert found["webhooks-commands"]["level"] == "broken"
    assert "nobody reads it" in found["webhooks-commands"]["detail"]
    assert found["subscriptions"]["level"] == "broken"
    assert "python -m services.subscriptions.app" in found["subscriptions"]["advice"]


async def test_the_doctor_finds_what_is_missing(run: Command, admin: NatsClient) -> None:
    await admin.jetstream().delete_stream("KV_billing_entitlements")
    await admin.jetstream().delete_consumer("BILLING_COMMANDS", "webhooks-commands")
    await admin.jetstream().delete_consumer("BILLING_SERVICE_FEED", "seats-feed")
    await admin.jetstream().delete_consumer("BILLING_TICKS", "subscriptions-ticks")
    found = {each["what"].strip(): each for each in (await run("doctor")).json}
    assert found["KV_billing_entitlements"]["detail"] == "is missing"
    for consumer in ("webhooks-commands", "seats-feed", "subscriptions-ticks"):
        assert found[consumer]["detail"] == "is missing: its service hears nothing from there"


def test_the_doctor_knows_every_provisioned_stream_and_consumer() -> None:
    layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks")
    assert set(jetstream.STREAMS) == set(layout.streams)
    known = {name: stream for stream, names in jetstream.CONSUMERS.items() for name in names}
    assert known == {name: stream for name, (stream, _) in layout.consumers.items()}


def test_not_knowing_where_is_said_with_a_way_out() -> None:
    done = run_here("watch")
    assert done.code == 2
    assert (
        "There is no .tallystick/endpoints.json (run `./dev up` here), and NATS_URL is not set." in done.err
    )


def test_an_absent_server_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://client:secret@127.0.0.1:1")
    done = run_here("doctor")
    assert done.code == 1
    assert "does not answer" in done.out
    watched = run_here("watch")
    assert watched.code == 3
    assert "secret" not in done.out + watched.err


def test_every_message_can_be_described() -> None:
    listed = run_here("messages").out
    assert "webhooks.replay" in listed
    # Descriptions run on over several lines; a name stands at the beginning of one.
    names = re.findall(r"^ *([a-z]+\.[a-z_]+) ", listed, re.MULTILINE)
    assert len(names) > 60
    for name in names:
        assert run_here("messages", name).code == 0, name


def test_the_package_offers_what_it_says() -> None:
    assert all(hasattr(tallystick, name) for name in tallystick.__all__)
