"""Which events are mailed to whom, and with what."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.messages import consumables, licenses, monitoring, payouts
from tallystick.messages import notifications as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Event
from tests.support import golden
from tests.support.runtime import Bound
from tests.support.smtp_server import SmtpServer
from tests.support.worlds.notifications import ACME, ANNA, NotificationsWorld, notifications_world


def example(name: str, model: type[Event], world: NotificationsWorld, **changes: Any) -> Any:
    """The example of an event, as if it happened now."""
    body = golden.read(f"feed.{name}V1")["body"]
    body |= {
        "event_id": world.next_id("evt"),
        "occurred_at": world.now.isoformat(),
        "customer": ACME.model_dump(),
    }
    if name != "seat":
        body[name] |= {"customer": ACME.model_dump()} if "customer" in body[name] else {}
    body[name] |= changes
    return model.model_validate_json(json.dumps(body))


def link_used(world: NotificationsWorld, **changes: Any) -> s.PaymentLinkEvent:
    """A payment through a link for anybody, of the subscription that other examples are about."""
    event: s.PaymentLinkEvent = example("payment_link", s.PaymentLinkEvent, world)
    assert event.use is not None
    return event.model_copy(update={"use": event.use.model_copy(update=changes), "customer": None})


async def mailed(world: NotificationsWorld) -> list[tuple[str, str]]:
    """Kinds and addresses of the mails so far."""
    await world.sends()
    rows = await world.rows()
    return [(row["kind"], row["email"]) for row in rows if row["status"] == "sent"]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("created", "active", "subscription_started"),
        ("trialStarted", "trialing", "subscription_started"),
        ("changed", "active", "subscription_changed"),
        ("changeScheduled", "active", "subscription_changed"),
        ("cancelScheduled", "active", "cancel_scheduled"),
        ("canceled", "canceled", "subscription_ended"),
        ("trialEnding", "trialing", "trial_ending"),
        ("renewalUpcoming", "active", "renewal_upcoming"),
        ("cardExpiring", "active", "card_expiring"),
        ("restricted", "past_due", "access_restricted"),
        ("recovered", "active", "payment_recovered"),
        ("updated", "active", None),
        ("renewed", "active", None),
        ("created", "incomplete", None),
        ("expired", "expired", None),
    ],
)
async def test_events_of_subscriptions(
    mails: NotificationsWorld, name: str, status: str, kind: str | None
) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.hears(example("subscription", s.SubscriptionEvent, mails, status=status), name)
    assert await mailed(mails) == ([(kind, "billing@acme.example")] if kind else [])


async def test_a_subscription_starts_once(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    for name, status in (("created", "trialing"), ("trialStarted", "trialing"), ("activated", "active")):
        await mails.hears(example("subscription", s.SubscriptionEvent, mails, status=status), name)
    assert await mailed(mails) == [("subscription_started", "billing@acme.example")]


@pytest.mark.parametrize(
    ("reason", "language", "told", "page"),
    [
        ("already_subscribed", "en", "already have", "/billing"),
        ("already_subscribed", "de", "bereits", "/billing"),
        ("uses_exceeded", "en", "came too late", "/plans"),
        ("uses_exceeded", "de", "zu spät", "/plans"),
    ],
)
async def test_a_payment_by_a_link_that_is_given_back_is_told_once_and_why(
    mails: NotificationsWorld, reason: str, language: m.Language, told: str, page: str
) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.does(m.SetPreferences(command_id="language", customer=ACME, language=language))
    await mails.hears(link_used(mails, outcome="refunded", reason=reason), "used")
    await mails.hears(example("subscription", s.SubscriptionEvent, mails, status="canceled"), "canceled")
    assert await mailed(mails) == [("subscription_ended", "billing@acme.example")]
    text = mails.smtp.mails[-1].text
    assert told in text
    assert f"https://billing.example.com{page}" in text.splitlines()


async def test_a_payment_by_a_link_that_is_accepted_is_told_by_its_subscription(
    mails: NotificationsWorld,
) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.hears(link_used(mails, outcome="accepted", reason=None), "used")
    assert await mailed(mails) == []


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("paid", {"status": "paid", "amount_paid": 4900, "reference": None}, "invoice_paid"),
        ("paid", {"status": "paid", "amount_paid": 0, "reference": None}, None),
        ("paid", {"status": "paid", "amount_paid": 4900, "reference": "recharge_1"}, None),
        ("paymentFailed", {"status": "open", "reference": None}, "payment_failed"),
        ("paymentActionRequired", {"status": "open", "reference": None}, "payment_action_required"),
        ("updated", {"status": "open", "reference": None}, None),
    ],
)
async def test_events_of_invoices(
    mails: NotificationsWorld, name: str, changes: dict[str, Any], kind: str | None
) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.hears(example("invoice", s.InvoiceEvent, mails, **changes), name)
    assert await mailed(mails) == ([(kind, "billing@acme.example")] if kind else [])


async def test_a_failed_payment_says_how_much_until_when_and_where_to_pay(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    late = example(
        "subscription", s.SubscriptionEvent, mails, status="past_due", grace_until="2026-01-22T00:00:00Z"
    )
    await mails.hears(late, "pastDue")
    failed = example(
        "invoice",
        s.InvoiceEvent,
        mails,
        status="open",
        amount_due=123456,
        currency="eur",
        reference=None,
        subscription_id=late.subscription.subscription_id,
        hosted_invoice_url="https://invoice.stripe.com/i/acct_1/live_1",
    )
    await mails.hears(failed, "paymentFailed")
    await mails.sends()
    mail = mails.smtp.mails[-1]
    assert mail.message["Subject"] == "A payment of €1,234.56 did not go through"
    assert "January 22, 2026" in mail.text
    assert "https://invoice.stripe.com/i/acct_1/live_1" in mail.text


async def test_a_payment_that_has_to_be_confirmed_is_not_told_as_failed(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    open_invoice = {"status": "open", "reference": None, "attempt_count": 1}
    for name in ("paymentActionRequired", "paymentFailed", "paymentFailed"):
        await mails.hears(example("invoice", s.InvoiceEvent, mails, **open_invoice), name)
    assert await mailed(mails) == [("payment_action_required", "billing@acme.example")]
    again = example("invoice", s.InvoiceEvent, mails, **open_invoice | {"attempt_count": 2})
    await mails.hears(again, "paymentFailed")
    assert [kind for kind, _ in await mailed(mails)] == ["payment_action_required", "payment_failed"]


async def test_units_are_told_to_who_uses_them(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    await mails.hears(mails.customer(ANNA, email="anna@example.com"), "created")
    await mails.hears(mails.seat("anna@example.com", status="claimed", member=ANNA), "multiplierChanged")
    account = f"customer:{ACME.token}"

    async def hears(name: str, **changes: Any) -> None:
        values = {"kind": "consumable", "remaining": 3} | changes
        await mails.hears(example("consumable", consumables.ConsumableEvent, mails, **values), name)

    await hears("low", account=account)
    await hears("low", account=account, remaining=0)
    await hears("exhausted", account=account, remaining=0)
    await hears("exhausted", account="seat:seat_1", remaining=0)
    await hears("low", account=account, kind="limit")
    await hears("consumed", account=account)
    alert = example("consumable", consumables.ConsumableEvent, mails, kind="consumable", account=account)
    await mails.hears(alert.model_copy(update={"percent": 80}), "thresholdReached")
    assert await mailed(mails) == [
        ("units_low", "billing@acme.example"),
        ("units_exhausted", "billing@acme.example"),
        ("units_exhausted", "anna@example.com"),
        ("usage_alert", "billing@acme.example"),
    ]
    assert mails.smtp.mails[-1].message["Subject"].endswith(": 80% used")


async def test_recharges_payouts_and_licenses(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    for name in ("requested", "paid", "failed", "skipped"):
        await mails.hears(example("recharge", consumables.RechargeEvent, mails), name)
    for name in ("created", "paid", "failed"):
        await mails.hears(example("payout", payouts.PayoutEvent, mails), name)
    for name in ("issued", "expiring", "activated"):
        await mails.hears(example("license", licenses.LicenseEvent, mails), name)
    assert [kind for kind, _ in await mailed(mails)] == [
        "recharge_paid",
        "recharge_failed",
        "payout_paid",
        "payout_failed",
        "license_issued",
        "license_expiring",
    ]


async def test_members_tell_the_customer_and_the_customer_tells_members(mails: NotificationsWorld) -> None:
    await mails.hears(mails.customer(), "created")
    claimed = mails.seat(version=2, status="claimed", member=ANNA, claimed_at=mails.now)
    await mails.hears(claimed, "claimed")
    revoked = mails.seat(version=3, status="revoked", member=ANNA, claimed_at=mails.now)
    await mails.hears(revoked, "revoked")
    assert await mailed(mails) == [
        ("seat_claimed", "billing@acme.example"),
        ("seat_revoked", "bob@example.com"),
    ]


async def test_operators_get_alarms(bind: Callable[..., Bound], smtp: SmtpServer) -> None:
    async with notifications_world(bind, smtp, operators=("ops@example.com", "chief@example.com")) as mails:
        alarm = example("alarm", monitoring.AlarmEvent, mails)
        alarm = alarm.model_copy(update={"customer": None})
        for name in ("raised", "cleared"):
            await mails.hears(alarm, name)
        assert await mailed(mails) == [("alarm", "ops@example.com"), ("alarm", "chief@example.com")]
        (mail, _) = mails.smtp.mails
        assert mail.message["Subject"] == "[warning] Most of what was sold is used (products)"
        assert mail.message["List-Unsubscribe"] is None
        assert await mails.names() == ["sentV1"] * 2
