"""A user added by `./dev nats-user` can do what was asked for and nothing else; its consumers are its own."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import api

import tallystick
from sandbox.nats import DEPLOY_CONFIGURATION, Nats, password_owners, users
from sandbox.ports import free_port
from shared.operations.nats_user import NatsUser, NotPossible, account_block, main, with_user
from tests.support.client import emit, subscription_event
from tests.support.nats_permissions import acting_as
from tests.support.servers import NatsServer, scratch_directory
from tests.support.waiting import eventually

REPORTS = NatsUser("reports", ["billing.requests.seats.get_team"], ["subscription", "invoice"])
CRM = NatsUser("crm", [], ["all"])
DURABLE = "reports-subscription"
FILTER = "billing.change_feed.subscription.*.*"
API = "$JS.API.CONSUMER"
SECONDS = 1.0


@pytest.fixture(scope="module")
def with_teams() -> Iterator[NatsServer]:
    """A NATS whose configuration has two more users."""
    passwords = {user: f"test-{user}" for user in [*password_owners(), REPORTS.name, CRM.name]}
    with scratch_directory("nats") as directory:
        configuration = directory / "nats.conf"
        configuration.write_text(with_user(with_user(DEPLOY_CONFIGURATION.read_text(), REPORTS), CRM))
        server = Nats(directory / "store", free_port(), free_port(), passwords, configuration=configuration)
        child = server.start(directory / "log")
        try:
            urls = {user: server.url(user) for user in users()}
            urls |= {
                name: f"nats://{name}:test-{name}@127.0.0.1:{server.port}" for name in ("reports", "crm")
            }
            yield NatsServer(urls, server.monitor_url, "embedded")
        finally:
            child.stop()


@pytest.fixture
async def server(with_teams: NatsServer) -> NatsServer:
    """That server with every stream, and one event of each of two entities."""
    await with_teams.reset()
    await with_teams.provision()
    connection = await nats.connect(with_teams.url, inbox_prefix=b"_INBOX_admin")
    await emit(connection, subscription_event(1), event="createdV1")
    await emit(connection, {"version": 1, "licence": {"licence_id": "lic_1"}}, entity="licence")
    await connection.close()
    return with_teams


@pytest.fixture
async def reports(server: NatsServer) -> AsyncIterator[Client]:
    """The team's plain connection."""
    connection = await nats.connect(server.users["reports"], inbox_prefix=b"_INBOX_reports")
    yield connection
    await connection.close()


async def test_it_reads_what_it_asked_for_with_its_own_durable(reports: Client) -> None:
    jetstream = reports.jetstream(timeout=SECONDS)
    await jetstream.add_consumer(
        "BILLING_CHANGE_FEED",
        api.ConsumerConfig(name=DURABLE, durable_name=DURABLE, filter_subject=FILTER),
    )
    pulled = await jetstream.pull_subscribe_bind(DURABLE, "BILLING_CHANGE_FEED")

    async def arrived() -> bool:
        return (await pulled.consumer_info()).num_pending == 1  # the copy follows the feed

    await eventually(arrived)
    message = (await pulled.fetch(1, timeout=SECONDS))[0]
    assert message.subject == "billing.change_feed.subscription.organization_acme.createdV1"
    await message.ack_sync(timeout=SECONDS)
    assert (await pulled.consumer_info()).num_ack_pending == 0


@pytest.mark.parametrize("wider", [["billing.change_feed.>"], [FILTER, "billing.change_feed.customer.*.*"]])
async def test_its_durable_reads_no_other_entity(reports: Client, wider: list[str]) -> None:
    config: dict[str, object] = {"name": DURABLE, "durable_name": DURABLE, "ack_policy": "explicit"}
    config |= {"filter_subject": wider[0]} if len(wider) == 1 else {"filter_subjects": wider}
    request = {"stream_name": "BILLING_CHANGE_FEED", "config": config}
    subject = f"{API}.CREATE.BILLING_CHANGE_FEED.{DURABLE}.{FILTER}"
    answer = json.loads((await reports.request(subject, json.dumps(request).encode(), timeout=SECONDS)).data)
    assert "error" in answer, answer


async def test_the_client_follows_the_feed_as_this_user(server: NatsServer) -> None:
    async with tallystick.connect(server.users["crm"]) as client:
        async with client.events(durable="crm-all", start="all") as feed:
            assert [(await anext(feed)).entity for _ in range(2)] == ["subscription", "licence"]
        with pytest.raises(tallystick.ConsumerMismatch):
            await client.events(durable="crm-all", entity="subscription").open()


@pytest.mark.parametrize("user", ["client", "monitor", "crm"])
async def test_nobody_else_touches_its_consumers(server: NatsServer, user: str) -> None:
    stream = "BILLING_CHANGE_FEED"
    async with acting_as(server, user) as actor:
        for verb in ("INFO", "DELETE", "MSG.NEXT", "DURABLE.CREATE", "CREATE"):
            assert not await actor.may_publish(f"{API}.{verb}.{stream}.{DURABLE}"), verb
        assert not await actor.may_publish(f"{API}.CREATE.{stream}.{DURABLE}.{FILTER}")
        assert not await actor.may_publish(f"{API}.CREATE.{stream}.{DURABLE}.billing.change_feed.>")
        assert not await actor.may_publish(f"$JS.ACK.{stream}.{DURABLE}.1.1.1.1.0")


