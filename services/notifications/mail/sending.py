"""Sends one notification: decides who gets it, hands the mail over, and records the result.

The row was committed before. Between the server's 250 and the commit of the result a crash leads to a second
mail with the same `Message-ID`; at every other point it leads to exactly one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert

from services.notifications.clock import Clock
from services.notifications.domain.email_address import address_key, deliverable_address
from services.notifications.domain.recipients import INVITING_KINDS, Suppress, Wait, decide
from services.notifications.domain.retries import next_attempt_at
from services.notifications.mail.amounts import KINDS_WITH_AMOUNT, coming_amount
from services.notifications.mail.composer import Composer
from services.notifications.mail.recipients import Known, load_known
from services.notifications.mail.smtp import Delivered, Refused, SmtpConnection, SmtpServer
from services.notifications.snapshots import emit_notification
from services.notifications.tables import BouncedAddressRow, NotificationRow
from shared.messaging.service_client import ServiceClient
from shared.persistence.unit_of_work import Transactions
from tallystick.messages.notifications import Language, SuppressionReason

log = structlog.get_logger()

CLAIM_LEASE = timedelta(seconds=120)
"""A claimed notification that has no result after this is sent by somebody else: its worker has died."""
WAIT_SECONDS = 2
"""Pause until a recipient who is not known yet is looked up again."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed notification, with what is known for it."""

    notification: NotificationRow
    known: Known
    now: datetime


@dataclass(frozen=True, slots=True)
class MailTools:
    """What sending needs beside the database."""

    composer: Composer
    clock: Clock
    default_language: Language
    server: SmtpServer | None
    """None: this installation sends no mail."""
    services: ServiceClient | None = None
    """For the amounts of coming charges."""


@dataclass(frozen=True, slots=True)
class Mailer:
    """Claims due notifications and sends them."""

    transactions: Transactions
    tools: MailTools

    async def claim(self, limit: int, now: datetime) -> list[Prepared]:
        """Take due notifications, so that no other worker sends them before `CLAIM_LEASE` is over."""
        due = (
            sa.select(NotificationRow.notification_id)
            .where(NotificationRow.status == "queued", NotificationRow.next_attempt_at <= now)
            .order_by(NotificationRow.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        claim = (
            sa.update(NotificationRow)
            .where(NotificationRow.notification_id.in_(due))
            .values(next_attempt_at=now + CLAIM_LEASE, attempts=NotificationRow.attempts + 1)
            .returning(NotificationRow)
            .execution_options(synchronize_session=False)
        )
        async with self.transactions.begin(caused_by="notifications.send", now=now) as work:
            claimed = list((await work.session.scalars(claim)).all())
            known = await load_known(work.session, claimed)
        return [Prepared(one, known, now) for one in sorted(claimed, key=lambda row: row.notification_id)]

    async def send(self, prepared: Prepared, connection: SmtpConnection) -> Refused | None:
        """Send a claimed notification and record the result; return what the server refused, if it did."""
        row = prepared.notification
        party = prepared.known.party_of(row)
        decision = decide(
            row.kind, party, created_at=row.created_at, now=prepared.now, is_forced=row.is_forced
        )
        if _is_over(row, prepared.known):
            decision = Suppress("stale")
        if isinstance(decision, Wait):
            later = prepared.now + timedelta(seconds=WAIT_SECONDS)
            await self._record(row, next_attempt_at=later, attempts=row.attempts - 1)
            return None
        if isinstance(decision, Suppress):
            await self._finish(row, "suppressed", reason=decision.reason, attempts=row.attempts - 1)
            return None
        language: Language = party.language or self.tools.default_language  # type: ignore[assignment]
        address = deliverable_address(decision.email)
        if address is None:
            await self._finish(row, "failed", email=decision.email, last_error="the address is not valid")
            return None
        message = self.tools.composer.compose(
            row.kind,  # type: ignore[arg-type] # only kinds are written
            language,
            await self._facts(prepared),
            party=party.key,
            to=address,
            message_id=row.message_id,
            now=prepared.now,
        )
        outcome = await connection.send(self.tools.composer.sender.address, address, message)
        return await self._settle(prepared, outcome, {"email": decision.email, "language": language})

    async def _facts(self, prepared: Prepared) -> dict[str, Any]:
        row, facts = prepared.notification, prepared.known.facts_of(prepared.notification)
        if row.kind in KINDS_WITH_AMOUNT and "amount" not in facts:
            facts["amount"] = await coming_amount(self.tools.services, facts, row.customer)
        return facts

    async def _settle(
        self, prepared: Prepared, outcome: Delivered | Refused, sent: dict[str, Any]
    ) -> Refused | None:
        row = prepared.notification
        if isinstance(outcome, Delivered):
            await self._finish(row, "sent", sent_at=self.tools.clock.now(), last_error=None, **sent)
            return None
        again = next_attempt_at(prepared.now, row.attempts, row.created_at)
        if outcome.verdict == "retry" and again is not None:
            await self._record(row, next_attempt_at=again, last_error=outcome.error, **sent)
            return outcome
        bounced = sent["email"] if outcome.verdict == "bounced" else None
        await self._finish(row, "failed", bounced=bounced, last_error=outcome.error, **sent)
        log.warning("mail failed", notification_id=row.notification_id, kind=row.kind, error=outcome.error)
        return outcome

    async def _record(self, row: NotificationRow, **values: Any) -> None:
        """Keep a notification queued."""
        async with self.transactions.begin(caused_by=row.cause, now=self.tools.clock.now()) as work:
            await work.session.execute(_update(row, values))

    async def _finish(
        self,
        row: NotificationRow,
        status: str,
        *,
        reason: SuppressionReason | None = None,
        bounced: str | None = None,
        **values: Any,
    ) -> None:
        """Give a notification its final status, with its event."""
        final = {"status": status, "reason": reason, "next_attempt_at": None, **values}
        final["version"] = NotificationRow.version + 1
        async with self.transactions.begin(caused_by=row.cause, now=self.tools.clock.now()) as work:
            finished = await work.session.scalars(_update(row, final).returning(NotificationRow))
            changed = finished.one_or_none()
            if changed is None:
                return  # its lease was over, and somebody else has finished it
            emit_notification(work, changed, status)
            if bounced is not None:
                bounce = insert(BouncedAddressRow).values(
                    email=address_key(bounced), reply=values["last_error"], bounced_at=work.now
                )
                await work.session.execute(bounce.on_conflict_do_nothing())


def _is_over(row: NotificationRow, known: Known) -> bool:
    """Whether another mail, or what happened since, has made one pointless.

    An invitation was accepted, revoked or replaced; a payment has only to be confirmed, which has its own
    mail.
    """
    if row.kind == "payment_failed":
        return row.cause in known.to_confirm
    if row.kind not in INVITING_KINDS or "seat_id" not in row.facts:
        return False
    seat, invitation = known.seats.get(row.recipient), known.invitations.get(row.recipient)
    if seat is None or invitation is None:
        return False
    return seat.status != "pending" or invitation.command_id != row.facts["command_id"]


def _update(row: NotificationRow, values: dict[str, Any]) -> Any:
    return (
        sa.update(NotificationRow)
        .where(NotificationRow.notification_id == row.notification_id, NotificationRow.status == "queued")
        .values(**values)
        .execution_options(synchronize_session=False)
    )
