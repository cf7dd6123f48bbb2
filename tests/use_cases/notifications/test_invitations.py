"""Invitations by mail: the link, the recipient, and invitations that are over before they are sent."""

from datetime import timedelta

from tallystick.messages import notifications as m
from tallystick.messages.seats import invitation_token
from tests.support.worlds.notifications import ACME, ANNA, PUBLIC_URL, SECRET, NotificationsWorld


async def test_an_invitation_is_mailed_with_its_link(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.hears(mails.seat(role="Editor"), "assigned")
    await mails.sends()
    (mail,) = mails.smtp.mails
    token = invitation_token(SECRET.encode(), "assign-1", "seat_1")
    assert mail.to == "bob@example.com"
    assert mail.message["Subject"] == "Acme GmbH invites you to Tallystick"
    assert f"{PUBLIC_URL}/claim/{token}" in mail.text
    assert f'href="{PUBLIC_URL}/claim/{token}"' in mail.html
    assert "January 22, 2026" in mail.text
    assert "Editor" in mail.text
    (row,) = await mails.rows()
    assert (row["status"], row["email"], row["attempts"]) == ("sent", "bob@example.com", 1)
    assert mail.message["Message-ID"] == row["message_id"]


async def test_the_token_is_in_no_event_and_in_no_row(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.sends()
    token = invitation_token(SECRET.encode(), "assign-1", "seat_1")
    assert token in mails.smtp.mails[0].text
    assert token not in str(await mails.rows())
    assert token not in str(await mails.bound.outbox())


async def test_an_event_that_comes_twice_is_mailed_once(mails: NotificationsWorld) -> None:
    event = mails.seat()
    for _ in range(3):
        await mails.hears(event, "assigned")
        await mails.sends()
    assert len(mails.smtp.mails) == 1
    assert await mails.names() == ["sentV1"]


async def test_a_revoked_seat_is_not_invited_any_more(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.hears(mails.seat(version=2, status="revoked", caused_by="revoke-1"), "revoked")
    await mails.sends()
    assert mails.smtp.mails == []
    (row,) = await mails.rows()
    assert (row["status"], row["reason"]) == ("suppressed", "stale")


async def test_only_the_last_invitation_is_sent(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.hears(mails.seat(version=2, caused_by="resend-1"), "invitationResent")
    await mails.sends()
    (mail,) = mails.smtp.mails
    assert invitation_token(SECRET.encode(), "resend-1", "seat_1") in mail.text


async def test_who_is_invited_by_user_id_gets_it_at_their_own_address(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(None, member=ANNA), "assigned")
    await mails.sends()
    assert mails.smtp.mails == []  # their address may arrive any moment
    await mails.hears(mails.customer(ANNA, email="anna@example.com", name="Anna"), "created")
    mails.pass_time(seconds=3)
    await mails.sends()
    assert [mail.to for mail in mails.smtp.mails] == ["anna@example.com"]


async def test_without_an_address_nothing_is_sent_and_it_is_told(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(None, member=ANNA), "assigned")
    mails.pass_time(seconds=61)
    await mails.sends()
    (row,) = await mails.rows()
    assert (row["status"], row["reason"]) == ("suppressed", "no_address")
    assert await mails.names() == ["suppressedV1"]


async def test_an_open_invitation_is_remembered_two_days_before_it_expires(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.hears(mails.seat("eve@example.com", seat_id="seat_2", caused_by="assign-2"), "assigned")
    claimed = mails.seat("eve@example.com", seat_id="seat_2", version=2, status="claimed", member=ANNA)
    await mails.hears(claimed, "claimed")
    await mails.bound.tick("remind_invitations", mails.now + timedelta(days=4, hours=23))
    assert [row["kind"] for row in await mails.rows()].count("invitation_reminder") == 0
    mails.pass_time(days=5, minutes=1)
    for _ in range(2):
        await mails.bound.tick("remind_invitations", mails.now)
    reminders = [row for row in await mails.rows() if row["kind"] == "invitation_reminder"]
    assert [row["recipient"] for row in reminders] == ["seat_1"]
    await mails.sends()
    assert "is about to expire" in mails.smtp.to("bob@example.com")[-1].message["Subject"]


async def test_it_is_written_in_the_language_of_who_invites(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.does(m.SetPreferences(command_id="p1", customer=ACME, language="de"))
    await mails.hears(mails.seat(), "assigned")
    await mails.sends()
    assert mails.smtp.mails[0].message["Subject"] == "Acme GmbH lädt Sie zu Tallystick ein"


async def test_it_is_sent_again_on_request_unless_it_is_over(mails: NotificationsWorld) -> None:
    await mails.hears(mails.seat(), "assigned")
    await mails.sends()
    (row,) = await mails.rows()
    again = m.ResendNotification(command_id="again-1", notification_id=row["notification_id"])
    first, second = await mails.does(again), await mails.does(again)
    assert first == second
    await mails.sends()
    assert len(mails.smtp.to("bob@example.com")) == 2
    claimed = mails.seat(version=2, status="claimed", member=ANNA)
    await mails.hears(claimed, "claimed")
    over = m.ResendNotification(command_id="again-2", notification_id=row["notification_id"])
    assert await mails.refuses(over) == "invitation_ended"
