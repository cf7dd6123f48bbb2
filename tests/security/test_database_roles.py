"""A service's role cannot change append-only rows or use up all connections; locks are documented."""

import re
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from shared.operations.provision import provision_database
from shared.persistence.migrations import service_names
from tests.support.runtime import ROLE_PASSWORD, role_url

ROOT = Path(__file__).parents[2]
EVENT = """
    INSERT INTO webhooks.stripe_events (event_id, type, status, created_at, received_at, payload)
    VALUES ('evt_1', 'invoice.paid', 'received', now(), now(), '{}')
"""
SUM = """
    INSERT INTO consumables.closed_entries (account, feature, kind, quantity)
    VALUES ('team:team_1', 'hours', 'granted', 5)
"""


def test_an_event_of_stripes_stays_as_it_was_stored(service_database: str) -> None:
    with psycopg.connect(role_url(service_database, "webhooks"), autocommit=True) as role:
        role.execute(EVENT)
        for statement in (
            "DELETE FROM webhooks.stripe_events",
            "TRUNCATE webhooks.stripe_events",
            "UPDATE webhooks.stripe_events SET payload = ''",
            "UPDATE webhooks.stripe_events SET event_id = 'evt_2'",
            "UPDATE webhooks.stripe_events SET type = 'invoice.voided'",
            "UPDATE webhooks.stripe_events SET received_at = now()",
            "UPDATE webhooks.stripe_events SET created_at = now(), status = 'applied'",
            "INSERT INTO webhooks.stripe_events SELECT * FROM webhooks.stripe_events"
            " ON CONFLICT (event_id) DO UPDATE SET payload = ''",
            "ALTER TABLE webhooks.stripe_events DISABLE TRIGGER ALL",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                role.execute(statement)
        role.execute("SELECT FROM webhooks.stripe_events FOR UPDATE")
        role.execute("UPDATE webhooks.stripe_events SET status = 'failed', attempts = 3, last_error = 'x'")
        row = role.execute(
            "SELECT event_id, payload, status, attempts FROM webhooks.stripe_events"
        ).fetchone()
    assert row == ("evt_1", b"{}", "failed", 3)


def test_the_sums_of_the_ledger_are_the_owners_to_write(service_database: str) -> None:
    with psycopg.connect(service_database, autocommit=True) as owner:
        owner.execute(SUM)
    with psycopg.connect(role_url(service_database, "consumables"), autocommit=True) as role:
        for statement in (
            SUM.replace("team_1", "team_2"),
            "UPDATE consumables.closed_entries SET quantity = 7",
            "DELETE FROM consumables.closed_entries",
            "TRUNCATE consumables.closed_entries",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                role.execute(statement)
        assert role.execute("SELECT quantity FROM consumables.closed_entries").fetchone() == (5,)


def test_rights_of_an_older_installation_are_taken_back(service_database: str) -> None:
    with psycopg.connect(service_database, autocommit=True) as owner:
        owner.execute("GRANT ALL ON webhooks.stripe_events TO tallystick_webhooks")
        owner.execute("GRANT UPDATE (payload) ON webhooks.stripe_events TO tallystick_webhooks")
    provision_database(service_database, {"webhooks": ROLE_PASSWORD})
    with psycopg.connect(role_url(service_database, "webhooks"), autocommit=True) as role:
        for statement in (
            "DELETE FROM webhooks.stripe_events",
            "UPDATE webhooks.stripe_events SET payload = ''",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                role.execute(statement)


def test_a_role_has_the_connections_of_its_replicas_and_no_more(service_database: str) -> None:
    # A pool of 16, a relay and an ingress: 18 a worker, and four workers where nothing else is said.
    limits = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname LIKE 'tallystick\\_%'"
    wanted = {f"tallystick_{service}": 72 for service in service_names()}
    with psycopg.connect(service_database, autocommit=True) as owner:
        assert dict(owner.execute(limits).fetchall()) == wanted
        provision_database(service_database, {"seats": ROLE_PASSWORD}, replicas=1)
        try:
            assert dict(owner.execute(limits).fetchall()) == wanted | {"tallystick_seats": 18}
            url = role_url(service_database, "seats")
            with ExitStack() as opened:
                for _ in range(18):
                    opened.enter_context(psycopg.connect(url))
                with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
                    psycopg.connect(url)
                # Others are not kept waiting.
                opened.enter_context(psycopg.connect(role_url(service_database, "webhooks")))
        finally:
            provision_database(service_database, {"seats": ROLE_PASSWORD})


def test_every_advisory_lock_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "guides" / "operations.md").read_text()
    table = guide.partition("## Advisory locks")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`((?:services|shared)/[\w/]+\.py)`", table))
    sources = [path for top in ("services", "shared") for path in (ROOT / top).rglob("*.py")]
    used = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if re.search(r"pg_(try_)?advisory_(xact_)?lock", path.read_text())
    }
    assert documented == used
    assert len(used) >= 8
