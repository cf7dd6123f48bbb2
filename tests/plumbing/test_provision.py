"""Provisioning: each role has its own schema, the audit trail is append-only, twice is once."""

import importlib
from pathlib import Path

import nats
import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from psycopg import errors

from sandbox.nats import DEPLOY_CONFIGURATION, Nats, users
from sandbox.ports import free_port
from shared.operations.provision import check_sync_always, provision_database, provision_nats
from shared.persistence.migrations import alembic_config, service_names
from shared.settings import sqlalchemy_url
from tests.support.runtime import ROLE_PASSWORD, role_url
from tests.support.servers import NatsServer, scratch_directory

SERVICES = service_names()
OTHERS = [(one, other) for one in SERVICES for other in SERVICES if one != other]


@pytest.mark.parametrize(("service", "other"), OTHERS)
def test_a_services_role_cannot_see_another_schema(service_database: str, service: str, other: str) -> None:
    with psycopg.connect(role_url(service_database, service), autocommit=True) as connection:
        for statement in (
            f"SELECT * FROM {other}.inbox",
            f"INSERT INTO {other}.relay_position DEFAULT VALUES",
            f"CREATE TABLE {other}.mine (id int)",
            "CREATE TABLE public.mine (id int)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_adds_to_its_outbox_and_never_changes_it(service_database: str, service: str) -> None:
    with psycopg.connect(role_url(service_database, service), autocommit=True) as connection:
        connection.execute(
            f"""INSERT INTO {service}.outbox
                    (message_id, stream, subject, headers, payload, caused_by, occurred_at)
                VALUES ('m', 's', 'x', '{{}}', '', 'test', now())"""
        )
        for statement in (
            f"UPDATE {service}.outbox SET subject = 'y'",
            f"DELETE FROM {service}.outbox",
            f"TRUNCATE {service}.outbox",
            f"DROP TABLE {service}.outbox",
            f"ALTER TABLE {service}.outbox ADD COLUMN mine int",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_ledger_only_grows(service_database: str) -> None:
    changes = (
        "UPDATE consumables.entries SET quantity = 7",
        "DELETE FROM consumables.entries",
        "TRUNCATE consumables.entries",
        "ALTER TABLE consumables.entries DISABLE TRIGGER append_only",
    )
    with psycopg.connect(role_url(service_database, "consumables"), autocommit=True) as connection:
        connection.execute(
            """INSERT INTO consumables.entries
                   (entry_id, account, feature, grant_id, kind, quantity, caused_by, occurred_at)
               VALUES ('entry_1', 'team:team_1', 'hours', 'grant_1', 'granted', 5, 'test', now())"""
        )
        for statement in changes:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
    with psycopg.connect(service_database, autocommit=True) as owner:
        for statement in changes[:2]:
            with pytest.raises(errors.RaiseException, match="the ledger only grows"):
                owner.execute(statement)


def test_provisioning_again_keeps_what_is_there(service_database: str) -> None:
    with psycopg.connect(service_database, autocommit=True) as owner:
        owner.execute("UPDATE subscriptions.relay_position SET published = '7:7:'")
    provision_database(service_database, dict.fromkeys(SERVICES, ROLE_PASSWORD))
    with psycopg.connect(service_database) as owner:
        row = owner.execute("SELECT published::text FROM subscriptions.relay_position").fetchone()
    assert row == ("7:7:",)


@pytest.mark.parametrize("service", SERVICES)
def test_the_tables_are_those_that_the_code_declares(service_database: str, service: str) -> None:
    importlib.import_module(f"services.{service}.app")
    engine = sa.create_engine(sqlalchemy_url(service_database))
    config = alembic_config(service)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.check(config)
    except CommandError as error:
        pytest.fail(f"{service}: the migrations and the rows differ: {error}")
    finally:
        engine.dispose()


class Hasty(Nats):
    """A NATS that acknowledges before it syncs to the disk."""

    def _configuration(self) -> Path:
        copy = self.store / "nats.conf"
        copy.write_text(DEPLOY_CONFIGURATION.read_text().replace("sync_interval: always", ""))
        return copy


async def test_provisioning_needs_a_nats_that_syncs_before_it_acks() -> None:
    passwords = {user: f"test-{user}" for user in users()}
    with scratch_directory("nats") as directory:
        hasty = Hasty(directory / "store", free_port(), free_port(), passwords)
        child = hasty.start(directory / "log")
        try:
            with pytest.raises(SystemExit, match="sync_interval: always"):
                await provision_nats(
                    hasty.url("admin"),
                    prefix="billing",
                    webhook_subject="tunnel.webhooks",
                    monitor_url=hasty.monitor_url,
                )
            connection = await nats.connect(hasty.url("admin"), inbox_prefix=b"_INBOX_admin")
            assert await connection.jetstream().streams_info() == []
            await connection.close()
        finally:
            child.stop()


async def test_streams_are_provisioned_twice_without_a_change(nats_server: NatsServer) -> None:
    if nats_server.monitor_url:
        await check_sync_always(nats_server.monitor_url)
    for _ in range(2):
        await provision_nats(
            nats_server.url, prefix="billing", webhook_subject="tunnel.webhooks", monitor_url=None
        )