@pytest.mark.parametrize("user", ["client", "monitor"])
async def test_the_api_without_a_name_in_its_subject_does_not_lead_around_that(
    server: NatsServer, reports: Client, user: str
) -> None:
    jetstream = reports.jetstream(timeout=SECONDS)
    config = api.ConsumerConfig(name=DURABLE, durable_name=DURABLE, filter_subject=FILTER)
    await jetstream.add_consumer("BILLING_CHANGE_FEED", config)
    async with acting_as(server, user) as actor:
        for named in ({"name": DURABLE}, {"durable_name": DURABLE}):
            request = {"stream_name": "BILLING_CHANGE_FEED", "config": named | {"max_deliver": 1}}
            answer = await actor.client.request(
                f"{API}.CREATE.BILLING_CHANGE_FEED", json.dumps(request).encode(), timeout=SECONDS
            )
            created = json.loads(answer.data)
            assert "error" in created or created["name"] != DURABLE, created
    info = await jetstream.consumer_info("BILLING_CHANGE_FEED", DURABLE)
    assert info.config.filter_subject == FILTER
    assert info.config.max_deliver == -1


async def test_it_may_ask_what_it_was_given_and_nothing_else(server: NatsServer) -> None:
    async with acting_as(server, "reports") as actor:
        assert await actor.may_publish("billing.requests.seats.get_team")
        for subject in (
            "billing.requests.seats.list_seats",
            "billing.commands.seats.get_team",
            "billing.commands.subscriptions.cancel_subscription",
            f"{API}.CREATE.BILLING_CHANGE_FEED.reports-customer.billing.change_feed.customer.*.*",
            f"{API}.CREATE.BILLING_CHANGE_FEED",
            f"{API}.DELETE.BILLING_CHANGE_FEED.crm-all",
            f"{API}.MSG.NEXT.BILLING_CHANGE_FEED.crm-all",
            "$JS.API.STREAM.MSG.GET.BILLING_CHANGE_FEED",
            "$JS.API.DIRECT.GET.KV_billing_balances.x",
            "$KV.billing_balances.x",
        ):
            assert not await actor.may_publish(subject), subject
        assert await actor.may_subscribe("billing.change_feed.invoice.>")
        for subject in ("billing.change_feed.customer.>", "billing.change_feed.>", "_INBOX_client.>", ">"):
            assert not await actor.may_subscribe(subject), subject


async def test_its_question_reaches_the_worker_with_a_reply_that_leads_back_to_it(
    server: NatsServer, reports: Client
) -> None:
    worker = await nats.connect(server.users["seats"], inbox_prefix=b"_INBOX_seats")
    asked = await worker.subscribe("billing.requests.seats.*", queue="seats")
    await worker.flush()
    try:
        await eventually(lambda: _times_out(reports))
        question = await asked.next_msg(timeout=SECONDS)
        assert question.subject == "billing.requests.seats.get_team"
        assert question.reply.startswith("_R_.")
    finally:
        await worker.close()


async def _times_out(reports: Client) -> bool:
    """Ask what nobody answers; false while the other account does not know yet that somebody listens."""
    try:
        await reports.request("billing.requests.seats.get_team", b"{}", timeout=0.2)
    except NoRespondersError:
        return False
    except NatsTimeout:
        return True
    raise AssertionError("nobody was to answer")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Reports!", "consume": ["invoice"]},
        {"name": "reports"},
        {"name": "reports", "publish": ["billing.commands.>"]},
        {"name": "reports", "publish": ["$JS.API.STREAM.DELETE.BILLING_CHANGE_FEED"]},
        {"name": "reports", "publish": ["other.commands.seats.get_team"]},
        {"name": "reports", "consume": ["invoice.>"]},
    ],
)
def test_what_cannot_be_given_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(NotPossible):
        NatsUser(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "user",
    [
        NatsUser("client", consume=["all"]),
        NatsUser("seats_relay", consume=["all"]),
        NatsUser("reports", publish=["billing.commands.webhooks.record_outcome"]),
    ],
)
def test_existing_names_and_internal_messages_are_refused(user: NatsUser) -> None:
    with pytest.raises(NotPossible):
        with_user(DEPLOY_CONFIGURATION.read_text(), user)


def test_the_command_prints_the_block_or_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["reports", "--publish", *REPORTS.publish, "--consume", *REPORTS.consume]
    main(arguments)
    printed = capsys.readouterr().out
    assert account_block(REPORTS) in printed
    assert "NATS_REPORTS_PASSWORD" in printed
    file = tmp_path / "nats.conf"
    file.write_text(DEPLOY_CONFIGURATION.read_text())
    main([*arguments, "--write", str(file)])
    assert file.read_text() == with_user(DEPLOY_CONFIGURATION.read_text(), REPORTS)
    with pytest.raises(SystemExit):
        main([*arguments, "--write", str(file)])
