"""Sending: retries, failures, bounces, preferences, what is too old, and what comes again."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from sandbox.ports import free_port
from tallystick.messages import notifications as m
from tests.support.runtime import Bound
from tests.support.smtp_server import CUT, SmtpServer
from tests.support.worlds.notifications import ACME, NotificationsWorld, notifications_world


async def test_a_busy_server_is_tried_again_with_growing_delay(mails: NotificationsWorld) -> None:
    mails.smtp.replies_to_recipient = ["451 4.7.1 greylisted"] * 3
    await mails.hears(mails.seat(), "assigned")
    delays = []
    for _ in range(3):
        await mails.sends()
        (row,) = await mails.rows()
        assert row["status"] == "queued"
        delays.append((row["next_attempt_at"] - mails.now).total_seconds())
        mails.now = row["next_attempt_at"]
    assert delays == [10, 30, 60]
    await mails.sends()
    (row,) = await mails.rows()
    assert (row["status"], row["attempts"], row["last_error"]) == ("sent", 4, None)
    assert len(mails.smtp.mails) == 1


async def test_after_a_day_a_mail_has_failed(mails: NotificationsWorld) -> None:
    mails.smtp.replies_to_data = ["452 4.3.1 disk full"] * 100
    await mails.hears(mails.seat(), "assigned")
    start, tries = mails.now, 0
    while (row := (await mails.rows())[0])["status"] == "queued":
        mails.now = max(row["next_attempt_at"], mails.now)
        await mails.sends()
        tries += 1
    assert (row["status"], row["last_error"]) == ("failed", "452 4.3.1 disk full")
    assert mails.now - start == timedelta(hours=24)
    assert 10 <= tries <= 20
    assert await mails.names() == ["failedV1"]


@pytest.mark.parametrize(
    ("recipient", "data", "has_bounced"),
    [
        (["550 5.1.1 no such user"], [], True),
        (["550 5.7.1 blocked"], [], False),
        ([], ["554 5.6.0 refused"], False),
        ([], ["552 5.3.4 too big"], False),
    ],
)
async def test_a_permanent_refusal_fails_and_a_missing_mailbox_is_remembered(
    mails: NotificationsWorld, recipient: list[str], data: list[str], has_bounced: bool
) -> None:
    mails.smtp.replies_to_recipient, mails.smtp.replies_to_data = recipient, data
    await mails.hears(mails.customer(), "created")
    await mails.hears(mails.seat(version=2, status="claimed", claimed_at=mails.now), "claimed")
    await mails.sends()
    (row,) = await mails.rows()
    assert (row["status"], row["attempts"]) == ("failed", 1)
    await mails.hears(mails.seat(seat_id="seat_2", version=2, status="claimed"), "claimed")
    await mails.sends()
    second = (await mails.rows())[1]
    assert (second["status"], second["reason"]) == (
        ("suppressed", "bounced") if has_bounced else ("sent", None)
    )


async def test_an_address_that_is_set_again_is_tried_again(mails: NotificationsWorld) -> None:
    mails.smtp.replies_to_recipient = ["550 5.1.1 no such user"]
    await mails.hears(mails.customer(), "created")
    await mails.hears(mails.seat(version=2, status="claimed"), "claimed")
    await mails.sends()
    asked = m.GetPreferences(customer=ACME)
    assert (await mails.asks(asked))["preferences"]["bounced"]
    again = m.SetPreferences(command_id="p1", customer=ACME, email="billing@acme.example")
    assert not (await mails.does(again))["preferences"]["bounced"]
    await mails.hears(mails.seat(seat_id="seat_2", version=2, status="claimed"), "claimed")
    await mails.sends()
    assert len(mails.smtp.mails) == 1


async def test_a_line_cut_after_the_mail_was_taken_repeats_its_message_id(mails: NotificationsWorld) -> None:
    mails.smtp.replies_to_data = [CUT]
    await mails.hears(mails.seat(), "assigned")
    await mails.sends()
    mails.pass_time(seconds=10)
    await mails.sends()
    ids = [mail.message["Message-ID"] for mail in mails.smtp.mails]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert [row["status"] for row in await mails.rows()] == ["sent"]


async def test_who_died_while_sending_is_replaced_after_the_lease(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.bound.execute(
        "UPDATE notifications.notifications SET attempts = 1, next_attempt_at = next_attempt_at + '120 s'"
    )
    await mails.sends()
    assert mails.smtp.mails == []
    mails.pass_time(seconds=121)
    await mails.sends()
    assert len(mails.smtp.mails) == 1


async def test_what_happened_more_than_a_day_ago_is_not_mailed(mails: NotificationsWorld) -> None:
    old, older = mails.seat(), mails.seat(seat_id="seat_2", caused_by="assign-2")
    mails.pass_time(hours=24)
    await mails.hears(old, "assigned")
    mails.pass_time(seconds=1)
    await mails.hears(older, "assigned")
    rows = {row["recipient"]: row for row in await mails.rows()}
    assert rows["seat_1"]["status"] == "queued"
    assert (rows["seat_2"]["status"], rows["seat_2"]["reason"]) == ("suppressed", "stale")
    assert await mails.names() == ["suppressedV1"]


async def test_a_repeated_feed_mails_nothing(mails: NotificationsWorld) -> None:
    events = [(mails.seat(f"m{n}@example.com", seat_id=f"seat_{n}", caused_by=f"a-{n}"), n) for n in range(5)]
    for event, _ in events:
        await mails.hears(event, "assigned")
    await mails.sends()
    mails.pass_time(days=20)
    for event, _ in reversed(events):
        await mails.hears(event, "assigned")
    await mails.sends()
    assert len(mails.smtp.mails) == 5
    assert [row["status"] for row in await mails.rows()] == ["sent"] * 5


async def test_preferences_switch_kinds_off_but_not_mandatory_ones(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    off = m.SetPreferences(command_id="p1", customer=ACME, kinds={"seat_claimed": False})
    result = (await mails.does(off))["preferences"]
    assert result["kinds"]["seat_claimed"] is False
    assert result["kinds"]["seat_revoked"] is True
    assert "payment_failed" in result["mandatory"]
    assert "payment_failed" not in result["kinds"]
    refused = m.SetPreferences(command_id="p2", customer=ACME, kinds={"payment_failed": False})
    assert await mails.refuses(refused) == "kind_mandatory"
    await mails.hears(mails.seat(version=2, status="claimed"), "claimed")
    await mails.sends()
    (row,) = await mails.rows()
    assert (row["status"], row["reason"], mails.smtp.mails) == ("suppressed", "preferences", [])


async def test_a_preferred_address_and_language_are_used(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    chosen = m.SetPreferences(command_id="p1", customer=ACME, email="buchhaltung@acme.example", language="de")
    await mails.does(chosen)
    await mails.hears(mails.seat(version=2, status="claimed"), "claimed")
    await mails.sends()
    (mail,) = mails.smtp.mails
    assert mail.to == "buchhaltung@acme.example"
    assert mail.message["Subject"] == "bob@example.com gehört jetzt zu Ihrem Team"


async def test_the_link_in_a_mail_sets_preferences_until_it_expires(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.hears(mails.seat(version=2, status="claimed"), "claimed")
    await mails.sends()
    header = mails.smtp.mails[0].message["List-Unsubscribe"]
    link = header.strip("<>").removesuffix("/unsubscribe").rpartition("/")[2]
    assert mails.smtp.mails[0].message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    off = m.SetPreferences(command_id="p1", link=link, kinds={"seat_claimed": False})
    assert (await mails.does(off))["preferences"]["customer"] == {"type": "organization", "id": "acme"}
    assert link not in str(await mails.bound.rows("SELECT body FROM notifications.inbox"))
    wrong = m.GetPreferences(link=link[:-3] + "AAA")
    assert await mails.refuses(wrong) == "link_invalid"
    mails.pass_time(days=91)
    assert await mails.refuses(m.GetPreferences(link=link)) == "link_invalid"


async def test_an_invited_person_without_an_account_can_refuse_reminders(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.sends()
    page = next(
        line
        for line in mails.smtp.mails[0].text.splitlines()
        if line.startswith("Choose which mails you get")
    )
    assert "List-Unsubscribe" not in mails.smtp.mails[0].message
    link = page.rpartition("/")[2]
    await mails.does(m.SetPreferences(command_id="p1", link=link, kinds={"invitation_reminder": False}))
    mails.pass_time(days=6)
    await mails.bound.tick("remind_invitations", mails.now)
    await mails.sends()
    assert [row["reason"] for row in await mails.rows()] == [None, "preferences"]


async def test_nothing_of_a_customer_becomes_a_header_html_or_a_link(mails: NotificationsWorld) -> None:
    name = "<b>Evil</b>\r\nBcc: victim@example.com\u202e http://evil.example/claim \u2028x" + "y" * 200
    await mails.hears(mails.customer(name=name), "created")
    await mails.hears(mails.seat(role="<script>alert(1)</script>"), "assigned")
    await mails.sends()
    (mail,) = mails.smtp.mails
    assert mail.to == "bob@example.com"
    assert mail.message["Bcc"] is None
    assert "<b>" not in mail.html
    assert "<script>" not in mail.html
    assert "http://evil" not in mail.html
    assert "http://evil" not in mail.text
    assert "evil.example" not in mail.text
    assert "\u202e" not in mail.text
    assert "y" * 101 not in mail.text


@pytest.mark.parametrize(
    "address", ["a@b.example>,<c@d.example", "x\r\nRCPT TO:<c@d.example>@b.example", "@b"]
)
async def test_what_is_no_address_gets_no_mail(mails: NotificationsWorld, address: str) -> None:
    await mails.hears(mails.customer(email=address), "created")
    await mails.hears(mails.seat(version=2, status="claimed"), "claimed")
    await mails.sends()
    (row,) = await mails.rows()
    assert (row["status"], mails.smtp.mails) == ("failed", [])


async def test_a_server_that_is_away_is_tried_again(bind: Callable[..., Bound]) -> None:
    async with notifications_world(bind, SmtpServer(port=free_port())) as mails:
        await mails.hears(mails.seat(), "assigned")
        await mails.sends()
        (row,) = await mails.rows()
        assert (row["status"], row["attempts"]) == ("queued", 1)
        assert "Connect" in row["last_error"]


async def test_preview_shows_every_kind_in_both_languages(mails: NotificationsWorld) -> None:
    for kind in (*m.MANDATORY_KINDS, "trial_ending", "alarm"):
        english = await mails.asks(m.Preview(kind=kind))
        german = await mails.asks(m.Preview(kind=kind, language="de"))
        assert english["subject"] != german["subject"] or kind == "alarm"
        assert english["html"].startswith("<!doctype html>")


async def test_lists_are_paged_and_filtered(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    for number in range(5):
        event = mails.seat(f"m{number}@example.com", seat_id=f"seat_{number}", caused_by=f"a-{number}")
        await mails.hears(event, "assigned")
    first = await mails.asks(m.ListNotifications(limit=3, customer=ACME))
    second = await mails.asks(m.ListNotifications(limit=3, customer=ACME, cursor=first["next_cursor"]))
    found = [one["recipient"] for one in first["items"] + second["items"]]
    assert found == [f"seat_{number}" for number in reversed(range(5))]
    assert second["next_cursor"] is None
    assert (await mails.asks(m.ListNotifications(kind="seat_claimed")))["items"] == []
