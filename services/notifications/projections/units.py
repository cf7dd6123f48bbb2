"""Notifications about units, recharges, licenses, payouts and alarms; nothing of them is kept."""

from services.notifications.domain.alarm_mails import alarm_drafts
from services.notifications.domain.license_mails import license_drafts
from services.notifications.domain.payout_mails import payout_drafts
from services.notifications.domain.unit_mails import recharge_drafts, unit_drafts
from services.notifications.mail.queue import MailQueue
from services.notifications.service import service
from shared.messaging.feed_consumer import EventName
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import consumables as c
from tallystick.messages.licenses import LicenseEvent
from tallystick.messages.monitoring import AlarmEvent
from tallystick.messages.payouts import PayoutEvent


@service.event(c.ConsumableEvent, name="follow_balance")
async def follow_balance(
    work: UnitOfWork, event: c.ConsumableEvent, name: EventName, queue: MailQueue
) -> None:
    """Queue the notifications of a balance's event."""
    await queue.add(work, unit_drafts(name, event), happened_at=event.occurred_at)


@service.event(c.RechargeEvent, name="follow_recharge")
async def follow_recharge(
    work: UnitOfWork, event: c.RechargeEvent, name: EventName, queue: MailQueue
) -> None:
    """Queue the notifications of a recharge's event."""
    await queue.add(work, recharge_drafts(name, event), happened_at=event.occurred_at)


@service.event(LicenseEvent, name="follow_license")
async def follow_license(work: UnitOfWork, event: LicenseEvent, name: EventName, queue: MailQueue) -> None:
    """Queue the notifications of a license's event."""
    await queue.add(work, license_drafts(name, event), happened_at=event.occurred_at)


@service.event(PayoutEvent, name="follow_payout")
async def follow_payout(work: UnitOfWork, event: PayoutEvent, name: EventName, queue: MailQueue) -> None:
    """Queue the notifications of a payout's event."""
    await queue.add(work, payout_drafts(name, event), happened_at=event.occurred_at)


@service.event(AlarmEvent, name="follow_alarm")
async def follow_alarm(work: UnitOfWork, event: AlarmEvent, name: EventName, queue: MailQueue) -> None:
    """Queue a notification for the operators when an alarm is raised."""
    await queue.add(work, alarm_drafts(name, event, queue.operators), happened_at=event.occurred_at)
